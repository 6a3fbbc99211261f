"""Frames are mapped once for several conditions that lose frames, and predictions are the same to the last digits."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qamoe_bench.contract import Batch, MapsFrames, Output
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import RunFailed
from qamoe_bench.evaluation import trial
from qamoe_bench.evaluation.mapped_frames import MappedFrames
from qamoe_bench.evaluation.sweep import Sweep, sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.evaluation.trial import Trial, groups
from qamoe_bench.nn.two_stage import FrameMappingModel
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.registry import find_model
from qamoe_bench.seeding import seeded

FRAMES_LOST = replace(load_protocol("frame-missing"), axes={"eta": (0.0, 0.3, 0.6)})


class Squares(FrameMappingModel):
    """Predicts the mean square of the observed frames, and counts the batches that it maps."""

    def __init__(self, modalities: tuple[str, ...], *, blind: bool = False, careless: bool = False) -> None:
        super().__init__()
        self.modalities = modalities
        self.blind = blind
        self.careless = careless
        self.mapped = 0

    def map_frames(self, batch: Batch, modality: str) -> tuple[Tensor, ...]:
        self.mapped += 1
        x = batch.features[modality]
        return ((x.square_() if self.careless else x.square()).mean(2),)

    def encode_mapped(self, mapped: tuple[Tensor, ...], observed: Tensor, lengths: Tensor, modality: str) -> Tensor:
        (square,) = mapped
        counted = torch.ones_like(observed) if self.blind else observed
        return (square[:, None] * counted).sum(2) / lengths.clamp(min=1)[:, None]

    def fuse(self, encoded: Mapping[str, Tensor]) -> Output:
        return Output(torch.stack([*encoded.values()]).mean(0))


def swept(model: nn.Module, data: Dataset, protocol: Protocol = FRAMES_LOST) -> Sweep:
    return sweep_model(model, TestSet(data, 1, torch.device("cpu")), protocol, 7, permutations=0)


def assert_close(result: Sweep, expected: Sweep) -> None:
    assert result.columns.keys() == expected.columns.keys()
    for name, values in expected.columns.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(result.columns[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
        else:
            np.testing.assert_array_equal(result.columns[name], values, err_msg=name)


def test_every_batch_is_mapped_once_for_all_levels(tiny: Dataset) -> None:
    model = Squares(tiny.spec.modalities)
    assert isinstance(model, MapsFrames)
    result = swept(model, tiny)
    batches = 3  # 20 samples by 7
    modalities = 3
    # The first batch also passes forward, and one batch of each modality with lost frames is encoded both ways.
    assert model.mapped == modalities * (batches + 1 + 1)
    assert result.columns["missing_text"].any()


NAMES = [
    "late-fusion",
    "late-fusion:encoder=gru",
    "late-fusion:encoder=transformer",
    "mm-boosting:encoder=mean",
    "qa-moe",
    "qa-moe-plus",
    "qa-moe:feature-nll",
]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("protocol", ["frame-missing", "lnln-missing", "quality-degradation", "random-missing"])
def test_predictions_are_those_of_forward_passes(
    name: str, protocol: str, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = find_model(name)
    with seeded("test", name):
        model = ref.builder()(tiny.spec, **ref.settings).eval()
    assert isinstance(model, nn.Module)
    assert isinstance(model, FrameMappingModel)
    together = swept(model, tiny, load_protocol(protocol))
    test = TestSet(tiny, 1, torch.device("cpu"))
    forward = sweep_model(model, test, load_protocol(protocol), 7, permutations=0, encode_once=False)
    assert_close(together, forward)


def test_a_group_ends_where_the_draw_changes_and_is_of_bounded_size(
    tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    protocol = replace(FRAMES_LOST, draws=2)
    expected = swept(Squares(tiny.spec.modalities), tiny, protocol)
    test = TestSet(tiny, 1, torch.device("cpu"))
    trials = [Trial(test, condition, draw, 7, first=False) for draw in (0, 1) for condition in protocol.conditions]
    model = Squares(tiny.spec.modalities)
    assert [len(group) for group in groups(trials, model)] == [3, 3]
    assert [len(group) for group in groups(trials, nn.Linear(1, 1))] == [1] * 6
    monkeypatch.setattr(trial, "TOGETHER", 2)
    assert [len(group) for group in groups(trials, model)] == [2, 1, 2, 1]
    assert_close(swept(model, tiny, protocol), expected)
    assert model.mapped == 3 * (4 * 3 + 1 + 1)  # each group maps each batch


def test_an_encoding_without_its_sets_is_refused(tiny: Dataset) -> None:
    class Flat(Squares):
        def encode_mapped(self, mapped: tuple[Tensor, ...], observed: Tensor, lengths: Tensor, modality: str) -> Tensor:
            return super().encode_mapped(mapped, observed, lengths, modality)[:, 0]

    with pytest.raises(RunFailed, match=r"encode_mapped gave shape \(7,\): expected .* dimensions \(7, 1\)"):
        swept(Flat(tiny.spec.modalities), tiny)


def test_frames_with_noise_are_mapped_anew(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    used = set[str]()
    original = MappedFrames.encode

    def noted(
        self: MappedFrames,
        corrupted: Corrupted,
        start: int,
        rows: Sequence[int],
        later: Sequence[Corrupted],
        *,
        refresh: bool,
    ) -> Tensor:
        assert self._modality not in corrupted.written
        if not refresh:
            used.add(self._modality)
        return original(self, corrupted, start, rows, later, refresh=refresh)

    monkeypatch.setattr(MappedFrames, "encode", noted)
    swept(Squares(tiny.spec.modalities), tiny, load_protocol("utterance-noise"))
    assert used == {"text"}  # which loses frames under this protocol, while the others get noise


def test_lost_frames_that_have_an_effect_are_refused(tiny: Dataset) -> None:
    with pytest.raises(RunFailed, match=r"encode_mapped.* differ for text with lost frames: expected equal"):
        swept(Squares(tiny.spec.modalities, blind=True), tiny)


def test_a_map_that_changes_its_input_changes_nothing_else(tiny: Dataset) -> None:
    test = TestSet(tiny, 1, torch.device("cpu"))
    before = {m: x.clone() for m, x in test.clean.features.items()}
    careless = sweep_model(Squares(tiny.spec.modalities, careless=True), test, FRAMES_LOST, 7, permutations=0)
    for m, x in test.clean.features.items():
        assert torch.equal(x, before[m])
    assert len(careless.columns["prediction"]) == 3 * 20
