"""Each result of a section is computed once, and only where something shows it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakestore import noisy, write_store
from numpy.typing import NDArray

from qamoe_bench.analysis.analyse import analyse_section
from qamoe_bench.analysis.comparisons import ranking
from qamoe_bench.analysis.scores import score
from qamoe_bench.analysis.section import Section, sections
from qamoe_bench.analysis.shared_results import SharedResults
from qamoe_bench.analysis.summaries import summaries
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.on_access import OnAccess
from qamoe_bench.statistics.intervals import estimate

MMSA = DIALECTS["mmsa"]
MODELS = {"late-fusion": noisy(1.0), "good": noisy(0.3), "bad": noisy(2.0), "oracle": noisy(0.1)}


@pytest.fixture
def section(tmp_path: Path) -> Section:
    (section,) = sections(write_store(tmp_path, MODELS, audits="new").cells())
    return section


def test_what_is_on_demand_is_computed_when_it_is_first_used() -> None:
    computed: list[str] = []

    def compute(metric: str) -> str:
        computed.append(metric)
        return metric.upper()

    results = OnAccess(("mae", "corr"), compute)
    assert [*results] == ["mae", "corr"]
    assert "mae" in results
    assert "acc7" not in results
    assert computed == []
    assert (results["corr"], results["corr"], results.get("acc7")) == ("CORR", "CORR", None)
    assert computed == ["corr"]


def test_dialects_share_what_they_define_alike(section: Section) -> None:
    shared = SharedResults(section)
    first = analyse_section(section, MMSA, ["mae", "acc2_non0"], shared=shared)
    second = analyse_section(section, DIALECTS["mult"], ["mae"], first, shared)
    assert second.scores[0] is first.scores[0]
    assert second.summaries["mae"] is first.summaries["mae"]
    assert second.pairs["mae"] is first.pairs["mae"]
    alone = analyse_section(section, DIALECTS["mult"], ["mae"])
    for name, effects in alone.intervention_effects.items():
        for intervention, effect in effects.items():
            assert np.array_equal(second.intervention_effects[name][intervention].value, effect.value)


def test_a_summary_is_estimated_once_and_only_if_it_is_shown(section: Section, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def counted(*arguments: object) -> object:
        made.append(1)
        return estimate(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("qamoe_bench.analysis.summaries.estimate", counted)
    by_name = summaries(section, score(section, MMSA, "mae"))
    assert len(by_name) > 2
    assert made == []
    assert by_name["mean"].estimate() is by_name["mean"].estimate()
    assert made == [1]


def test_ranks_of_the_mean_alone_are_those_beside_the_levels(section: Section) -> None:
    for metric in MMSA.shown:
        scores = score(section, MMSA, metric)
        whole = ranking(section, scores)
        alone = ranking(section, scores, by_level=False)
        assert alone.best.shape == (len(section.rows), 1)
        assert np.array_equal(alone.best[:, 0], whole.best[:, -1])
        assert np.array_equal(alone.worst[:, 0], whole.worst[:, -1])


def test_without_audits_only_predictions_are_decoded(section: Section) -> None:
    row = section.rows[0]
    row.read_predictions()
    assert set(row._columns) == {"prediction"}
    assert row.column("variance").shape == row.column("prediction").shape  # other outputs are read when they are used
    assert {"variance", "quality_text"} <= set(row._columns)
    assert "missing_text" not in row._columns


def test_few_samples_are_resampled_in_batches_with_equal_results(
    section: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = score(section, MMSA, "corr")
    sizes: list[int] = []
    concatenate = np.concatenate

    def counted(arrays: list[NDArray[Any]]) -> object:
        sizes.append(len(arrays))
        return concatenate(arrays)

    monkeypatch.setattr("qamoe_bench.analysis.scores.BATCH", 2 * 9 * 200)  # two rows of nine vectors of predictions
    monkeypatch.setattr("qamoe_bench.analysis.scores.np.concatenate", counted)
    parts = score(section, MMSA, "corr")
    monkeypatch.undo()
    assert [size for size in sizes if size == 2] == [2, 2]
    np.testing.assert_allclose(parts.resampled, whole.resampled, rtol=1e-12)


def test_the_usual_interval_is_computed_once(section: Section) -> None:
    means = score(section, MMSA, "mae").estimate()
    assert means.interval()[0] is means.interval()[0]
    np.testing.assert_array_equal(means.interval(), means.interval(np.full(means.value.shape, 1 - 0.95)))
