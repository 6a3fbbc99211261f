"""A small cell with its facts and columns, for tests of the store."""

import numpy as np
import pyarrow as pa

from qamoe_bench.store.cell import Cell, CellFacts

CELL = Cell("d", "0a", "p", "1b", "a.b:build", "spectrum", "2c", 7)
FACTS = CellFacts(
    ({"name": "eta=0", "levels": {"eta": 0.0}},), 12, {"width": 3}, {"best_epoch": 2}, seconds_per_sample=0.25,
    encodings_asked=9, encodings_computed=4,
)  # fmt: skip
COLUMNS = {
    "id": pa.array(["a", "b", "c"]),
    "condition": pa.array(["eta=0"] * 3),
    "prediction": pa.array(np.arange(3, dtype=np.float32)),
}
