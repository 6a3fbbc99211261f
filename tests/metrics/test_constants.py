"""The best constant answers, against a search through all answers."""

import numpy as np
import pytest

from qamoe_bench.api.data import load_data
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.metrics.constants import best_constants
from qamoe_bench.metrics.dialects import MMSA, SIMS


@pytest.mark.parametrize("scale", [3.0, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_no_other_constant_is_better(seed: int, scale: float) -> None:
    random = np.random.default_rng(seed)
    drawn = np.clip(random.normal(0.4 * scale, 0.5 * scale, 90), -scale, scale)
    label = np.asarray(np.round(drawn, 1), np.float64)
    best = best_constants(label)
    dialect = (MMSA if scale == 3 else SIMS).on_scale(label)
    for name in dialect.definitions.keys() & best.keys():
        definition = dialect.definitions[name] if scale == 3 or name not in MMSA.definitions else MMSA.definitions[name]
        sign = METRICS[name].sign
        reached = sign * definition(np.full(90, best[name]), label)
        everywhere = [sign * definition(np.full(90, answer), label) for answer in np.linspace(-scale, scale, 601)]
        # The median of labels on a grid may lie between the points of this one.
        assert reached >= max(everywhere) - 1e-3 * scale, name
    assert "corr" not in best


def test_in_two_classes_it_is_the_majority_and_in_mae_the_median() -> None:
    label = np.array([-2.0, -1.0, -1.0, 3.0, 3.0])  # of mean 0.4
    best = best_constants(label)
    assert best["acc2_non0"] <= 0  # 0 is not above 0
    assert best["mae"] == -1
    assert best["acc7"] in (-1, 3)


def test_a_data_set_gives_those_of_its_training_labels() -> None:
    data = load_data("synthetic")
    assert data.spec.best_constants == best_constants(data.splits["train"].target.numpy())
