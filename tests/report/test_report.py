"""Reports on made-up stores: numbers by hand, and every format says the same."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakestore import noisy, write_store
from scipy.stats import spearmanr

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.dialects import DIALECTS, scores
from qamoe_bench.report.formats.choice import check_format
from qamoe_bench.report.formats.latex import SPECIAL, escape, latex
from qamoe_bench.report.formats.markdown import markdown
from qamoe_bench.report.formats.plain import plain_text
from qamoe_bench.report.published import published, published_table
from qamoe_bench.report.records import RECORD_KEYS, as_csv, as_json, records
from qamoe_bench.report.table import Chapter, Table, fitted, without_empty
from qamoe_bench.report.tables import analyses, chapters
from qamoe_bench.store.store import Store

MODELS = {
    "mean": lambda label, level, random: np.zeros(len(label)),
    "late-fusion": noisy(1.0),
    "good": noisy(0.4),
    "twin": noisy(1.0),
    "oracle": noisy(0.1),
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_store(tmp_path, MODELS)


def analysed(store: Store, *metrics: str, dialect: str = "mmsa") -> Analysis:
    (analysis,) = analyses(store.cells(), DIALECTS[dialect], metrics)
    return analysis


def tables(store: Store, *metrics: str) -> dict[str, Table]:
    (chapter,) = chapters([analysed(store, *metrics)], store.manifests())
    return {t.title: t for t in chapter.tables}


def value(results: list[dict[str, Any]], **wanted: Any) -> dict[str, Any]:
    (record,) = [r for r in results if all(r[k] == v for k, v in wanted.items())]
    return record


def test_records_are_the_metrics_of_the_stored_predictions(store: Store) -> None:
    results = list(records([analysed(store)]))
    assert all(tuple(r) == RECORD_KEYS for r in results)
    frames = {c.cell.seed: c.predictions for c in store.cells() if c.cell.model == "good"}
    by_seed = []
    for frame in frames.values():
        block = frame[frame.condition == "eta=0.3"]
        by_seed.append(scores(DIALECTS["mmsa"], {k: block[k].to_numpy() for k in ("prediction", "target")}))
    for metric in ("acc2_non0", "acc7", "mae", "corr"):
        record = value(results, model="good", condition="eta=0.3", metric=metric, statistic="value")
        expected = np.mean([s[metric] for s in by_seed])
        assert record["value"] == pytest.approx(expected, abs=1e-9)
        assert record["low"] < expected < record["high"]
        assert (record["level"], record["seeds"], record["samples"]) == (0.3, 3, 60)


def test_summaries_are_as_defined(store: Store) -> None:
    results = list(records([analysed(store, "mae")]))
    curve = [
        value(results, model="good", condition=f"eta={x}", statistic="value")["value"] for x in ("0", "0.3", "0.6")
    ]
    summary = {r["statistic"]: r["value"] for r in results if r["model"] == "good" and r["condition"] is None}
    assert summary["mean"] == pytest.approx(np.mean(curve))
    assert summary["auilc"] == pytest.approx((curve[0] / 2 + curve[1] + curve[2] / 2) / 2)  # trapezia over .6, per .6
    assert summary["worst"] == pytest.approx(max(curve))
    assert summary["retention"] == pytest.approx(curve[2] / curve[0], rel=0.02)  # of each seed, then the mean
    means = {m: value(results, model=m, statistic="mean")["value"] for m in MODELS}
    reached = (means["mean"] - means["good"]) / (means["mean"] - means["oracle"])
    assert summary["reached"] == pytest.approx(reached, rel=0.01)
    difference = value(results, model="good", statistic="difference")
    assert difference["value"] == pytest.approx(means["good"] - means["late-fusion"])
    assert difference["high"] < 0  # significantly better, corrected for the family
    assert difference["against"] == "late-fusion"


def test_ties_are_shown_as_ties_and_only_a_significant_winner_is_marked(store: Store) -> None:
    table = tables(store, "mae")["mae: summary over all levels"]
    rank = {row[0]: row[-1] for row in table.rows}
    assert rank == {"good": "1", "late-fusion": "2–3", "twin": "2–3", "mean": "4", "oracle": ""}
    row = [r[0] for r in table.rows].index("good")
    assert table.best == {(row, 1)}
    by_level = next(t for title, t in tables(store, "mae").items() if title.startswith("mae (lower"))
    assert (row, 1) in by_level.best
    assert all(i == row for i, _ in by_level.best)


def test_an_undefined_metric_is_named_and_has_no_rank(store: Store) -> None:
    by_title = tables(store, "corr")
    by_level = next(t for title, t in by_title.items() if title.startswith("corr (higher"))
    assert next(row for row in by_level.rows if row[0] == "mean")[1:] == ("–",) * 4
    assert "the predictions are constant: mean everywhere in 3 of 3 seeds" in " ".join(by_level.notes)
    ranks = {row[0]: row[-1] for row in by_title["corr: summary over all levels"].rows}
    assert ranks["mean"] == ""
    record = value(list(records([analysed(store, "corr")])), model="mean", statistic="mean")
    assert record["value"] is None


def test_rows_with_other_seeds_are_compared_on_those_that_they_share(tmp_path: Path) -> None:
    store = write_store(tmp_path, MODELS)
    for cell in store.cells():
        if cell.cell.model == "good" and cell.cell.seed == 3:
            cell.path.unlink()
    results = list(records([analysed(store, "mae")]))
    assert value(results, model="good", statistic="mean")["seeds"] == 2
    difference = value(results, model="good", statistic="difference")
    means = {
        m: np.mean([(c.predictions.prediction - c.predictions.target).abs().mean()
                    for c in store.cells() if c.cell.model == m and c.cell.seed < 3])
        for m in ("good", "late-fusion")
    }  # fmt: skip
    assert difference["value"] == pytest.approx(means["good"] - means["late-fusion"], abs=1e-6)


def test_one_seed_says_what_it_does_not_cover(tmp_path: Path) -> None:
    store = write_store(tmp_path, MODELS, seeds=(1,))
    (chapter,) = chapters([analysed(store)], store.manifests())
    assert "one seed does not cover the variation between trainings" in " ".join(chapter.lines)


def test_quality_is_ranked_against_the_corruption_and_variance_against_the_errors(store: Store) -> None:
    analysis = analysed(store)
    assert analysis.quality["good"]["text"].corruption == pytest.approx(-1)  # it was made so
    cells = [c.predictions for c in store.cells() if c.cell.model == "good"]
    rank = [spearmanr(f.variance, (f.target - f.prediction).abs()).statistic for f in cells]
    # Within a condition the made-up variance is constant: nothing to rank there, though much over all conditions.
    assert np.mean(rank) > 0.1
    assert np.isnan(analysis.uncertainty["good"].rank)
    frame = cells[0][cells[0].condition == "eta=0"]
    inside = ((frame.target - frame.prediction).abs() <= 1.959964 * np.sqrt(frame.variance)).mean()
    assert analysis.uncertainty["good"].covered.shape == (3, 10)
    assert abs(analysis.uncertainty["good"].covered[0, -1] - inside) < 0.1  # other seeds are in it too


def test_every_text_format_shows_every_number_of_a_table(store: Store) -> None:
    report = chapters([analysed(store)], store.manifests())
    texts = {"terminal": plain_text(report), "markdown": markdown(report), "latex": latex(report)}
    for table in report[0].tables:
        for row in table.rows:
            for cell in row:
                assert cell in texts["terminal"]
                assert cell in texts["markdown"]
                assert escape(cell) in texts["latex"]


def test_json_and_csv_hold_the_same_records(store: Store) -> None:
    made = [analysed(store)]
    from_json = json.loads(as_json(made))
    from_csv = list(csv.DictReader(io.StringIO(as_csv(made))))
    assert len(from_json) == len(from_csv) > 100
    for a, b in zip(from_json, from_csv, strict=True):
        assert {k: "" if v is None else str(v) for k, v in a.items()} == b


def test_latex_is_balanced_ascii_with_booktabs_and_bold_winners(store: Store) -> None:
    text = latex(chapters([analysed(store)], store.manifests()))
    assert text.isascii()
    assert text.count(r"\begin{") == text.count(r"\end{")
    for body in re.findall(r"\\begin\{tabular\}\{(.*?)\}(.*?)\\end\{tabular\}", text, re.DOTALL):
        lines = [line for line in body[1].splitlines() if line.endswith(r"\\")]
        assert {len(re.findall(r"(?<!\\)&", line)) for line in lines} == {len(body[0]) - 1}
        assert all(rule in body[1] for rule in (r"\toprule", r"\midrule", r"\bottomrule"))
    plain = re.sub(r"\\[{}$%&_#]", "", text)
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert r"\textbf{" in text
    assert "?" not in text  # every character has a spelling in LaTeX


def test_what_reports_print_has_a_spelling_in_latex() -> None:
    for character in "ηλσρτ−±≈×…–²α":
        assert (escape(character) != "?") == (character in SPECIAL)
    assert escape("50 % of a_b & {c}") == r"50 \% of a\_b \& \{c\}"


def test_markdown_escapes_what_would_break_a_table() -> None:
    table = Table("a|b", ("x", "y<z"), (("p|q", "1"),), best=frozenset({(0, 1)}))
    text = markdown([Chapter("h", (), (table,))])
    assert r"| p\|q | **1** |" in text
    assert "y&lt;z" in text


def test_tables_lose_empty_columns_and_turn_with_their_marks() -> None:
    table = Table("t", ("model", "a", "b"), (("m", "–", "1"), ("n", "–", "2")), best=frozenset({(1, 2)}))
    kept = without_empty(table)
    assert kept.header == ("model", "b")
    assert kept.best == {(1, 1)}
    wide = Table(
        "t", ("model", *(f"a long column {i}" for i in range(9))), (("m", *"123456789"),), best=frozenset({(0, 3)})
    )
    turned = fitted(wide)
    assert turned.header == ("", "m")
    assert turned.rows[2] == ("a long column 2", "3")
    assert turned.best == {(2, 1)}


def test_an_unknown_format_or_metric_names_the_nearest(store: Store) -> None:
    with pytest.raises(BenchError, match="did you mean 'latex'"):
        check_format("latx")
    with pytest.raises(BenchError, match="metric of dialect sims"):
        analysed(store, "acc7", dialect="sims")
    assert [s.metric.name for s in analysed(store, dialect="sims").scores] == ["acc2_has0", "acc5", "mae", "corr"]


# Published numbers


def test_published_lines_are_in_range_and_name_their_sources() -> None:
    lines = published()
    assert len(lines) > 300
    for line in lines:
        assert line.source
        assert line.confidence.partition(" ")[0] in ("paper", "code", "secondary", "inferred")
        assert line.dataset in ("mosi", "mosei", "iemocap")
        assert line.dialect in ("", *DIALECTS)
        assert all(0 <= line.values[k] <= 100 for k in ("acc2", "f1", "acc7", "wa", "f1_weighted") if k in line.values)
        assert all(-1 <= line.values[k] <= 1 for k in ("corr",) if k in line.values)
    (cmib,) = [p for p in lines if p.method == "C-MIB" and p.dataset == "mosi" and p.dialect == "mai"]
    assert cmib.values == {"acc2": 85.2, "f1": 85.2, "acc7": 48.2, "mae": 0.728, "corr": 0.793}


def test_measured_rows_stand_above_published_ones_and_out_of_every_ranking(tmp_path: Path) -> None:
    models = {"c-mib": noisy(0.5), "late-fusion": noisy(1.0)}
    store = write_store(tmp_path, models, dataset="mosi", protocol="quality-degradation")
    analysis = analysed(store)
    table = published_table(analysis)
    assert table is not None
    names = [row[:2] for row in table.rows]
    assert names[names.index(("c-mib, measured", "clean")) + 1] == ("C-MIB", "clean")
    assert ("C-MIB", "average") in names
    assert not table.best
    measured = next(row for row in table.rows if row[:2] == ("c-mib, measured", "clean"))
    mae = value(list(records([analysis])), model="c-mib", condition="eta=0", metric="mae")["value"]
    assert measured[5] == f"{mae:.3f}"
    assert published_table(replace(analysis, section=analysed(write_store(tmp_path / "other", models)).section)) is None
