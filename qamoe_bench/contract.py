"""The contract between data, engine and models: the only door for a model, built-in or a stranger's.

A model is a `torch.nn.Module` that takes a `Batch` and returns an `Output`; a builder makes it from a `DataSpec`.

Dimension legend, used in every shape of this package: B samples, T frames (time steps), D feature width.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from qamoe_bench.modality import MODALITIES

FeatureMap = Mapping[str, Float[Tensor, "B _ _"]]


@dataclass(frozen=True)
class DataSpec:
    """What a model may know of a data set before it sees a sample; statistics come from the training split only.

    Attributes:
        name: Name of the data set.
        widths: D of each modality that the data set has, in the order text, audio, vision.
        lengths: The longest T of each modality.
        feature_mean: Mean over all valid frames, per dimension.
        feature_std: Standard deviation over all valid frames, per dimension; never 0 (a constant dimension has 1).
            It is also the reference σ_ref of the noise level λ.
        label_range: Lowest and highest label that the annotation scale allows.
        label_mean: Mean training label.
        label_std: Standard deviation of the training labels.
        token_ids: Modalities whose frames are token ids (D = 1, ids as floats) and not features, each with the id that
            stands for a lost token ([UNK] or [MASK]). Their first and last valid frame are [CLS] and [SEP].
    """

    name: str
    widths: Mapping[str, int]
    lengths: Mapping[str, int]
    feature_mean: Mapping[str, Float[Tensor, "..."]]
    feature_std: Mapping[str, Float[Tensor, "..."]]
    label_range: tuple[float, float]
    label_mean: float
    label_std: float
    token_ids: Mapping[str, int] = field(default_factory=dict)

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the data set has, in canonical order."""
        return tuple(m for m in MODALITIES if m in self.widths)


@dataclass(frozen=True)
class Batch:
    """Samples as a model sees them.

    Attributes:
        features: Per modality, frames padded at the back with exact zeros. A frame that a corruption took away is
            exactly zero too; a missing modality is all zeros.
        lengths: Number of valid frames per sample, 0 where the data set itself lacks the modality for that sample.
            Corruption does not change it: a model is not told what is missing.
        target: Labels in training; None in evaluation, so that no model can look.
    """

    features: FeatureMap
    lengths: Mapping[str, Int[Tensor, " B"]]
    target: Float[Tensor, " B"] | None = None

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities in canonical order."""
        return tuple(m for m in MODALITIES if m in self.features)

    @property
    def size(self) -> int:
        """B."""
        return next(iter(self.lengths.values())).shape[0]

    def mask(self, modality: str) -> Bool[Tensor, "B T"]:
        """True at valid frames, False at padding."""
        return valid_frames(self.lengths[modality], self.features[modality].shape[1])

    def rows(self, rows: Int[Tensor, " K"] | slice) -> "Batch":
        """Some of the samples."""
        return Batch(
            {m: x[rows] for m, x in self.features.items()},
            {m: n[rows] for m, n in self.lengths.items()},
            None if self.target is None else self.target[rows],
        )

    def split(self, size: int) -> Iterator["Batch"]:
        """The samples in order, at most `size` at a time."""
        return (self.rows(slice(start, start + size)) for start in range(0, self.size, size))

    def to(self, device: torch.device | str) -> "Batch":
        """The same samples on another device."""
        return Batch(
            {m: x.to(device) for m, x in self.features.items()},
            {m: n.to(device) for m, n in self.lengths.items()},
            None if self.target is None else self.target.to(device),
        )


def concatenate(batches: Sequence[Batch]) -> Batch:
    """All samples of batches that are padded to equal lengths, one batch after the other."""
    targets = [b.target for b in batches if b.target is not None]
    return Batch(
        {m: torch.cat([b.features[m] for b in batches]) for m in batches[0].modalities},
        {m: torch.cat([b.lengths[m] for b in batches]) for m in batches[0].modalities},
        torch.cat(targets) if targets else None,
    )


def valid_frames(lengths: Int[Tensor, " B"], frames: int) -> Bool[Tensor, "B T"]:
    """True at the first `lengths` of `frames` positions."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]


@dataclass(frozen=True)
class Reference:
    """What a corruption may take from the training split.

    Attributes:
        mean: Mean of each dimension over valid frames, per modality.
        std: σ_ref, the standard deviation of each dimension over valid frames, per modality; never 0.
        pool: Some valid frames per modality, to replace others by.
        token_ids: See `DataSpec`.
    """

    mean: Mapping[str, Float[Tensor, "..."]]
    std: Mapping[str, Float[Tensor, "..."]]
    pool: Mapping[str, Float[Tensor, "..."]]
    token_ids: Mapping[str, int] = field(default_factory=dict)

    def to(self, device: torch.device | str) -> "Reference":
        """The same on another device."""
        mean, std, pool = ({m: x.to(device) for m, x in part.items()} for part in (self.mean, self.std, self.pool))
        return Reference(mean, std, pool, self.token_ids)


@dataclass(frozen=True)
class Output:
    """What a model says of a batch.

    Attributes:
        prediction: Sentiment, in label units.
        variance: Predicted variance of the label around the prediction, in squared label units, if the model has one.
        quality: Per modality a reliability score r_m in [0, 1], if the model has them.
    """

    prediction: Float[Tensor, " B"]
    variance: Float[Tensor, " B"] | None = None
    quality: Mapping[str, Float[Tensor, " B"]] = field(default_factory=dict)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor of the output by its column name in a store."""
        named = {f.name: getattr(self, f.name) for f in fields(self)[:2]}
        named |= {f"quality_{m}": q for m, q in self.quality.items()}
        return {name: value for name, value in named.items() if value is not None}


@runtime_checkable
class HasLoss(Protocol):
    """A model that brings its own training objective; without one the engine trains on mean absolute error."""

    def loss(self, output: Output, batch: Batch) -> Float[Tensor, ""]:
        """The objective to minimise, averaged over the batch; `batch.target` is present."""
        ...
