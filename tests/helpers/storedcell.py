"""A small cell with its facts and columns, for tests of the store."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from qamoe_bench.store.cell import Cell, CellFacts
from qamoe_bench.store.stored_cell import METADATA_KEY

CELL = Cell("d", "0a", "p", "1b", "a.b:build", "spectrum", "2c", 7)
FACTS = CellFacts(
    ({"name": "eta=0", "levels": {"eta": 0.0}},), 12, {"width": 3}, {"best_epoch": 2}, seconds_per_sample=0.25,
    encodings_asked=9, encodings_computed=4,
)  # fmt: skip
COLUMNS = {
    "draw": pa.array(np.zeros(3, np.int32)),
    "target": pa.array(np.arange(3, dtype=np.float32)),
    "id": pa.array(["a", "b", "c"]),
    "condition": pa.array(["eta=0"] * 3),
    "prediction": pa.array(np.arange(3, dtype=np.float32)),
}


def rewrite_cell(
    path: Path,
    edit: Callable[[pa.Table], pa.Table] = lambda table: table,
    change: Callable[[dict[str, Any]], object] = lambda about: None,
) -> None:
    """Rewrite a cell with other rows or metadata, without a checksum, as an earlier version would have written it."""
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[METADATA_KEY])
    for name in ("checksum", "samples"):
        about.pop(name, None)
    change(about)
    pq.write_table(edit(table).replace_schema_metadata({METADATA_KEY: json.dumps(about)}), path)
