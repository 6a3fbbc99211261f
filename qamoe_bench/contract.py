"""The contract between data, engine and models: the only interface of a model, built-in or provided by a user.

A model is a `torch.nn.Module` that takes a `Batch` and returns an `Output`; a builder makes it from a `DataSpec`.

Dimension legend, used in every shape of this package: B samples, T frames (time steps), D feature width.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import LOG_PROBABILITY, MODALITIES, REGRESSION, Task

FeatureMap = Mapping[str, Float[Tensor, "B _ _"]]  # (B, T, D) per modality; T and D differ between them

AnyBatch = TypeVar("AnyBatch", bound="Batch")
"""`Batch` or `TrainingBatch`. Not `typing.Self`, which the type checker of the test run rejects in single methods."""


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
        best_constants: The constant answer that is best for each metric on the training labels, by metric; empty for
            tasks other than regression.
        token_ids: Modalities whose frames are token ids (D = 1, ids as floats) and not features, each with the id that
            replaces a lost token ([UNK] or [MASK]). Their first and last valid frame are [CLS] and [SEP].
        pretrained: Modalities of token ids whose language model has pretrained weights, each with the folder that
            holds them.
        task: What a label says.
        class_shares: Of tasks other than regression, the share of training samples of each class or label.
    """

    name: str
    widths: Mapping[str, int]
    lengths: Mapping[str, int]
    feature_mean: Mapping[str, Float[Tensor, "..."]]  # (D,) per modality
    feature_std: Mapping[str, Float[Tensor, "..."]]  # (D,) per modality
    label_range: tuple[float, float]
    label_mean: float
    label_std: float
    token_ids: Mapping[str, int] = field(default_factory=dict)
    pretrained: Mapping[str, str] = field(default_factory=dict)
    best_constants: Mapping[str, float] = field(default_factory=dict)
    task: Task = REGRESSION
    class_shares: tuple[float, ...] = ()

    @property
    def modalities(self) -> tuple[str, ...]:
        """The modalities that the data set has, in canonical order."""
        return tuple(m for m in MODALITIES if m in self.widths)


@dataclass(frozen=True)
class Batch:
    """Samples as a model sees them; a batch has no labels, so no model can read them in evaluation.

    Attributes:
        features: Per modality, frames padded at the end with exact zeros. A frame that a corruption removed is exactly
            zero too; a missing modality is all zeros.
        lengths: Number of valid frames per sample, 0 where the data set itself lacks the modality for that sample.
            Corruption does not change it, so a model is not informed about missing frames.
    """

    features: FeatureMap
    lengths: Mapping[str, Int[Tensor, " B"]]

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

    def rows(self: AnyBatch, rows: Int[Tensor, " K"] | slice) -> AnyBatch:
        """Some of the samples, with features in float32."""

        def some(x: Tensor) -> Tensor:
            # For given rows index_select takes a quarter of the time of x[rows].
            chosen = x[rows] if isinstance(rows, slice) else x.index_select(0, rows)
            return chosen.float() if x.is_floating_point() else chosen

        return self._map(some)

    def split(self: AnyBatch, size: int) -> Iterator[AnyBatch]:
        """The samples in order, at most `size` at a time."""
        return (self.rows(slice(start, start + size)) for start in range(0, self.size, size))

    def to(self: AnyBatch, device: torch.device | str) -> AnyBatch:
        """The same samples on another device."""
        # Nothing is copied on the same device, so features that are mapped from a file stay mapped.
        on_device = {x.device for x in self.lengths.values()} == {torch.device(device)}
        return self if on_device else self._map(lambda x: x.to(device))

    def _map(self: AnyBatch, change: Callable[[Tensor], Tensor]) -> AnyBatch:
        """The batch with every tensor changed in the same way."""
        return replace(self, features=_map_values(change, self.features), lengths=_map_values(change, self.lengths))


