"""Reports of classes and of several labels, alone and beside a sentiment scale."""

from pathlib import Path

import pytest
from classstore import EMOTIONS, SEVERAL, write_class_store
from fakestore import noisy, write_store

from qamoe_bench.metrics.choice import chosen
from qamoe_bench.page.page import page
from qamoe_bench.report.formats.choice import OF_CHAPTERS
from qamoe_bench.report.overview import overviews
from qamoe_bench.report.published import published_table
from qamoe_bench.report.records import records
from qamoe_bench.report.table import Chapter
from qamoe_bench.report.tables import analyses, chapters
from qamoe_bench.store.store import Store
from qamoe_bench.vocabulary import Task

# Words of labels on a scale
OF_SENTIMENT = ("label units", "|label|", "MAE", "mae", "σ²", "sentiment")


@pytest.fixture(scope="module", params=[EMOTIONS, SEVERAL], ids=lambda task: task.kind)
def task(request: pytest.FixtureRequest) -> Task:
    """Each task in turn."""
    chosen_task: Task = request.param
    return chosen_task


@pytest.fixture(scope="module")
def store(task: Task, tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Made-up results of the task."""
    return write_class_store(tmp_path_factory.mktemp("store"), task)


@pytest.fixture(scope="module")
def chapter(store: Store) -> Chapter:
    """The complete report."""
    (chapter,) = chapters(analyses(store.cells()), store.manifests())
    return chapter


def test_a_report_of_classes_says_nothing_of_a_scale(task: Task, chapter: Chapter) -> None:
    text = OF_CHAPTERS["markdown"]([chapter])
    assert [word for word in OF_SENTIMENT if word in text] == []
    what = "3 classes (happy" if task.kind == "classes" else "3 labels, of which any may hold, (happy"
    assert f"160 test samples of {what}" in text
    assert chapter.verdict.startswith("sure leads: its wa is significantly better")


def test_it_has_f1_by_class_confusions_and_calibration(task: Task, chapter: Chapter) -> None:
    tables = {table.title: table for table in chapter.tables}
    by_class = tables["F1 by class, %" if task.kind == "classes" else "F1 by label, %"]
    assert by_class.header == ("model", "happy", "sad", "angry", "Δ happy", "Δ sad", "Δ angry")
    assert all(row[4].startswith("-") for row in by_class.rows if row[0] == "sure")
    assert ("Confusions of sure" in tables) == (task.kind == "classes")
    calibration = tables["Calibration of the predicted probabilities"]
    assert {row[0] for row in calibration.rows} == {"sure", "late-fusion", "mean", "oracle"}
    risk = calibration.header.index("risk %")
    shown = {row[0]: float(row[risk]) for row in calibration.rows}
    assert shown["oracle"] < shown["sure"] < shown["late-fusion"] < shown["mean"]


def test_records_name_what_was_measured(task: Task, store: Store) -> None:
    (analysis,) = analyses(store.cells())
    audits = [r for r in records([analysis]) if r["statistic"] == "audit" and r["row"] == "sure"]
    names = {r["metric"] for r in audits}
    assert {"nll", "spearman_entropy_error", "ause", "risk_coverage", "right_95"} <= names
    assert not [name for name in names if "variance" in name or "label" in name]


def test_a_page_of_classes_follows_samples_by_the_probability_of_the_truth(task: Task, store: Store) -> None:
    text = page(store.cells(), store.manifests(), chosen(""))
    assert "probability of the truth" in text
    assert "sentiment, label units" not in text
    assert "Calibration of the predicted probabilities" in text
    assert page(store.cells(), store.manifests(), chosen("")) == text


def test_published_numbers_of_classes_stand_below_measured_ones(tmp_path: Path) -> None:
    store = write_class_store(tmp_path, SEVERAL, {"late-fusion": 1.0, "c-mib": 2.0}, dataset="iemocap_data")
    (analysis,) = analyses(store.cells())
    table = published_table(analysis)
    assert table is not None
    assert table.header[:5] == ("method", "condition", "wa", "ua", "f1_weighted")
    measured, printed = table.rows
    assert measured[0] == "c-mib, measured"
    place = [row.name for row in analysis.section.rows].index("c-mib")
    assert measured[2] == f"{100 * analysis.headline.values[place, :, 0].mean():.1f}"
    assert printed[:5] == ("C-MIB", "clean", "84.2", "–", "83.4")


def test_a_store_of_two_tasks_has_no_table_with_both(tmp_path: Path) -> None:
    write_class_store(tmp_path)
    models = {"late-fusion": noisy(1.0), "sure": noisy(0.5)}
    for protocol in ("p", "q"):
        write_store(tmp_path, models, run=f"scale-{protocol}", protocol=protocol, protocol_digest=protocol)
    store = Store(tmp_path)
    headings = [c.heading for c in chapters(analyses(store.cells()), store.manifests(), complete=False)]
    # Two protocols have labels on a scale and are compared; the one with classes is alone.
    assert headings[0] == "Overview of 2 protocols"
    assert len(headings) == 4
    of_scale, of_classes = overviews(store.cells(), chosen(""))
    assert of_scale.lines[0].startswith("mae, ")
    assert of_classes.lines[0].startswith("wa, ")
    (only,) = {c.lines[0].partition(",")[0] for c in overviews(store.cells(), chosen("", ["wa"])) if "wa" in c.lines[0]}
    assert only == "wa"
