"""What each modality is worth, quality scores by corruption, worst samples and pairs: against numbers by hand."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fakestore import noisy, write_store

from qamoe_bench.analysis.comparisons import differences_by_condition, pairwise_differences, ranking
from qamoe_bench.analysis.errors import first_draw_errors
from qamoe_bench.analysis.hard_samples import uncorrupted_condition, worst
from qamoe_bench.analysis.quality_curves import quality_curves
from qamoe_bench.analysis.scores import score
from qamoe_bench.analysis.section import Section, sections
from qamoe_bench.analysis.sensitivity import sensitivity
from qamoe_bench.metrics.dialects import DIALECTS

MODELS = {
    "late-fusion": noisy(1.0),
    "good": noisy(0.3),
    "twin": noisy(1.0),
    "mean": lambda label, level, random: np.zeros(len(label)),
    "oracle": noisy(0.1),
}


def made(folder: Path, **options: object) -> Section:
    (section,) = sections(write_store(folder, MODELS, samples=400, **options).cells())  # type: ignore[arg-type]
    return section


def test_what_a_modality_is_worth_is_a_difference_on_the_same_samples(tmp_path: Path) -> None:
    section = made(tmp_path, levels=(0.0, 0.5, 0.8))
    worth = sensitivity(section, DIALECTS["mmsa"], "mae")
    assert worth is not None
    assert set(worth.sets[-3:]) == {("text",), ("audio",), ("vision",)}
    by_seed = []
    for cell in (c for c in section.cells if c.cell.model == "good"):
        frame = cell.predictions
        frame["error"] = (frame.prediction - frame.target).abs()
        lost = frame.missing_text + 2 * frame.missing_audio + 4 * frame.missing_vision
        means = {of: frame[lost == of].groupby("id").error.mean() for of in (0, 1)}
        by_seed.append((means[1] - means[0]).mean())  # of the samples that met both, text present and text missing
    place = worth.sets.index(("audio", "vision"))
    good = [row.name for row in section.rows].index("good")
    assert worth.of_set.value[good, place] == pytest.approx(np.mean(by_seed))
    idle = [row.name for row in section.rows].index("mean")
    assert np.abs(worth.of_modality.value[idle]).max() == 0  # the same prediction whatever is missing


@pytest.mark.parametrize("metric", ["mae", "corr", "acc7", "f1_has0"])
def test_sums_over_labels_are_shared_by_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, metric: str) -> None:
    section = made(tmp_path, levels=(0.0, 0.5))
    shared = sensitivity(section, DIALECTS["mmsa"], metric)
    monkeypatch.setattr("qamoe_bench.analysis.sensitivity._label_sums", lambda *_: {})
    alone = sensitivity(section, DIALECTS["mmsa"], metric)
    assert shared is not None
    assert alone is not None
    np.testing.assert_array_equal(shared.of_set.value, alone.of_set.value)
    np.testing.assert_allclose(shared.of_set.interval(), alone.of_set.interval(), rtol=1e-9, atol=1e-12)


def test_nothing_is_worth_saying_where_no_whole_modality_goes(tmp_path: Path) -> None:
    assert sensitivity(made(tmp_path, levels=(0.0,), noise=(0.0, 0.5)), DIALECTS["mmsa"], "mae") is None


def test_metrics_of_ranks_have_no_sensitivity(tmp_path: Path) -> None:
    of_ranks = replace(DIALECTS["mmsa"].definitions["mae"], is_additive=False)
    assert (
        sensitivity(made(tmp_path, levels=(0.0, 0.5)), replace(DIALECTS["mmsa"], definitions={"mae": of_ranks}), "mae")
        is None
    )


def test_quality_scores_are_summed_up_for_each_degree_of_corruption(tmp_path: Path) -> None:
    curves = quality_curves(made(tmp_path))
    curve = curves["good", "text"]
    assert curve.corruption.tolist() == [0, 1]
    assert curve.mean.tolist() == [1, 0.5]  # they were made so
    assert curve.count.sum() == 3 * 3 * 400
    many = quality_curves(made(tmp_path / "noisy", noise=np.linspace(0, 2, 14).tolist()))["good", "text"]
    assert len(many.corruption) <= 11
    assert (np.diff(many.corruption) > 0).all()
    assert ((many.low <= many.mean) & (many.mean <= many.high)).any()


def test_the_worst_samples_are_those_whose_error_grows_most(tmp_path: Path) -> None:
    section = made(tmp_path)
    assert uncorrupted_condition(section) == 0
    falls = worst(section, 5)
    assert not [f for f in falls if section.rows[f.row].is_oracle]
    good = section.find("good")
    assert good is not None
    row = section.rows[good]
    rise = first_draw_errors(row, section) - first_draw_errors(row, section)[:, [0]]  # (S, C, N)
    own = [f for f in falls if (f.row, f.against) == (good, "clean")]
    assert [f.error - f.before for f in own] == pytest.approx(np.sort(rise.max((0, 1)))[::-1][:5])
    assert [f.sample for f in own] == np.argsort(-rise.max((0, 1)))[:5].tolist()
    first = own[0]
    assert rise[row.seeds.index(first.seed), first.condition, first.sample] == rise.max()
    assert {f.against for f in falls if f.row == section.find("late-fusion")} == {"clean"}  # it is the control


def test_pairs_say_what_ranks_say(tmp_path: Path) -> None:
    section = made(tmp_path)
    scores = score(section, DIALECTS["mmsa"], "mae")
    pairs, ranks = pairwise_differences(section, scores), ranking(section, scores)
    assert len(pairs) == 4 * 3 / 2  # the oracle does not compete
    for i in {i for pair in pairs for i in pair}:
        lost = sum(d.is_significant and (d.value > 0) == (a == i) for (a, b), d in pairs.items() if i in (a, b))
        assert ranks.best[i, -1] == 1 + lost  # a row is as many places down as rows are significantly better


def test_differences_by_condition_are_those_of_the_means(tmp_path: Path) -> None:
    section = made(tmp_path)
    scores = score(section, DIALECTS["mmsa"], "mae")
    gaps = differences_by_condition(section, scores)
    good, other, twin = (section.find(name) for name in ("good", "late-fusion", "twin"))
    means = scores.values.mean(1)
    sign = 1 if (good, other) in gaps else -1
    value, sure = gaps[min(good, other), max(good, other)]  # type: ignore[type-var, index]
    assert sign * value == pytest.approx(means[good] - means[other])
    assert sure[0]
    assert not gaps[min(other, twin), max(other, twin)][1].any()  # type: ignore[type-var, index]