@dataclass(frozen=True)
class TrainingBatch(Batch):
    """Samples of a training step, with everything that an objective may learn from.

    Attributes:
        target: Labels, each one number in every task, see `qamoe_bench.vocabulary.Task`.
        clean: The features before corruption, for objectives that predict them.
        signal: Per modality, the share of a sample's signal that corruption left; see
            `qamoe_bench.protocol.kinds.signal_left`. 1 is untouched, 0 is missing.
        index: Row of each sample in the training split, the same in every epoch, for objectives that remember samples.
        class_weights: Weight of each class or label in the objective, the same for every batch, on the device of the
            training; None for equal ones. `qamoe_bench.nn.answers.Answers.loss` applies them.
    """

    target: Float[Tensor, " B"]
    clean: FeatureMap
    signal: Mapping[str, Float[Tensor, " B"]]
    index: Int[Tensor, " B"]
    class_weights: Float[Tensor, " C"] | None = None

    def uncorrupted(self) -> Batch:
        """The same samples before corruption, as a model sees them in a clean evaluation."""
        return Batch(self.clean, self.lengths)

    def _map(self, change: Callable[[Tensor], Tensor]) -> "TrainingBatch":
        """The batch with every tensor changed in the same way."""
        return TrainingBatch(
            _map_values(change, self.features),
            _map_values(change, self.lengths),
            target=change(self.target),
            clean=_map_values(change, self.clean),
            signal=_map_values(change, self.signal),
            index=change(self.index),
            class_weights=self.class_weights,  # not of samples
        )


