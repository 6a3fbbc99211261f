"""Frames are mapped once where frames are lost at most, and predictions are the same to the bit."""

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
from qamoe_bench.evaluation import mapped_frames
from qamoe_bench.evaluation.mapped_frames import MappedFrames
from qamoe_bench.evaluation.sweep import Sweep, sweep_model
from qamoe_bench.evaluation.test_set import TestSet
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
        return (square * counted).sum(1) / lengths.clamp(min=1)

    def fuse(self, encoded: Mapping[str, Tensor]) -> Output:
        return Output(torch.stack([*encoded.values()]).mean(0))


def swept(model: nn.Module, data: Dataset, protocol: Protocol = FRAMES_LOST) -> Sweep:
    return sweep_model(model, TestSet(data, 1, torch.device("cpu")), protocol, 7, permutations=0)


def assert_equal(result: Sweep, expected: Sweep) -> None:
    assert result.columns.keys() == expected.columns.keys()
    for name, values in expected.columns.items():
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


@pytest.mark.parametrize("name", ["late-fusion", "qa-moe", "qa-moe-plus", "qa-moe:feature-nll", "mm-boosting"])
@pytest.mark.parametrize("protocol", ["frame-missing", "lnln-missing", "quality-degradation", "random-missing"])
def test_predictions_are_those_without_kept_frames(
    name: str, protocol: str, tiny: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    ref = find_model(name)
    with seeded("test", name):
        model = ref.builder()(tiny.spec, **ref.settings).eval()
    assert isinstance(model, nn.Module)
    assert isinstance(model, FrameMappingModel)
    with_them = swept(model, tiny, load_protocol(protocol))
    monkeypatch.setattr(mapped_frames, "MOST_BYTES", 0)
    assert_equal(with_them, swept(model, tiny, load_protocol(protocol)))


def test_frames_that_are_too_many_are_not_kept(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = swept(Squares(tiny.spec.modalities), tiny)
    monkeypatch.setattr(mapped_frames, "MOST_BYTES", 0)
    model = Squares(tiny.spec.modalities)
    assert_equal(swept(model, tiny), expected)
    assert model.mapped > 3 * (3 + 1 + 1)


def test_frames_with_noise_are_mapped_anew(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    used = set[str]()
    original = MappedFrames.encode

    def noted(
        self: MappedFrames, corrupted: Corrupted, start: int, rows: Sequence[int], *, refresh: bool
    ) -> Tensor | None:
        used.update(corrupted.batch.modalities if self.serves(corrupted) else ())
        used.difference_update(corrupted.written)
        return original(self, corrupted, start, rows, refresh=refresh)

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
