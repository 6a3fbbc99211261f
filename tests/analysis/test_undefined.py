"""Constant predictions have no correlation, and a mean over seeds is over all of them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from fakestore import noisy, write_store
from numpy.typing import NDArray

from qamoe_bench.analysis.analyse import Analysis, analyse_section
from qamoe_bench.analysis.comparisons import pairwise_differences
from qamoe_bench.analysis.section import sections
from qamoe_bench.metrics.dialects import MMSA
from qamoe_bench.report.formats.plain import plain_text
from qamoe_bench.report.records import records
from qamoe_bench.report.tables import chapters
from qamoe_bench.statistics.ranks import spearman
from qamoe_bench.store.store import Store

CORR = MMSA.definitions["corr"]
LABEL = np.round(np.random.default_rng(0).uniform(-3, 3, 200), 1)
Array = NDArray[np.float64]


def nearly(value: float, steps: int) -> Array:
    """Single-precision neighbours of a value, at most so many steps away."""
    random = np.random.default_rng(1)
    ulp = np.spacing(np.float32(abs(value)))
    values = np.float32(value) + ulp * random.integers(-steps, steps + 1, len(LABEL)).astype(np.float32)
    assert len(np.unique(values)) > 1
    return np.asarray(values, np.float64)


@pytest.mark.parametrize("value", [-0.07, 1.3, 0.4, 2.9, -1e-3])
@pytest.mark.parametrize("steps", [1, 3])
def test_predictions_that_differ_by_rounding_have_no_correlation(value: float, steps: int) -> None:
    assert np.isnan(CORR(nearly(value, steps), LABEL))


def test_what_a_sum_in_single_precision_leaves_near_zero_is_no_prediction() -> None:
    # A last layer whose terms cancel: the result is small and its rounding relatively large.
    random = np.random.default_rng(2)
    assert np.isnan(CORR(1e-5 + 3e-7 * random.standard_normal(len(LABEL)), LABEL))


@pytest.mark.parametrize("change", [lambda y: 1 + 1e-3 * y, lambda y: 1e-3 * y, lambda y: 1e3 * y + 1e4])
def test_small_and_large_answers_keep_their_correlation(change: Callable[[Array], Array]) -> None:
    assert CORR(change(LABEL), LABEL) == pytest.approx(1)


def test_ranks_of_rounding_have_no_correlation() -> None:
    assert np.isnan(spearman(nearly(0.8, 2).astype(np.float32), LABEL))
    assert spearman(LABEL.astype(np.float32), LABEL) == pytest.approx(1)


# Means over seeds


def partly_constant(label: Array, level: float, random: np.random.Generator) -> Array:
    """Constant up to rounding at level .6, but only under seed 2."""
    if level == 0.6 and np.random.default_rng([2, 1]).random() == _first(random):
        return nearly(0.5, 1)[: len(label)]
    return label + random.standard_normal(len(label))


def _first(random: np.random.Generator) -> float:
    """The first number that this generator drew, from a copy of its seed."""
    seed = random.bit_generator.seed_seq.entropy  # type: ignore[attr-defined]
    return float(np.random.default_rng(seed).random())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_store(tmp_path, {"late-fusion": noisy(1.0), "partly": partly_constant, "a": noisy(0.5)})


def analysed(store: Store) -> Analysis:
    (section,) = sections(store.cells())
    return analyse_section(section, MMSA, ["corr", "mae"])


def test_a_row_that_is_undefined_under_one_seed_is_neither_averaged_ranked_nor_tested(store: Store) -> None:
    analysis = analysed(store)
    corr, mae = analysis.scores
    row = analysis.section.find("partly")
    assert row is not None
    assert np.isnan(corr.values[row, :, 2]).sum() == 1  # one seed of three, at the last level
    assert np.isnan(corr.estimate().value[row, 2])
    assert np.isfinite(corr.estimate().value[row, :2]).all()
    assert np.isnan(analysis.summaries["corr"]["mean"].estimate().value[row])
    assert analysis.rankings["corr"].show(row) == ""
    assert row not in analysis.differences["corr"]
    assert not any(row in pair for pair in pairwise_differences(analysis.section, corr))
    assert analysis.rankings["mae"].show(row)
    assert row in analysis.differences["mae"]
    assert np.isfinite(mae.estimate().value[row]).all()


def test_the_report_names_the_row_the_level_and_the_number_of_seeds(store: Store) -> None:
    analysis = analysed(store)
    (chapter,) = chapters([analysis], store.manifests())
    text = " ".join(plain_text([chapter]).split())
    assert "corr is undefined, where the predictions are constant: partly at eta=0.6 in 1 of 3 seeds." in text
    values = [r for r in records([analysis]) if (r["row"], r["statistic"], r["metric"]) == ("partly", "mean", "corr")]
    assert [r["value"] for r in values] == [None]


def test_a_row_with_fewer_seeds_has_a_mean_over_its_own_and_the_report_says_so(tmp_path: Path) -> None:
    write_store(tmp_path, {"late-fusion": noisy(1.0)}, seeds=(1, 2, 3))
    store = write_store(tmp_path, {"late-fusion": noisy(1.0), "a": noisy(0.5)}, seeds=(1, 2), run="other")
    analysis = analysed(store)
    row = analysis.section.find("a")
    assert row is not None
    assert np.isfinite(analysis.scores[0].estimate().value[row]).all()
    (chapter,) = chapters([analysis], store.manifests())
    assert "seeds: 1, 2, 3 (of these, a has 2)" in " ".join(plain_text([chapter]).split())


def test_a_difference_is_significant_where_the_ranks_differ(store: Store) -> None:
    analysis = analysed(store)
    for scores in analysis.scores:
        name = scores.metric.name
        ranks = analysis.rankings[name]
        control = analysis.section.find("late-fusion")
        for row in range(len(analysis.section.rows)):
            if row in analysis.differences[name]:
                separate = (
                    ranks.worst[row, -1] < ranks.best[control, -1] or ranks.best[row, -1] > ranks.worst[control, -1]
                )
                assert analysis.differences[name][row].is_significant or not separate
