"""What knowing quality is worth: differences of predictors that know the law, in a table of their own."""

from pathlib import Path

import numpy as np
import pytest
from fakestore import Answer, noisy, write_store

from qamoe_bench.analysis.quality_value import quality_value
from qamoe_bench.analysis.section import Section, sections
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.quality_value_table import quality_value_table
from qamoe_bench.report.tables import analyses, chapters
from qamoe_bench.store.store import Store


def off_by(error: float) -> Answer:
    """Predicts the label with an error of constant size, which grows by the level."""
    return lambda label, level, random: label + (error + level) * np.where(label > 0, -1, 1)


LIMITS: dict[str, Answer] = {
    "oracle": off_by(0.1),
    "oracle-inferring": off_by(0.125),
    "oracle-blind": off_by(0.4),
    "oracle-assumes-clean": lambda label, level, random: off_by(0.1 + level)(label, level, random),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    models = {"mean": off_by(2), "late-fusion": noisy(0.5), **LIMITS}
    return write_store(tmp_path_factory.mktemp("limits"), models, levels=(0.0, 0.5), samples=30)


def section_of(store: Store) -> Section:
    (section,) = sections(store.cells())
    return section


def test_table_has_each_predictor_and_both_values_by_level(store: Store) -> None:
    (analysis,) = analyses(store.cells(), metrics=("mae",))
    table = quality_value_table(analysis)
    assert table is not None
    assert table.title == "What knowing quality is worth, in mae"
    assert table.header == ("level", "known", "inferred", "blind", "as clean", "told", "95 %", "aware", "95 %")
    assert table.rows == (
        ("η=0", "0.100", "0.125", "0.400", "0.100", "+.025", "+.025 … +.025", "+.300", "+.300 … +.300"),
        ("0.5", "0.600", "0.625", "0.900", "1.100", "+.025", "+.025 … +.025", "+.300", "+.300 … +.300"),
        ("mean", "0.350", "0.375", "0.650", "0.600", "+.025", "+.025 … +.025", "+.300", "+.300 … +.300"),
    )
    assert table.width() <= 80


def test_loss_is_positive_for_metrics_of_both_directions(tmp_path: Path) -> None:
    models = {"oracle": noisy(0.2), "oracle-blind": noisy(1.0)}
    (analysis,) = analyses(write_store(tmp_path, models).cells(), DIALECTS["mmsa"], ("mae", "corr"))
    for scores in analysis.scores:
        value = quality_value(analysis.section, scores)
        assert value is not None
        assert [*value.losses] == ["oracle-blind"]
        low, high = value.losses["oracle-blind"].interval()
        loss = value.losses["oracle-blind"].value
        assert (loss > 0).all()
        assert (low < loss).all()
        assert (loss < high).all()
        assert low[-1] > 0


def test_table_is_there_only_with_its_rows(store: Store, tmp_path: Path) -> None:
    title = "What knowing quality is worth, in mae"
    for complete in (False, True):
        (chapter,) = chapters(analyses(store.cells()), [], complete=complete)
        assert [table.title for table in chapter.tables].count(title) == 1
    without = [cell for cell in store.cells() if not cell.cell.model.startswith("oracle-")]
    (chapter,) = chapters(analyses(without), [])
    assert title not in [table.title for table in chapter.tables]


def test_limits_are_no_contestants_and_come_last(store: Store) -> None:
    section = section_of(store)
    assert [row.name for row in section.rows] == [
        "late-fusion", "mean", "oracle-assumes-clean", "oracle-blind", "oracle-inferring", "oracle",
    ]  # fmt: skip
    assert [row.is_limit for row in section.rows] == [False, False, True, True, True, True]
    (analysis,) = analyses(store.cells(), metrics=("mae",))
    assert {*analysis.pairs["mae"]} == {(0, 1)}
    assert not analysis.rankings["mae"].best[2:].any()