def _map_values(change: Callable[[Tensor], Tensor], tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {m: change(x) for m, x in tensors.items()}


def concatenate(batches: Sequence[Batch]) -> Batch:
    """Features and lengths of batches that are padded to equal lengths, one batch after the other."""
    features = {}
    lengths = {}
    for m in batches[0].modalities:
        features[m] = torch.cat([b.features[m] for b in batches])  # (ΣB, T, D)
        lengths[m] = torch.cat([b.lengths[m] for b in batches])  # (ΣB,)
    return Batch(features, lengths)


def valid_frames(lengths: Int[Tensor, " B"], frames: int) -> Bool[Tensor, "B T"]:
    """True at the first `lengths` of `frames` positions."""
    return torch.arange(frames, device=lengths.device) < lengths[:, None]  # (T,) < (B, 1)


def label_indicators(target: Float[Tensor, " B"], task: Task) -> Bool[Tensor, "B C"]:
    """Whether each class or label holds, from labels of a task other than regression."""
    index = torch.arange(task.outputs, device=target.device)  # (C,)
    codes = target.long()[:, None]
    if task.kind == "classes":
        return codes == index
    return (codes >> index) & 1 == 1


@dataclass(frozen=True)
class Reference:
    """Statistics and frames of the training split that corruptions use.

    Attributes:
        mean: Mean of each dimension over valid frames, per modality.
        std: σ_ref, the standard deviation of each dimension over valid frames, per modality; never 0.
        pool: Some valid frames per modality, which replace others.
        token_ids: See `DataSpec`.
        text_has_ends: Whether the first and last valid frame of text are known to be [CLS] and [SEP].
        test_samples: Number of test samples, which schedules of batches depend on; 0 if unknown.
    """

    mean: Mapping[str, Float[Tensor, "..."]]  # (D,)
    std: Mapping[str, Float[Tensor, "..."]]  # (D,)
    pool: Mapping[str, Float[Tensor, "..."]]  # (P, D)
    token_ids: Mapping[str, int] = field(default_factory=dict)
    text_has_ends: bool = False
    test_samples: int = 0

    def to(self, device: torch.device | str) -> "Reference":
        """The same on another device."""

        def moved(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
            return {m: x.to(device) for m, x in tensors.items()}

        return replace(self, mean=moved(self.mean), std=moved(self.std), pool=moved(self.pool))


@dataclass(frozen=True)
class Output:
    """The output of a model for a batch.

    Attributes:
        prediction: Sentiment, in label units; in other tasks the predicted label, see `qamoe_bench.vocabulary.Task`.
        variance: Predicted variance of the label around the prediction, in squared label units, if the model has one.
        quality: Per modality a reliability score r_m in [0, 1], if the model has them.
        routing: Per modality the weight of each expert, 0 for one that was not used, if the model has experts.
        parts: Whatever else the model's own `loss` needs; neither read nor stored by the engine.
        by_metric: Predictions that single metrics judge instead, by metric, from a model that knows better answers for
            them than its `prediction`, such as the median for `mae`.
        log_probabilities: Logarithms of the probabilities of all C classes, or of several labels that each holds.
            Needed in tasks other than regression; `qamoe_bench.nn.answers` makes outputs with them.
    """

    prediction: Float[Tensor, " B"]
    variance: Float[Tensor, " B"] | None = None
    quality: Mapping[str, Float[Tensor, " B"]] = field(default_factory=dict)
    routing: Mapping[str, Float[Tensor, "B _"]] = field(default_factory=dict)
    parts: Mapping[str, Tensor] = field(default_factory=dict)
    by_metric: Mapping[str, Float[Tensor, " B"]] = field(default_factory=dict)
    log_probabilities: Float[Tensor, "B C"] | None = None

    def columns(self) -> dict[str, Tensor]:
        """The values that are stored for every sample, by the name of their column."""
        columns = {"prediction": self.prediction}
        if self.variance is not None:
            columns["variance"] = self.variance
        if self.log_probabilities is not None:
            for index, values in enumerate(self.log_probabilities.unbind(1)):
                columns[f"{LOG_PROBABILITY}{index}"] = values
        for metric, answer in self.by_metric.items():
            columns[f"prediction_{metric}"] = answer
        for m, score in self.quality.items():
            columns[f"quality_{m}"] = score
        return columns


@runtime_checkable
class HasLoss(Protocol):
    """A model with its own training objective; without one the engine trains on mean absolute error."""

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The objective to minimise, averaged over the batch."""
        ...


@runtime_checkable
class HasPreparation(Protocol):
    """A model that takes statistics of the training split before its first epoch, such as a whitening or a start.

    Their results belong into parameters and buffers whose shapes the constructor knows, because a checkpoint holds
    these alone and is loaded into a fresh model, which is not prepared again. A model must work before it, too: its
    costs and its first batch are computed without.
    """

    def prepare(self, samples: TrainingBatch) -> None:
        """Called once before the first epoch, with the whole training split, uncorrupted, and without gradients.

        The samples may be larger than memory: go through them with `samples.split(64)`, and keep sums or one vector per
        sample. Random numbers are seeded; the same samples and seed must leave the same state.
        """
        ...


@runtime_checkable
class HasEpochs(Protocol):
    """A model whose training changes over time, such as one with a warm-up."""

    def start_epoch(self, epoch: int) -> None:
        """Called before each epoch of training; epochs count from 1."""
        ...


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that are trained at a rate of their own.

    Attributes:
        parameters: The parameters.
        rate: Factor of the training loop's learning rate. Those of language models have their own rate instead, see
            `qamoe_bench.training.config`.

    Raises:
        BenchError: For a factor that is not above 0.
    """

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0

    def __post_init__(self) -> None:
        if not self.rate > 0:  # written this way round, NaN is refused too
            raise BenchError(
                f"ParameterGroup.rate: expected more than 0, got {self.rate}; leave parameters out that shall not learn"
            )


@dataclass(frozen=True)
class Phase:
    """Passes over the training split, one in each epoch of a part of the training, with an objective of their own.

    A phase has its own optimiser, and its learning rates follow the loop's schedule over its own steps.

    Attributes:
        name: What error messages call it.
        objective: From a batch to the loss to minimise, averaged over the batch; it runs the forward pass itself.
        groups: The parameters to be trained; all others stay as they are.
        start: Share of the training after which the phase begins.
        stop: Share of the training at which it ends. It runs in every epoch of which a part lies between the two.

    Raises:
        BenchError: For shares that are not in order.
    """

    name: str
    objective: Callable[[TrainingBatch], Float[Tensor, ""]]
    groups: Sequence[ParameterGroup]
    start: float = 0.0
    stop: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.stop <= 1:
            raise BenchError(
                f"Phase {self.name!r}: expected 0 <= start < stop <= 1, got {self.start} and {self.stop}; they are "
                "shares of the training"
            )

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The parameters of all groups."""
        return [p for group in self.groups for p in group.parameters]

    def runs_in(self, epoch: int, epochs: int) -> bool:
        """Whether the phase has a pass in this epoch (from 1) of a training of so many."""
        return self.start * epochs < epoch and epoch - 1 < self.stop * epochs


@runtime_checkable
class HasPhases(Protocol):
    """A model that is trained in stages, alternately on several objectives, or at several rates.

    The last phase is the one that trains the prediction: the epoch whose weights are kept is one of its epochs.
    """

    def phases(self) -> Sequence[Phase]:
        """The phases, in the order of their passes within an epoch; asked once, before the first epoch."""
        ...


@runtime_checkable
class TwoStage(Protocol):
    """A model whose forward pass is `fuse({m: encode_modality(batch, m)})`: it encodes each modality by itself.

    A sweep encodes the same frames of a sample once for all conditions and draws, and calls `fuse` instead of the
    forward pass. In evaluation an encoding may therefore depend only on the frames of that modality of that sample and
    on their number; `fuse` may draw random numbers, `encode_modality` may not. `qamoe_bench.nn.two_stage` has a base
    class.
    """

    def encode_modality(self, batch: Batch, modality: str) -> Shaped[Tensor, "B ..."]:
        """The encoding of one modality, one row per sample, of any shape; the batch may hold that modality only."""
        ...

    def fuse(self, encoded: Mapping[str, Shaped[Tensor, "B ..."]]) -> Output:
        """The prediction from the encodings of all modalities."""
        ...


@runtime_checkable
class MapsFrames(TwoStage, Protocol):
    """A `TwoStage` whose encoders map every frame by itself before they look at a sequence.

    `encode_modality(batch, m)` is `encode_mapped(map_frames(batch, m), observed, batch.lengths[m], m)[:, 0]`, with the
    one set `observed = qamoe_bench.nn.frames.observed_frames(batch, m)[:, None]`. Where frames are lost and the others
    stay as they are, a sweep maps the frames of each sample once and encodes what several conditions leave of them
    together. `qamoe_bench.nn.two_stage` has a base class.
    """

    def map_frames(self, batch: Batch, modality: str) -> tuple[Shaped[Tensor, "B T ..."], ...]:
        """Tensors with a row for each frame, which in evaluation depends on that frame alone."""
        ...

    def encode_mapped(
        self,
        mapped: tuple[Shaped[Tensor, "B T ..."], ...],
        observed: Bool[Tensor, "B L T"],
        lengths: Int[Tensor, " B"],
        modality: str,
    ) -> Shaped[Tensor, "B L ..."]:
        """The encoding of one modality for each of L sets of observed frames, see `TwoStage`.

        It must not change what is mapped, and rows of frames that are not observed, which may be those of the frames
        before they were lost, must have no effect.
        """
        ...


@runtime_checkable
class AcceptsQuality(Protocol):
    """A model that also predicts with given quality scores, so that one can measure whether they matter to it."""

    def predict_with_quality(self, batch: Batch, quality: Mapping[str, Float[Tensor, " B"]]) -> Output:
        """The forward pass, with these scores instead of the model's own."""
        ...


@runtime_checkable
class TwoStageWithQuality(AcceptsQuality, Protocol):
    """A `TwoStage` model that accepts quality scores, as the second argument of `fuse`."""

    def encode_modality(self, batch: Batch, modality: str) -> Shaped[Tensor, "B ..."]:
        """See `TwoStage`."""
        ...

    def fuse(
        self,
        encoded: Mapping[str, Shaped[Tensor, "B ..."]],
        quality: Mapping[str, Float[Tensor, " B"]] | None = None,
    ) -> Output:
        """The prediction from the encodings, with the model's own scores or with the given ones."""
        ...


@runtime_checkable
class SplitsFusion(TwoStageWithQuality, Protocol):
    """A `TwoStageWithQuality` whose `fuse(encoded, quality)` is `weigh(mix(encoded), quality)`.

    The audit of quality scores predicts for the same samples with hundreds of different scores. With the part of the
    fusion that no score affects computed once, the rest costs little; without this split, fewer are tried.
    """

    def mix(self, encoded: Mapping[str, Shaped[Tensor, "B ..."]]) -> Any:
        """Everything that `weigh` needs and that does not depend on the scores."""
        ...

    def weigh(self, mixed: Any, quality: Mapping[str, Float[Tensor, " B"]]) -> Output:
        """The prediction with these scores, from what `mix` returned for the same samples."""
        ...
