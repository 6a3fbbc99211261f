"""Predictions of one model in a sweep: from whole batches, or from cached encodings of a two-stage model.

Both predictors have the same interface. `prepare` makes the model's input of a corrupted batch, `predict` returns the
model's output for it, and `with_quality` a function that predicts with given quality scores. Only `prepare` and
`predict` are timed, and of these only the computations of the model.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from qamoe_bench.contract import AcceptsQuality, Batch, SplitsFusion, TwoStage, TwoStageWithQuality
from qamoe_bench.corruption.state import Corrupted, uncorrupted
from qamoe_bench.evaluation.clock import Clock
from qamoe_bench.evaluation.encoding_cache import EncodingCache

PredictsWithQuality = Callable[[Mapping[str, Tensor]], object]
"""Maps quality scores by modality to the model's output."""


# So many permutations of quality scores take about a third of the time of a sweep.
SPLIT_PERMUTATIONS = 100  # a split fusion repeats only its cheap part
FUSION_PERMUTATIONS = 19


class WholeBatchPredictor:
    """Runs the forward pass of a model on whole batches.

    Attributes:
        model: The model, in evaluation mode.
        clock: The time of all computations of the model, except for predictions with given scores.
        keeps_inputs: Whether prepared inputs are small enough to keep those of a whole condition.
        encodings: How many encodings were requested, and how many were computed.
        permutations: How many permutations of quality scores are affordable in every sweep.
    """

    permutations = 0  # each takes as long as the sweep
    keeps_inputs = False  # the corrupted samples of a condition may take as much memory as all the data
    encodings = (0, 0)

    def __init__(self, model: nn.Module, clock: Clock) -> None:
        self.model = model
        self.clock = clock

    def prepare(self, corrupted: Corrupted, start: int, later: Sequence[Corrupted], *, refresh: bool) -> Batch:
        """The model's input for consecutive samples, `start` being the first; nothing is cached."""
        return corrupted.batch

    def predict(self, batch: Batch) -> object:
        """The forward pass."""
        return self.clock(self.model, batch)

    def with_quality(self, batch: Batch) -> PredictsWithQuality:
        """The forward pass with given quality scores; the model must accept them, see `AcceptsQuality`."""
        assert isinstance(self.model, AcceptsQuality)
        return partial(self.clock.untimed, self.model.predict_with_quality, batch)


class CachedPredictor:
    """Fuses encodings of a `TwoStage` model, each of which is computed once; attributes as in `WholeBatchPredictor`."""

    keeps_inputs = True

    def __init__(self, model: nn.Module, clock: Clock, samples: Batch, token_ids: Mapping[str, int]) -> None:
        self.model = model
        self.clock = clock
        assert isinstance(model, TwoStage)
        self._fuse = model.fuse
        self.permutations = SPLIT_PERMUTATIONS if isinstance(model, SplitsFusion) else FUSION_PERMUTATIONS
        self._cache = EncodingCache(model, uncorrupted(samples, token_ids), clock)

    @property
    def encodings(self) -> tuple[int, int]:
        """How many encodings were requested, and how many were computed."""
        return self._cache.requested, self._cache.computed

    def prepare(
        self, corrupted: Corrupted, start: int, later: Sequence[Corrupted], *, refresh: bool
    ) -> dict[str, Tensor]:
        """The encodings of consecutive samples, see `EncodingCache.lookup`."""
        return self._cache.lookup(corrupted, start, later, refresh=refresh)

    def predict(self, encoded: Mapping[str, Tensor]) -> object:
        """The stage after the encoders; it may change its encodings, which are used again with other scores."""
        if isinstance(self.model, AcceptsQuality):
            encoded = {m: x.clone() for m, x in encoded.items()}
        return self.clock(self._fuse, encoded)

    def with_quality(self, encoded: Mapping[str, Tensor]) -> PredictsWithQuality:
        """The stage after the encoders with given quality scores; see `TwoStageWithQuality` and `SplitsFusion`."""
        if isinstance(self.model, SplitsFusion):
            mixed = self.clock.untimed(self.model.mix, encoded)
            return partial(self.clock.untimed, self.model.weigh, mixed)
        assert isinstance(self.model, TwoStageWithQuality)
        return partial(self.clock.untimed, self.model.fuse, encoded)

    @staticmethod
    def join(inputs: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """The prepared inputs of several batches as those of one."""
        return {m: torch.cat([part[m] for part in inputs]) for m in inputs[0]}


Predictor = WholeBatchPredictor | CachedPredictor
