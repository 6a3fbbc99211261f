"""A data set: three splits of padded features, in memory or mapped from files, with their provenance.

Dimension legend: N samples, T frames, D features of a frame, L tokens, P frames of the reference pool.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from qamoe_bench.contract import Batch, DataSpec, Reference, label_indicators, valid_frames
from qamoe_bench.data.boundary_tokens import has_boundary_tokens
from qamoe_bench.data.options import DEFAULT_READING, ReadingOptions
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.constants import best_constants
from qamoe_bench.protocol.spec import Condition
from qamoe_bench.seeding import stream
from qamoe_bench.vocabulary import MODALITIES, REGRESSION, Task

SPLITS = ("train", "valid", "test")
POOL_FRAMES = 4096
"""Training frames that corruptions may draw from, per modality."""

SAMPLES_AT_ONCE = 256
"""Samples of a mapped file that are read together, since all of them may not fit into memory."""

EXAMPLES = 5
"""Samples that models of other code are tried on; a number that is seldom another size of a tensor."""

# A dimension whose standard deviation is below this share of its mean's magnitude is constant up to rounding.
_CONSTANT_TOLERANCE = 1e-6


@dataclass(frozen=True)
class Split:
    """Samples of one split.

    Attributes:
        ids: Name of each sample, unique within the split.
        target: Labels, each one number in every task, see `qamoe_bench.vocabulary.Task`.
        features: Frames by modality, padded at the back with exact zeros; float32 or, to halve their size, float16.
            The rows of a batch are always float32.
        lengths: Number of valid frames by modality; 0 where a sample lacks the modality.
        raw_text: Transcript of each sample; empty if unknown.
        tokens: Token ids, attention mask and segments of the transcripts; None if unknown.
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

    def rows(self, rows: Int[Tensor, " K"]) -> "Split":
        """Some samples, in the order of their numbers; their features are in memory."""
        picked = rows.tolist()
        return Split(
            tuple(self.ids[i] for i in picked),
            self.target[rows],
            {m: self.features[m][rows] for m in self.features},
            {m: length[rows] for m, length in self.lengths.items()},
            tuple(self.raw_text[i] for i in picked) if self.raw_text else (),
            None if self.tokens is None else self.tokens[rows],
        )

    @cached_property
    def moments(self) -> Mapping[str, tuple[Float[Tensor, " D"], Float[Tensor, " D"]]]:
        """Mean and standard deviation of the valid frames of each modality, per dimension."""
        # Kept with the split, which data sets that differ in anything else share.
        return {m: _moments(self, m) for m in self.modalities}

    def batch(self) -> Batch:
        """All samples as they are stored, without their labels."""
        return Batch(self.features, self.lengths)

    def frames(self, modality: str) -> Iterator[Float[Tensor, "T D"]]:
        """The frames [T, D] of each sample in turn; only a few samples of a mapped file are in memory at a time."""
        for start in range(0, len(self), SAMPLES_AT_ONCE):
            # Each look-up gives `MappedArrays` a chance to release memory.
            yield from self.features[modality][start : start + SAMPLES_AT_ONCE]


@runtime_checkable  # the test run checks annotations
class Oracle(Protocol):
    """The Bayes-optimal predictor of a data set whose distribution is known."""

    def covers(self, condition: Condition) -> bool:
        """Whether the optimum can be computed exactly under a condition."""
        ...

    def predict(
        self,
        split: str,
        corrupted: Batch,
        condition: Condition,
        chosen: Mapping[tuple[str, str], NDArray[np.bool_]] | None = None,
    ) -> dict[str, NDArray[np.float64]]:
        """Columns of predictions [N] for a whole corrupted split, in the order of the split.

        `chosen` are the samples that corruptions chose by chance, see `qamoe_bench.corruption.state.Corrupted`.

        `prediction` is the posterior mean; `prediction_<metric>` is the best decision for that metric if it differs.
        """
        ...


