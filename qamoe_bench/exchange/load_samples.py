"""Read the corrupted samples in this folder; needs NumPy only and may be copied anywhere.

    from load import cases
    for case, samples in cases("FOLDER"):
        prediction = model(samples["text"], samples["audio"], samples["vision"])  # [N, T, D] each
        rows.append({**case, "id": samples["id"], "prediction": prediction})

`case` identifies the samples: give its items back as columns, beside `id` and `prediction`.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

CASE = ("protocol_digest", "data_digest", "seed", "draw", "condition")


def cases(folder: str | Path = Path(__file__).parent) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every case of the export, in order, with its samples."""
    manifest = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))
    for case in manifest["cases"]:
        with (Path(folder) / case["file"]).open("rb") as file:
            # A pickle holds all splits, an archive the exported one.
            is_pickle = case["file"].endswith(".pkl")
            samples = pickle.load(file)[manifest["split"]] if is_pickle else dict(np.load(file))
        yield {key: case[key] for key in CASE}, samples
