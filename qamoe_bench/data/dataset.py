"""A data set: three splits of padded features, in memory or mapped from files, with their provenance."""

from collections.abc import Iterator, Mapping
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
from qamoe_bench.protocol.spec import Condition
from qamoe_bench.seeding import stream
from qamoe_bench.vocabulary import MODALITIES

SPLITS = ("train", "valid", "test")
POOL_FRAMES = 4096
BLOCK = 256  # samples that are looked at together, where there may be more than memory holds


@dataclass(frozen=True)
class Split:
    """Samples of one split.

    Attributes:
        ids: A name per sample, unique within the split.
        target: Labels.
        features: Per modality, frames padded at the back with exact zeros, float32 or, to halve their size, float16;
            the rows of a batch are always float32.
        lengths: Per modality, the number of valid frames.
        raw_text: What was said in each sample; empty where that is not known.
        tokens: Token ids, attention mask and segments of what was said, where they are known.
    """

    ids: tuple[str, ...]
    target: Float[Tensor, " N"]
    features: Mapping[str, Float[Tensor, "N _ _"]]
    lengths: Mapping[str, Int[Tensor, " N"]]
    raw_text: tuple[str, ...] = ()
    tokens: Int[Tensor, "N 3 L"] | None = None

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities in canonical order."""
        return tuple(m for m in MODALITIES if m in self.features)

    def batch(self) -> Batch:
        """All samples as they are stored, without their labels."""
        return Batch(self.features, self.lengths)

    def frames(self, modality: str) -> Iterator[Float[Tensor, "T D"]]:
        """The frames of sample after sample; never more than a few samples of a mapped file are held."""
        for start in range(0, len(self), BLOCK):
            yield from self.features[modality][start : start + BLOCK]


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
        digest: SHA-256 that identifies the content, in hex.
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
        moments = {m: _moments(train, m) for m in train.modalities}
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
        pool = {m: _some_frames(train, m) for m in train.modalities}
        return Reference(self.spec.feature_mean, self.spec.feature_std, pool, self.token_ids)


def _some_frames(split: Split, modality: str) -> Float[Tensor, "P D"]:
    """At most `POOL_FRAMES` valid frames, the same ones for the same data."""
    sample, frame = valid_frames(split.lengths[modality], split.features[modality].shape[1]).nonzero().T
    rows = stream("pool", modality).permutation(len(sample))[:POOL_FRAMES]
    chosen = torch.from_numpy(np.sort(rows))
    # Some at a time, since each may bring a whole stretch of a mapped file into memory.
    parts = (split.features[modality][sample[some], frame[some]] for some in torch.split(chosen, POOL_FRAMES // 64))
    return torch.cat([*parts]).float()


def _moments(split: Split, modality: str) -> tuple[Float[Tensor, " D"], Float[Tensor, " D"]]:
    """Mean and standard deviation of valid frames per dimension, summed in float64; a constant dimension gets std 1."""
    lengths, width = split.lengths[modality], split.features[modality].shape[2]
    count = lengths.sum().clamp(min=1)  # padding is zero, so it adds nothing to the sums
    # Sample by sample, or a sum in float64 would make a copy of all the data in float64 first.
    sums = (row.sum(0, dtype=torch.float64) for row in split.frames(modality))
    mean = sum(sums, torch.zeros(width, dtype=torch.float64)) / count
    rows = zip(split.frames(modality), lengths, strict=True)
    square = sum((((row[:n].double() - mean) ** 2).sum(0) for row, n in rows), mean * 0)
    std = (square / count).sqrt()
    return mean.float(), torch.where(std > 1e-6 * (1 + mean.abs()), std, 1.0).float()
