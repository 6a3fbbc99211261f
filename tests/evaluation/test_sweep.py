"""Sweeps: their columns other than the predictions."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from qamoe_bench.contract import Batch, Output
from qamoe_bench.corruption.apply import apply_condition
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.synthetic.law import draw_dataset
from qamoe_bench.data.synthetic.synthetic import standard_law
from qamoe_bench.evaluation.sweep import sweep_model, sweep_oracle
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.registry import find_model

CPU = torch.device("cpu")


@pytest.fixture
def protocol() -> Protocol:
    """Two levels of random-missing under two draws."""
    return replace(load_protocol("random-missing"), axes={"eta": (0.0, 0.5)}, draws=2)


def test_models_and_the_oracle_carry_the_true_scatter_of_every_sample(protocol: Protocol) -> None:
    data = draw_dataset(standard_law(), {"train": 20, "valid": 4, "test": 6}, seed=7)
    test = TestSet(data, 1, CPU)
    model = find_model("late-fusion").builder()(data.spec)
    for sweep in (sweep_model(model, test, protocol), sweep_oracle(test, protocol)):
        for _, part in pd.DataFrame(sweep.columns).groupby(["draw", "condition"], sort=False):
            for m in data.spec.modalities:
                assert part[f"scatter_{m}"].dtype == np.float32
                np.testing.assert_array_equal(part[f"scatter_{m}"], data.reliability["test"][m])


def test_where_no_law_is_known_there_is_no_scatter(tiny: Dataset, protocol: Protocol) -> None:
    columns = sweep_model(find_model("late-fusion").builder()(tiny.spec), TestSet(tiny, 1, CPU), protocol).columns
    assert not [name for name in columns if name.startswith("scatter")]


class Clock:
    """Stands still but for what is said to take time."""

    def __init__(self) -> None:
        self.now = 0.0

    def process_time(self) -> float:
        return self.now


class Timed(nn.Module):
    """Takes a second per sample, a hundred for every fourth batch, and long for scores that are not its own."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock, self.batches = clock, 0

    def forward(self, batch: Batch) -> Output:
        self.batches += 1
        self.clock.now += batch.size * (100 if self.batches % 4 == 0 else 1)
        return Output(torch.zeros(batch.size), quality={"text": torch.ones(batch.size)})

    def predict_with_quality(self, batch: Batch, quality: dict[str, Tensor]) -> Output:
        self.clock.now += 1000
        return Output(torch.zeros(batch.size), quality=quality)


def test_speed_is_that_of_the_models_own_passes_and_of_most_batches(
    tiny: Dataset, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = Clock()

    def slowly(*arguments: Any) -> Corrupted:
        clock.now += 1000
        return apply_condition(*arguments)

    monkeypatch.setattr("qamoe_bench.evaluation.test_set.apply_condition", slowly)
    monkeypatch.setattr("qamoe_bench.evaluation.clock.time", clock)
    sweep = sweep_model(Timed(clock), TestSet(tiny, 1, CPU), protocol, batch_size=3)  # of 20 samples, so the last are 2
    assert sweep.seconds_per_sample == 1


def test_the_oracle_has_no_speed(protocol: Protocol) -> None:
    data = draw_dataset(standard_law(), {"train": 20, "valid": 4, "test": 6}, seed=7)
    assert sweep_oracle(TestSet(data, 1, CPU), protocol).seconds_per_sample == 0
