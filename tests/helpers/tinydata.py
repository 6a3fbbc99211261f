"""A data set small enough for every test: 40/12/20 samples whose features correlate weakly with the label.

With another task than regression the labels are classes of a hidden value in [-3, 3], by which they are separable along
the same features: class k where the value lies in part k of the range, label k where it is above border k.
"""

from typing import Any

import numpy as np
import torch

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.vocabulary import REGRESSION, Task

WIDTHS = {"text": 5, "audio": 3, "vision": 4}
FRAMES = {"text": 4, "audio": 6, "vision": 5}
CLASSES = Task("classes", ("sad", "calm", "glad"))
LABELS = Task("multi-label", ("aroused", "dominant", "happy", "excited"))


def make_split(
    name: str,
    samples: int,
    modalities: tuple[str, ...] = tuple(WIDTHS),
    task: Task = REGRESSION,
    signal: float = 0.3,
) -> Split:
    """Samples with lengths from 1 to the longest; the name seeds them, and `signal` is the weight of the label."""
    random = np.random.default_rng(sum(map(ord, name)))
    target = np.round(random.uniform(-3, 3, samples), 1).astype(np.float32)
    features = {}
    lengths = {}
    for m in modalities:
        length = random.integers(1, FRAMES[m] + 1, samples)
        x = random.standard_normal((samples, FRAMES[m], WIDTHS[m])) + signal * target[:, None, None]
        x[np.arange(FRAMES[m])[None] >= length[:, None]] = 0
        features[m] = torch.tensor(x, dtype=torch.float32)
        lengths[m] = torch.tensor(length)
    return Split(tuple(f"{name}{i}" for i in range(samples)), _labels(target, task), features, lengths)


def _labels(value: np.ndarray, task: Task) -> torch.Tensor:
    """The value itself, or the number of its class or labels."""
    if task.is_regression:
        return torch.tensor(value)
    count = task.outputs
    if task.kind == "classes":
        return torch.tensor(np.clip((value + 3) / 6 * count, 0, count - 1).astype(int)).float()
    borders = np.linspace(-3, 3, count + 2)[1:-1]
    holds = value[:, None] > borders
    return torch.tensor(holds @ 2 ** np.arange(count)).float()


def make_dataset(modalities: tuple[str, ...] = tuple(WIDTHS), task: Task = REGRESSION, signal: float = 0.3) -> Dataset:
    """All three splits."""
    sizes = {"train": 40, "valid": 12, "test": 20}
    splits = {name: make_split(name, size, modalities, task, signal) for name, size in sizes.items()}
    digest = "tiny" + "".join(modalities)
    if task.is_regression:
        return Dataset("tiny", splits, digest=digest)
    highest = task.outputs - 1 if task.kind == "classes" else 2**task.outputs - 1
    return Dataset("tiny", splits, digest=digest + task.kind, label_range=(0.0, float(highest)), task=task)


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
