"""Batches that are corrupted together equal those that are corrupted one after another, to the bit."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from freshdraws import FreshDraws
from tinydata import make_dataset

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.corruption.apply import apply_condition
from qamoe_bench.corruption.groups import groups_of
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.protocol.parse import load_protocol, protocol_names
from qamoe_bench.protocol.spec import Condition, Step
from qamoe_bench.seeding import stream, torch_seed
from qamoe_bench.training import batches
from qamoe_bench.training.batches import CorruptedBatches
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import CLEAN, SPECTRUM, Exposure, sweep_of

CPU = torch.device("cpu")
PROTOCOLS = [name for name in protocol_names() if not load_protocol(name).files]
EXPOSURES: dict[str, Exposure] = {
    "spectrum": SPECTRUM,
    "clean": CLEAN,
    **{name: sweep_of(load_protocol(name)) for name in PROTOCOLS},
}
# Where half of the samples are spared, a batch of four may have no level above 0.
SPARED: dict[str, Exposure] = {
    f"{name}, half spared": sweep_of(replace(protocol, training=replace(protocol.training, untouched=0.5)))
    for name, protocol in ((name, load_protocol(name)) for name in PROTOCOLS)
}


def one_by_one(data: Dataset, exposure: Exposure, config: TrainConfig, seed: int) -> Iterator[Corrupted]:
    """Two epochs as they are defined: each batch alone, with draws of one generator."""
    train = data.splits["train"].batch()
    order = torch.Generator().manual_seed(torch_seed("train", seed, "order"))
    generator = torch.Generator().manual_seed(torch_seed("train", seed, "corruption"))
    levels = stream("train", seed, "levels")
    for _ in range(2):
        for rows in torch.split(torch.randperm(train.size, generator=order), config.batch_size):
            clean = train.rows(rows)
            condition = exposure.draw(clean.size, levels, config)
            yield apply_condition(clean, condition, FreshDraws(clean, generator), data.reference)


@pytest.mark.parametrize("name", [*EXPOSURES, *SPARED])
@pytest.mark.parametrize("config", [TrainConfig(batch_size=7), TrainConfig(batch_size=4, levels_per="batch")])
def test_batches_are_those_that_are_corrupted_one_after_another(name: str, config: TrainConfig) -> None:
    data = make_dataset()
    exposure = {**EXPOSURES, **SPARED}[name]
    corrupted = CorruptedBatches(data, exposure, 3, config, CPU)
    given = [*corrupted.train_batches(), *corrupted.train_batches()]
    expected = list(one_by_one(data, exposure, config, 3))
    assert len(given) == len(expected)
    for batch, alone in zip(given, expected, strict=True):
        assert_equal(batch, alone)


def assert_equal(batch: TrainingBatch, alone: Corrupted) -> None:
    for m in alone.batch.modalities:
        assert torch.equal(batch.features[m], alone.batch.features[m])
        assert torch.equal(batch.lengths[m], alone.batch.lengths[m])
        # The measured size of a change is a product, whose rounding depends on the number of its rows.
        torch.testing.assert_close(batch.signal[m], alone.signal(m), rtol=1e-6, atol=1e-6)


def test_large_batches_are_corrupted_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_dataset()
    config = TrainConfig(batch_size=7)
    together = list(CorruptedBatches(data, SPECTRUM, 3, config, CPU).train_batches())
    monkeypatch.setattr(batches, "GROUP_BYTES", 1)
    alone = list(CorruptedBatches(data, SPECTRUM, 3, config, CPU).train_batches())
    memory = [{batch.features["text"].untyped_storage().data_ptr() for batch in of} for of in (together, alone)]
    assert [len(addresses) for addresses in memory] == [1, 6]
    for one, other in zip(together, alone, strict=True):
        assert torch.equal(one.features["text"], other.features["text"])
        assert torch.equal(one.index, other.index)


def test_a_group_ends_where_it_is_full_and_where_other_levels_are_active() -> None:
    def condition(level: float) -> Condition:
        return Condition("c", {}, (Step("frame-missing", {"text": level}, {}),))

    drawn = [(4, condition(level)) for level in (0.1, 0.2, 0.3, 0.0, 0.0, 0.4)] + [(2, condition(0.5))]
    groups = list(groups_of(iter(drawn), limit=8))
    assert [group.sizes for group in groups] == [[4, 4], [4], [4, 4], [4, 2]]
    assert [group.conditions[0].steps[0].levels["text"] for group in groups] == [0.1, 0.3, 0.0, 0.4]
    assert groups[3].slices == [slice(0, 4), slice(4, 6)]


def test_a_batch_that_a_model_changes_leaves_the_others_of_its_group_alone() -> None:
    data = make_dataset()
    config = TrainConfig(batch_size=7)
    untouched = list(CorruptedBatches(data, SPECTRUM, 3, config, CPU).train_batches())
    for batch, expected in zip(
        CorruptedBatches(data, SPECTRUM, 3, config, CPU).train_batches(), untouched, strict=True
    ):
        for m, x in batch.features.items():
            assert torch.equal(x, expected.features[m])
            x.add_(1)
            assert torch.equal(batch.clean[m], expected.clean[m]) or torch.equal(x, batch.clean[m])
