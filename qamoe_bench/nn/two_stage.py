"""Base classes of models that encode each modality by itself and fuse the encodings.

A model that inherits from them satisfies the protocols `TwoStage` and `AcceptsQuality` of `qamoe_bench.contract`, and
a sweep computes each of its encodings once.

Dimension legend: B samples, T frames, L sets of observed frames of each sample.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor, nn

from qamoe_bench.contract import Batch, Output
from qamoe_bench.nn.frames import observed_frames


class TwoStageModel(nn.Module, ABC):
    """A model whose forward pass is `fuse(encode(batch))`.

    Attributes:
        modalities: The modalities that the model encodes, in canonical order; set by the subclass.
    """

    modalities: tuple[str, ...]

    @abstractmethod
    def encode_modality(self, batch: Batch, modality: str) -> Shaped[Tensor, "B ..."]:
        """The encoding of one modality, one row per sample, of any shape.

        In evaluation it may depend only on the frames of that modality of that sample and on their number.
        """

    @abstractmethod
    def fuse(self, encoded: Mapping[str, Shaped[Tensor, "B ..."]]) -> Output:
        """The prediction from the encodings of all modalities."""

    def encode(self, batch: Batch) -> dict[str, Shaped[Tensor, "B ..."]]:
        """The encoding of every modality."""
        return {m: self.encode_modality(batch, m) for m in self.modalities}

    def forward(self, batch: Batch) -> Output:
        """The prediction for a batch."""
        return self.fuse(self.encode(batch))


class FrameMappingModel(TwoStageModel):
    """A two-stage model whose encoders map every frame by itself first; see `qamoe_bench.contract.MapsFrames`."""

    @abstractmethod
    def map_frames(self, batch: Batch, modality: str) -> tuple[Shaped[Tensor, "B T ..."], ...]:
        """Tensors with a row for each frame, which in evaluation depends on that frame alone."""

    @abstractmethod
    def encode_mapped(
        self,
        mapped: tuple[Shaped[Tensor, "B T ..."], ...],
        observed: Bool[Tensor, "B L T"],
        lengths: Int[Tensor, " B"],
        modality: str,
    ) -> Shaped[Tensor, "B L ..."]:
        """The encoding of one modality for each set, in which rows of frames that are not observed have no effect."""

    def encode_modality(self, batch: Batch, modality: str) -> Shaped[Tensor, "B ..."]:
        """The encoding of one modality, one row per sample."""
        observed = observed_frames(batch, modality)[:, None]
        return self.encode_mapped(self.map_frames(batch, modality), observed, batch.lengths[modality], modality)[:, 0]


class QualityAwareModel(TwoStageModel):
    """A two-stage model with quality scores, which `fuse` can also take from outside."""

    @abstractmethod
    def fuse(
        self,
        encoded: Mapping[str, Shaped[Tensor, "B ..."]],
        quality: Mapping[str, Float[Tensor, " B"]] | None = None,
    ) -> Output:
        """The prediction from the encodings, with the model's own scores or with the given ones.

        A subclass may also split it into `mix` and `weigh`, see `qamoe_bench.contract.SplitsFusion`.
        """

    def predict_with_quality(self, batch: Batch, quality: Mapping[str, Float[Tensor, " B"]]) -> Output:
        """The forward pass, with these scores instead of the model's own."""
        return self.fuse(self.encode(batch), quality)
