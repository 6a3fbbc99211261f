"""A data set small enough for every test: 40/12/20 samples whose features correlate weakly with the label."""

from typing import Any

import numpy as np
import torch

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset, Split

WIDTHS = {"text": 5, "audio": 3, "vision": 4}
FRAMES = {"text": 4, "audio": 6, "vision": 5}


def make_split(name: str, samples: int, modalities: tuple[str, ...] = tuple(WIDTHS)) -> Split:
    """Samples with lengths from 1 to the longest; the name seeds them."""
    random = np.random.default_rng(sum(map(ord, name)))
    target = np.round(random.uniform(-3, 3, samples), 1).astype(np.float32)
    features = {}
    lengths = {}
    for m in modalities:
        length = random.integers(1, FRAMES[m] + 1, samples)
        x = random.standard_normal((samples, FRAMES[m], WIDTHS[m])) + 0.3 * target[:, None, None]
        x[np.arange(FRAMES[m])[None] >= length[:, None]] = 0
        features[m] = torch.tensor(x, dtype=torch.float32)
        lengths[m] = torch.tensor(length)
    return Split(tuple(f"{name}{i}" for i in range(samples)), torch.tensor(target), features, lengths)


def make_dataset(modalities: tuple[str, ...] = tuple(WIDTHS)) -> Dataset:
    """All three splits."""
    sizes = {"train": 40, "valid": 12, "test": 20}
    splits = {name: make_split(name, size, modalities) for name, size in sizes.items()}
    return Dataset("tiny", splits, digest="tiny" + "".join(modalities))


def training_batch(split: Split) -> TrainingBatch:
    """All samples of a split as a training step has them, with nothing corrupted."""
    batch = split.batch()
    untouched = {m: torch.ones(len(split)) for m in batch.modalities}
    index = torch.arange(len(split))
    return TrainingBatch(batch.features, batch.lengths, split.target, batch.features, untouched, index)


def mmsa_content(modalities: tuple[str, ...] = tuple(WIDTHS)) -> dict[str, dict[str, Any]]:
    """The data set in MMSA's layout."""
    return {name: _mmsa(split) for name, split in make_dataset(modalities).splits.items()}


def _mmsa(split: Split) -> dict[str, Any]:
    columns = {m: x.numpy() for m, x in split.features.items()}
    lengths = {f"{m}_lengths": n.numpy() for m, n in split.lengths.items()}
    return {**columns, **lengths, "id": list(split.ids), "regression_labels": split.target.numpy()}
