"""Corrupt features as the masks in this folder say; needs NumPy only and may be copied anywhere.

    from load import cases, corrupted
    for case, masks in cases("FOLDER"):
        x = features[[row_of[name] for name in masks["id"]]]  # your own, [N, T, D], in the order of the ids
        prediction = model(corrupted(x, masks, "text"), ...)
        rows.append({**case, "id": masks["id"], "prediction": prediction})

`case` identifies the samples: give its items back as columns, beside `id` and `prediction`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

CASE = ("protocol_digest", "data_digest", "seed", "draw", "condition")


def cases(folder: str | Path = Path(__file__).parent) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """Every case of the export, in order, with its masks and noise."""
    manifest = json.loads((Path(folder) / "manifest.json").read_text(encoding="utf-8"))
    shared = dict(np.load(Path(folder) / "samples.npz"))  # id, target, and lengths of each modality
    noise: dict[str, Any] = {"file": ""}
    for case in manifest["cases"]:
        if case["noise_file"] != noise["file"]:  # the cases of a seed and a draw share one
            noise = {**np.load(Path(folder) / case["noise_file"]), "file": case["noise_file"]}
        masks = dict(np.load(Path(folder) / case["file"]))
        yield {key: case[key] for key in CASE}, {**shared, **noise, **masks}


def corrupted(x: Any, masks: dict[str, Any], modality: str) -> Any:
    """Features [N, T, D] of one modality with noise added, and then zeros where frames are erased."""
    frames = x.shape[1]
    is_valid = np.arange(frames) < masks[f"{modality}_lengths"][:, None]  # (N, T)
    for name in [n for n in masks if n.startswith(f"scale_{modality}_")]:
        noise = np.zeros_like(x)
        noise[is_valid] = masks[name.replace("scale", "noise")]  # stored without padding, (frames of all samples, D)
        x = x + noise * masks[name]
    erased = np.unpackbits(masks[f"erased_{modality}"], axis=1, count=frames)  # (N, T)
    return x * (erased == 0)[..., None]
