"""Tables of quality scores, from made-up stores of this version and of an earlier one."""

from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from fakestore import noisy, write_store

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.quality_tables import confounder_table, permutation_table, quality_tables, separation_table
from qamoe_bench.report.records import records
from qamoe_bench.report.tables import analyses


def analysed(folder: Path, audits: Literal["", "old", "new"]) -> Analysis:
    store = write_store(folder, {"late-fusion": noisy(1.0), "mine": noisy(0.5)}, audits=audits)
    (analysis,) = analyses(store.cells(), DIALECTS["mmsa"], ["mae", "acc2_non0", "corr"])
    return analysis


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysed(tmp_path_factory.mktemp("new"), "new")


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysed(tmp_path_factory.mktemp("old"), "old")


def test_presence_and_quality_are_shown_apart(new: Analysis) -> None:
    table = permutation_table(new)
    mae = next(row for row in table.rows if row[:2] == ("mine", "mae"))
    assert mae == ("mine", "mae", "+0.250", "+0.200", "+0.050", "+0.041 … +0.059", "0.050", "19")
    corr = next(row for row in table.rows if row[:2] == ("mine", "corr"))
    assert corr[4:] == ("+0.000", "+0.000 … +0.000", "1.000", "19")
    assert not any("run again" in note for note in table.notes)


def test_an_earlier_store_is_read_and_the_rest_is_said_to_be_missing(old: Analysis) -> None:
    notes = {table.title: " ".join(table.notes) for table in [*quality_tables(old), confounder_table(old)]}
    for title in ("Do the quality scores matter?", "What else quality scores follow", "Effect of replacing"):
        (note,) = [note for name, note in notes.items() if name.startswith(title)]
        assert "not recorded for late-fusion, mine: run again" in note
    mae = next(row for row in permutation_table(old).rows if row[:2] == ("mine", "mae"))
    assert mae[2:] == ("+0.250", "–", "–", "–", "–", "0")  # what an earlier store does know


def test_scores_of_present_and_missing_samples_are_separated_by_presence_alone(new: Analysis) -> None:
    by_column = {column: cells for column, *cells in separation_table(new).rows}  # models are columns, which fits
    assert by_column["text"] == ["1.00", "1.00"]  # r of the made-up store falls with missing modalities
    assert by_column["text if present"] == ["–", "–"]  # and with nothing else


def test_confounders_of_a_constant_score_are_undefined(new: Analysis) -> None:
    assert confounder_table(new).header == ("model",)  # without corruption, r of the made-up store is always 1
    assert not any(table.title.startswith("What else") for table in quality_tables(new))
    audit = new.quality["mine"]["text"]
    assert set(audit.confounders) == {"length", "energy", "label"}


def test_records_have_both_parts(new: Analysis, old: Analysis) -> None:
    by_statistic = {r["statistic"]: r for r in records([new]) if r["row"] == "mine" and r["metric"] == "mae"}
    assert by_statistic["permuted"]["value"] == pytest.approx(0.05)
    assert by_statistic["permuted"]["p"] == pytest.approx(0.05)
    assert by_statistic["presence"]["value"] == pytest.approx(0.2, abs=1e-6)
    assert {"shuffled", "averaged", "constant", "reversed", "true_order"} <= set(by_statistic)
    audits = {r["metric"]: r["value"] for r in records([new]) if r["statistic"] == "audit" and r["row"] == "mine"}
    assert audits["auroc_quality_text"] == 1.0
    assert audits["auroc_quality_present_text"] is None
    assert {r["statistic"] for r in records([old])}.isdisjoint({"permuted", "presence", "constant"})
    assert np.isfinite(by_statistic["shuffled"]["value"])


def test_only_metrics_of_the_report_are_shown_and_another_dialect_is_noted(tmp_path: Path) -> None:
    store = write_store(tmp_path, {"late-fusion": noisy(1.0)}, audits="new")
    (only_f1,) = analyses(store.cells(), DIALECTS["mmsa"], ["f1_has0"])
    assert not any(table.title.startswith("Do the quality scores") for table in quality_tables(only_f1))
    (of_mai,) = analyses(store.cells(), DIALECTS["mai"], ["mae"])
    table = permutation_table(of_mai)
    assert [row[1] for row in table.rows] == ["mae"]
    assert table.notes[-1] == "all metrics of this table are those of dialect mmsa"
    assert {r["metric"] for r in records([of_mai]) if r["statistic"] == "permuted"} == {"mae"}