@dataclass(frozen=True)
class Dataset:
    """Train, valid and test split with their metadata.

    Attributes:
        name: Short name, used in tables.
        splits: Splits by name, exactly train, valid and test.
        digest: SHA-256 that identifies the content, in hex.
        label_range: Lowest and highest label of the annotation scale; of other tasks than regression, of their numbers.
        notes: Repairs and decisions made while reading, one sentence each.
        reliability: True noise scale of each sample by split and modality, smaller is more reliable; empty if unknown.
        oracle: The Bayes-optimal predictor; None if the distribution is unknown.
        token_ids: Modalities that hold token ids instead of features; see `DataSpec`.
        pretrained: Folders of language models for these; see `DataSpec`.
        token_model: Language model that made the `tokens` of the splits, as the file names it; empty if unknown.
        reading: How the file was read; other files of the same samples are read in the same way.
        task: What a label says.
        redraw: Draws the data set with another number of training samples; None if the distribution is unknown.
        base: The data set as it is read, if this one has another number of training samples; None otherwise.

    Raises:
        BenchError: A split has fewer than 2 samples.
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
    token_model: str = ""
    reading: ReadingOptions = DEFAULT_READING
    task: Task = REGRESSION
    redraw: "Callable[[int], Dataset] | None" = None
    base: "Dataset | None" = None

    def __post_init__(self) -> None:
        for name in SPLITS:
            if len(self.splits[name]) < 2:
                raise BenchError(
                    f"{self.name}: expected at least 2 samples in every split, got {len(self.splits[name])} in "
                    f"{name!r}; add samples or choose another file"
                )

    @cached_property
    def spec(self) -> DataSpec:
        """The facts that a model may use; statistics are those of the training split only."""
        train = self.splits["train"]
        widths, lengths, means, stds = {}, {}, {}, {}
        for m in train.modalities:
            widths[m] = train.features[m].shape[2]
            lengths[m] = max(split.features[m].shape[1] for split in self.splits.values())
            means[m], stds[m] = train.moments[m]
        return DataSpec(
            name=self.name,
            widths=widths,
            lengths=lengths,
            feature_mean=means,
            feature_std=stds,
            label_range=self.label_range,
            label_mean=float(train.target.mean()),
            label_std=float(train.target.std(correction=0)),  # of the population
            token_ids=self.token_ids,
            pretrained=self.pretrained,
            best_constants=best_constants(train.target.numpy()) if self.task.is_regression else {},
            task=self.task,
            class_shares=_class_shares(train.target, self.task),
        )

    @property
    def examples(self) -> Batch:
        """Copies of a few uncorrupted training samples, to see how a model is called."""
        return self.splits["train"].batch().rows(torch.arange(min(EXAMPLES, len(self.splits["train"]))))

    @cached_property
    def reference(self) -> Reference:
        """Statistics and frames of the training split that corruptions may use."""
        if self.base is not None:
            return self.base.reference  # corruptions are the same for any number of training samples
        train = self.splits["train"]
        pool = {m: _pool_of_frames(train, m) for m in train.modalities}
        return Reference(
            self.spec.feature_mean,
            self.spec.feature_std,
            pool,
            self.token_ids,
            text_has_ends=self.text_has_ends,
            test_samples=len(self.splits["test"]),
        )

    @cached_property
    def text_has_ends(self) -> bool:
        """Whether the first and last valid frame of text are known to be [CLS] and [SEP]; False if nothing shows it."""
        if self.base is not None:
            return self.base.text_has_ends
        if "text" in self.token_ids:
            return True
        splits = self.splits.values()
        tokens = [split.tokens for split in splits if split.tokens is not None]
        if "text" not in self.splits["train"].features or len(tokens) < len(splits):
            return False
        return has_boundary_tokens([split.lengths["text"] for split in splits], tokens)


def _class_shares(target: Float[Tensor, " N"], task: Task) -> tuple[float, ...]:
    """The share of samples of each class or label; empty for regression."""
    if task.is_regression:
        return ()
    holds = label_indicators(target, task)  # (N, C)
    return tuple(holds.double().mean(0).tolist())


def _pool_of_frames(split: Split, modality: str) -> Float[Tensor, "P D"]:
    """At most `POOL_FRAMES` valid frames, always the same ones for the same data."""
    valid = valid_frames(split.lengths[modality], split.features[modality].shape[1])  # (N, T)
    sample, frame = valid.nonzero().T
    permutation = stream("pool", modality).permutation(len(sample))
    # In the order of the file, so that a mapped file is read sequentially.
    chosen = torch.from_numpy(np.sort(permutation[:POOL_FRAMES]))  # (P,)
    parts = []
    for rows in torch.split(chosen, POOL_FRAMES // 64):
        # A few frames at a time, since each may bring a whole stretch of a mapped file into memory.
        parts.append(split.features[modality][sample[rows], frame[rows]])
    return torch.cat(parts).float()


def _moments(split: Split, modality: str) -> tuple[Float[Tensor, " D"], Float[Tensor, " D"]]:
    """Mean and standard deviation of valid frames per dimension; a constant dimension gets a deviation of 1.

    Both are summed in float64, sample by sample, because a float64 copy of all data would not fit into memory.
    """
    lengths = split.lengths[modality]
    width = split.features[modality].shape[2]
    count = lengths.sum().clamp(min=1)

    # Padding is zero, so it adds nothing to the sum.
    total = torch.zeros(width, dtype=torch.float64)
    for frames in split.frames(modality):
        total = total + frames.sum(0, dtype=torch.float64)  # (D,)
    mean = total / count

    # Two passes: the difference of large sums would lose the digits of a small variance.
    squares = torch.zeros_like(mean)
    for frames, length in zip(split.frames(modality), lengths, strict=True):
        squares = squares + ((frames[:length].double() - mean) ** 2).sum(0)  # (D,)
    std = (squares / count).sqrt()

    varies = std > _CONSTANT_TOLERANCE * (1 + mean.abs())
    return mean.float(), torch.where(varies, std, 1.0).float()
