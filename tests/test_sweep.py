"""Sweeps: what their columns say beside the predictions."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.synthetic import draw, standard_law
from qamoe_bench.protocol import Protocol
from qamoe_bench.protocol_file import load_protocol
from qamoe_bench.registry import find_model
from qamoe_bench.sweep import TestSet, sweep_model, sweep_oracle

CPU = torch.device("cpu")


@pytest.fixture
def protocol() -> Protocol:
    """Two levels of random-missing under two draws."""
    return replace(load_protocol("random-missing"), axes={"eta": (0.0, 0.5)}, draws=2)


def test_models_and_the_oracle_carry_the_true_scatter_of_every_sample(protocol: Protocol) -> None:
    data = draw(standard_law(), {"train": 20, "valid": 4, "test": 6}, seed=7)
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
