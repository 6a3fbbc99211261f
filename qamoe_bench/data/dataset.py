"""A data set in memory: three splits of padded features, with their provenance."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from qamoe_bench.contract import Batch, DataSpec, Reference, valid_frames
from qamoe_bench.errors import BenchError
from qamoe_bench.modality import MODALITIES
from qamoe_bench.protocol import Condition
from qamoe_bench.seeding import stream

SPLITS = ("train", "valid", "test")
POOL_FRAMES = 4096


@dataclass(frozen=True)
class Split:
    """Samples of one split.

    Attributes:
        ids: A name per sample, unique within the split.
        target: Labels.
        features: Per modality, float32 frames padded at the back with exact zeros.
        lengths: Per modality, the number of valid frames.
        raw_text: What was said, where the data tell it; otherwise empty.
    """

    ids: tuple[str, ...]
    target: Float[Tensor, " N"]
    features: Mapping[str, Float[Tensor, "N _ _"]]
    lengths: Mapping[str, Int[Tensor, " N"]]
    raw_text: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities in canonical order."""
        return tuple(m for m in MODALITIES if m in self.features)

    def batch(self, *, target: bool) -> Batch:
        """All samples, with their labels only where asked for."""
        return Batch(self.features, self.lengths, self.target if target else None)


@runtime_checkable  # the test run checks annotations
class Oracle(Protocol):
    """The Bayes-optimal predictor of a data set whose law is known."""

    def covers(self, condition: Condition) -> bool:
        """Whether the optimum is computable under a condition."""
        ...

    def predict(self, split: str, corrupted: Batch, condition: Condition) -> dict[str, NDArray[np.float64]]:
        """Columns of predictions for a whole corrupted split, in the split's order.

        `prediction` is the posterior mean; `prediction_<metric>` the best decision for that metric where it differs.
        """
        ...


@dataclass(frozen=True)
class Dataset:
    """Train, valid and test split, and what is known about them.

    Attributes:
        name: Short name, used in tables.
        splits: Split by name, exactly train, valid and test.
        digest: SHA-256 of the content (or of the file that it came from), in hex.
        label_range: Lowest and highest label of the annotation scale.
        notes: What reading had to mend, one sentence each.
        reliability: Per split and modality the true noise scale of each sample (smaller is more reliable), where known.
        oracle: The Bayes-optimal predictor, where the law is known.
        token_ids: Modalities that hold token ids and not features; see `DataSpec`.
        pretrained: Folders of language models for these; see `DataSpec`.
    """

    name: str
    splits: Mapping[str, Split]
    digest: str
    label_range: tuple[float, float] = (-3.0, 3.0)
    notes: tuple[str, ...] = ()
    reliability: Mapping[str, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)
    oracle: Oracle | None = None
    token_ids: Mapping[str, int] = field(default_factory=dict)
    pretrained: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in SPLITS:
            if len(self.splits[name]) < 2:
                raise BenchError(
                    f"{self.name}: expected at least 2 samples in every split, got {len(self.splits[name])} in "
                    f"{name!r}; add samples or choose another file"
                )

    @cached_property
    def spec(self) -> DataSpec:
        """What a model may know; statistics of the training split only."""
        train = self.splits["train"]
        moments = {m: _moments(train.features[m], train.lengths[m]) for m in train.modalities}
        return DataSpec(
            name=self.name,
            widths={m: train.features[m].shape[2] for m in train.modalities},
            lengths={m: max(s.features[m].shape[1] for s in self.splits.values()) for m in train.modalities},
            feature_mean={m: mean for m, (mean, _) in moments.items()},
            feature_std={m: std for m, (_, std) in moments.items()},
            label_range=self.label_range,
            label_mean=float(train.target.mean()),
            label_std=float(train.target.std(correction=0)),
            token_ids=self.token_ids,
            pretrained=self.pretrained,
        )

    @cached_property
    def reference(self) -> Reference:
        """What corruptions may take from the training split."""
        train = self.splits["train"]
        pool = {m: _some_frames(train.features[m], train.lengths[m], m) for m in train.modalities}
        return Reference(self.spec.feature_mean, self.spec.feature_std, pool, self.token_ids)


def _some_frames(x: Float[Tensor, "N T D"], lengths: Int[Tensor, " N"], modality: str) -> Float[Tensor, "P D"]:
    """At most `POOL_FRAMES` valid frames, the same ones for the same data."""
    sample, frame = valid_frames(lengths, x.shape[1]).nonzero().T
    rows = stream("pool", modality).permutation(len(sample))[:POOL_FRAMES]
    chosen = torch.from_numpy(np.sort(rows))
    return x[sample[chosen], frame[chosen]]


def _moments(x: Float[Tensor, "N T D"], lengths: Int[Tensor, " N"]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of valid frames per dimension, summed in float64; a constant dimension gets std 1."""
    count = lengths.sum().clamp(min=1)  # padding is zero, so it adds nothing to the sums
    # Sample by sample, or a sum in float64 would make a copy of all the data in float64 first.
    mean = sum((row.sum(0, dtype=torch.float64) for row in x), torch.zeros(x.shape[2], dtype=torch.float64)) / count
    square = sum((((row[:n].double() - mean) ** 2).sum(0) for row, n in zip(x, lengths, strict=True)), mean * 0)
    std = (square / count).sqrt()
    return mean.float(), torch.where(std > 1e-6 * (1 + mean.abs()), std, 1.0).float()
