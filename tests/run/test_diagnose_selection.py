"""What selecting on the test split would add: recorded apart, with no influence on anything that is reported."""

import pickle
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from smallstudy import assert_same, request
from tinydata import make_dataset, mmsa_content
from torch import nn
from typer.testing import CliRunner

from qamoe_bench.analysis.section import Row, sections
from qamoe_bench.analysis.selection_gain import half_width, selection_gains
from qamoe_bench.cli.main import app
from qamoe_bench.contract import Batch, Output
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.metrics.dialects import DIALECTS, dialects_for, scores
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.report.records import as_json
from qamoe_bench.report.selection_table import TITLE
from qamoe_bench.report.table import Table
from qamoe_bench.report.tables import analyses, chapters
from qamoe_bench.run.curve_recorder import CurveInProgress, CurveRecorder, Watched, all_metrics
from qamoe_bench.run.dry_run import plan_table
from qamoe_bench.run.forecast import forecast
from qamoe_bench.run.plan import Plan, with_diagnosis
from qamoe_bench.run.planner import plan
from qamoe_bench.run.runner import run_plan
from qamoe_bench.seeding import global_randomness_restored
from qamoe_bench.store.cell import Cell, CellFacts
from qamoe_bench.store.folder import file_names
from qamoe_bench.store.selection import CurveFiles, SelectionCurve, curve_file, write_curve
from qamoe_bench.store.store import Store, StoredCell
from qamoe_bench.vocabulary import REGRESSION

EPOCHS = 4
SHORT = f"train.epochs={EPOCHS},train.selection_window=1,train.validation_samples=12"
FUSION = f"late-fusion:{SHORT}"
MOE = f"qa-moe:{SHORT}"  # encodes once, draws dropout, has a schedule of epochs and quality scores
MEAN = f"mean:{SHORT}"  # has no parameters
MMSA = DIALECTS["mmsa"]
HEAD = (
    'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n[[corruption]]\nkind = "modality-missing"\nrate = "eta"\n'
)
PROTOCOLS = {"axis": "[axes]\neta = [0.0, 0.6]", "points": "[points.some]\neta = 0.3\n[points.all]\neta = 1"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny data set, next to two protocols of two conditions."""
    path = tmp_path_factory.mktemp("data") / "tiny.pkl"
    path.write_bytes(pickle.dumps(mmsa_content()))
    for name, text in PROTOCOLS.items():
        (path.parent / f"{name}.toml").write_text(f"{HEAD}{text}\n", encoding="utf-8")
    return path


def planned(data: Path, *models: str, regimes: Sequence[str] = ("spectrum",), seeds: Sequence[int] = (1, 2)) -> Plan:
    protocols = tuple(str(data.with_name(f"{name}.toml")) for name in PROTOCOLS)
    return plan(request(data, *models, protocols=protocols, regimes=tuple(regimes), seeds=tuple(seeds)))


@pytest.fixture(scope="module")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("plain"))
    run_plan(planned(data, FUSION, MOE, MEAN), store, jobs=1)
    return store


@pytest.fixture(scope="module")
def diagnosed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("diagnosed"))
    summary = run_plan(with_diagnosis(planned(data, FUSION, MOE, MEAN)), store, jobs=1)
    assert (summary.trained, summary.evaluated, summary.reused, summary.curves) == (6, 12, 0, 12)
    return store


def checkpoints(store: Store) -> dict[str, dict[str, torch.Tensor]]:
    return {path.name: load_file(path) for path in store.runs.glob("*/checkpoints/*")}


def rows_of(store: Store) -> dict[str, Row]:
    return {f"{row.model} {s.protocol}": row for s in sections(store.cells()) for row in s.rows}


def table_of(store: Store, dialect: str = "mmsa") -> Table:
    results = analyses(store.cells(), DIALECTS[dialect], ["acc7", "mae"])
    _, first, _ = chapters(results, store.manifests())
    (table,) = [table for table in first.tables if table.title == TITLE]
    return table


def test_keys_weights_selection_and_predictions_are_the_same_bits_with_and_without(
    plain: Store, diagnosed: Store
) -> None:
    assert_same(plain, diagnosed)
    assert {run["run"] for run in plain.manifests()} == {run["run"] for run in diagnosed.manifests()}
    ours = checkpoints(plain)
    theirs = checkpoints(diagnosed)
    assert ours.keys() == theirs.keys()
    for name, weights in ours.items():
        for tensor, other in zip(weights.values(), theirs[name].values(), strict=True):
            assert torch.equal(tensor, other)
    course = {
        c.cell.key: (c.facts.training.get("best_epoch"), c.facts.training.get("valid_error")) for c in plain.cells()
    }
    for cell in diagnosed.cells():
        assert course[cell.cell.key] == (cell.facts.training["best_epoch"], cell.facts.training["valid_error"])


def test_tables_records_and_manifests_differ_by_the_diagnosis_alone(plain: Store, diagnosed: Store) -> None:
    assert as_json(analyses(plain.cells(), MMSA, ["mae"])) == as_json(analyses(diagnosed.cells(), MMSA, ["mae"]))
    _, without, _ = chapters(analyses(plain.cells(), MMSA, ["mae"]), plain.manifests())
    _, with_diagnosis, _ = chapters(analyses(diagnosed.cells(), MMSA, ["mae"]), diagnosed.manifests())
    same = tuple(table for table in with_diagnosis.tables if table.title != TITLE)
    assert without.tables[1:] == same[1:]  # the first has the time of a forward pass
    assert len(with_diagnosis.tables) == len(without.tables) + 1


def test_the_curve_at_the_selected_epoch_is_what_the_cell_holds(diagnosed: Store) -> None:
    for stored in diagnosed.cells():
        curve = CurveFiles().read(stored)
        assert curve is not None
        if stored.cell.model == MEAN:
            assert not curve.values
            continue
        best = stored.facts.training["best_epoch"]
        assert set(curve.selected) == {best}
        columns = {"prediction": stored.column("prediction"), "target": stored.column("target")[0, 0]}
        for metric, values in scores(MMSA, columns).items():
            assert curve.values["mmsa", metric].shape == (EPOCHS, len(stored.facts.conditions))
            np.testing.assert_array_equal(curve.values["mmsa", metric][best - 1], values.mean(0))


def test_the_file_is_a_plain_table(diagnosed: Store) -> None:
    (stored,) = [c for c in diagnosed.cells() if (c.cell.model, c.cell.seed, c.cell.protocol) == (MOE, 1, "axis")]
    path = curve_file(diagnosed, stored.cell)
    assert path is not None
    frame = pd.read_parquet(path)
    assert list(frame.columns) == ["epoch", "condition", "selected", "dialect", "metric", "value"]
    assert set(frame.epoch) == {1, 2, 3, 4}
    assert frame[frame.selected].epoch.unique().tolist() == [stored.facts.training["best_epoch"]]
    assert set(frame.dialect) == {dialect.name for dialect in dialects_for(REGRESSION)}
    assert path.parent == stored.path.parents[1] / "selection"


def test_a_store_without_curves_is_trained_again_for_them_and_nothing_else_is_written(
    data: Path, plain: Store, tmp_path: Path
) -> None:
    store = Store(tmp_path / "r")
    wanted = planned(data, FUSION, MEAN, seeds=(1,))
    run_plan(wanted, store, jobs=1)
    before = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    diagnosing = with_diagnosis(wanted)
    assert {row["left"] for row in plan_table(diagnosing.jobs, store)} == {1}
    predicted = forecast(diagnosing.jobs, store, store.cells())
    plain_seconds = forecast(wanted.jobs, Store(tmp_path / "empty"), store.cells()).seconds
    assert predicted.trainings == 2
    assert sum(predicted.seconds) > sum(plain_seconds)  # an evaluation after each epoch
    again = run_plan(diagnosing, store, jobs=1)
    assert (again.trained, again.evaluated, again.reused, again.curves) == (2, 0, 4, 4)
    after = {path: path.stat().st_mtime_ns for path in store.root.rglob("*") if path.is_file()}
    assert {path: time for path, time in after.items() if path.parent.name != "selection"} == before
    assert len(after) == len(before) + 4
    once_more = run_plan(diagnosing, store, jobs=1)
    assert (once_more.trained, once_more.curves) == (0, 0)
    assert forecast(diagnosing.jobs, store, []).trainings == 0


def test_one_lost_curve_of_two_that_share_a_training_is_recorded_again(data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "r")
    wanted = with_diagnosis(planned(data, FUSION, seeds=(1,)))
    run_plan(wanted, store, jobs=1)
    first, second = wanted.cells
    lost = curve_file(store, second)
    kept = curve_file(store, first)
    assert lost is not None
    assert kept is not None
    content = lost.read_bytes()
    time = kept.stat().st_mtime_ns
    lost.unlink()
    again = run_plan(wanted, store, jobs=1)
    assert (again.trained, again.curves) == (1, 1)
    assert lost.read_bytes() == content
    assert kept.stat().st_mtime_ns == time


def test_specialists_have_a_curve_for_each_condition_and_an_epoch_of_their_own(data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "r")
    run_plan(with_diagnosis(planned(data, FUSION, regimes=("matched",), seeds=(1,))), store, jobs=1)
    for stored in store.cells():
        curve = CurveFiles().read(stored)
        assert curve is not None
        courses = stored.facts.training["specialists"]
        assert dict(zip(curve.conditions, curve.selected, strict=True)) == {
            name: course["best_epoch"] for name, course in courses.items()
        }
        columns = {"prediction": stored.column("prediction"), "target": stored.column("target")[0, 0]}
        held = scores(MMSA, columns)["mae"].mean(0)
        for place, epoch in enumerate(curve.selected):
            assert curve.values["mmsa", "mae"][epoch - 1, place] == pytest.approx(held[place], rel=1e-5)
        (gain,) = selection_gains(Row("r", (stored,)), "mmsa", ["mae"], CurveFiles())
        best = curve.values["mmsa", "mae"].min(0).mean()  # each condition has its own epoch
        assert gain.per_metric[0] == pytest.approx(best - held.mean(), abs=1e-6)


def test_gains_are_the_differences_between_epochs_of_one_training(diagnosed: Store) -> None:
    row = rows_of(diagnosed)[f"{FUSION} axis"]
    acc7, mae = selection_gains(row, "mmsa", ["acc7", "mae"], CurveFiles())
    for seed, stored in enumerate(row.cells):
        curve = CurveFiles().read(stored)
        assert curve is not None
        errors = curve.values["mmsa", "mae"].mean(1)
        hits = curve.values["mmsa", "acc7"].mean(1)
        honest = curve.selected[0] - 1
        assert mae.per_metric[seed] == pytest.approx(errors.min() - errors[honest])
        assert mae.one_epoch[seed] == pytest.approx(mae.per_metric[seed])
        assert acc7.per_metric[seed] == pytest.approx(hits.max() - hits[honest])
        assert acc7.one_epoch[seed] == pytest.approx(hits[errors.argmin()] - hits[honest])
        assert acc7.per_metric[seed] >= 0 >= mae.per_metric[seed]


def test_the_interval_is_that_of_paired_differences() -> None:
    # Student's quantile with two degrees of freedom is 4.303; the deviation of 1, 2, 3 is 1.
    assert half_width(np.array([1.0, 2.0, 3.0])) == pytest.approx(4.3027 / np.sqrt(3), rel=1e-4)
    assert np.isnan(half_width(np.array([1.0])))


def test_the_report_shows_the_gains_next_to_the_selected_epoch(diagnosed: Store) -> None:
    table = table_of(diagnosed)
    assert table.header == ("model", "acc7", "mae")
    by_name = {name: cells for name, *cells in table.rows}
    assert [name.removeprefix(FUSION) for name in by_name][:3] == ["", ", best per metric", ", one epoch"]
    assert not any(MEAN in name for name in by_name)  # has no epochs
    assert all("±" in cell for cell in by_name[f"{FUSION}, best per metric"])
    assert "2 seeds" in table.notes[1]
    (mae,) = selection_gains(rows_of(diagnosed)[f"{FUSION} axis"], "mmsa", ["mae"], CurveFiles())
    assert by_name[FUSION][1] == f"{mae.selected:.3f}"


def test_a_row_is_shown_in_every_dialect_and_with_one_seed_without_interval(diagnosed: Store) -> None:
    cells = [c for c in diagnosed.cells() if c.cell.seed == 1]
    _, chapter, _ = chapters(analyses(cells, DIALECTS["sims"], ["acc5"]), diagnosed.manifests())
    (table,) = [table for table in chapter.tables if table.title == TITLE]
    assert not any("±" in cell for row in table.rows for cell in row)
    assert table.rows[1][1].startswith(("+", "0"))


def test_recording_touches_neither_the_model_nor_any_global_random_number() -> None:
    class Restless(nn.Module):
        """Draws from global generators."""

        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((1,), np.random.random()))  # noqa: NPY002

        def forward(self, batch: Batch) -> Output:
            jitter = np.random.random() + float(torch.rand(1))  # noqa: NPY002
            return Output((self.weight * jitter).expand(batch.size))

    test = TestSet(make_dataset(), 1, torch.device("cpu"))
    protocol = load_protocol("random-missing")
    cell = Cell("d", "0", "p", "1", "m", "r", "2", 1)

    def states() -> tuple[object, ...]:
        return np.random.get_state(legacy=False)["state"]["key"].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002

    model = Restless().train()
    before = states()
    curve = CurveInProgress(cell, protocol, "float32")
    recorder = CurveRecorder(Restless, test, [Watched(curve, protocol.conditions)])
    recorder.record(model)
    recorder.finish(1)
    assert states() == before
    assert model.training
    assert curve.finished().values["mmsa", "mae"].shape == (1, 8)
    assert recorder.seconds > 0


def test_the_generators_of_python_and_numpy_are_restored_after_an_error_too() -> None:
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    expected = random.random(), np.random.random()  # noqa: NPY002
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    with suppress(ValueError), global_randomness_restored():
        random.random()
        np.random.random(3)  # noqa: NPY002
        raise ValueError
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_an_epoch_whose_predictions_are_not_finite_is_undefined_and_never_the_best(tmp_path: Path) -> None:
    label = np.array([-1.0, 0.5, 2.0, 1.0])
    predictions = np.stack([label, np.array([1.0, np.nan, 1.0, 1.0])])[None]  # (1, 2, 4)
    metrics = all_metrics(predictions, label)
    assert metrics["mmsa", "mae"][0] == 0
    assert all(np.isnan(values[1]) for values in metrics.values())
    store = Store(tmp_path)
    store.prepare("run")
    cell = Cell("d", "0", "p", "1", "m", "spectrum", "2", 1)
    errors = np.array([[np.nan, np.nan], [2.0, 1.0], [1.0, 1.0]])
    write_curve(store, "run", cell, SelectionCurve(("a", "b"), (2, 2), {("mmsa", "mae"): errors}))
    conditions = tuple({"name": name, "levels": {}} for name in "ab")
    facts = CellFacts(conditions, 1, {}, {})
    stored = StoredCell(store.runs / "run" / "predictions" / cell.file_name, cell, facts, frozenset(), "")
    mae, corr = selection_gains(Row("r", (stored,)), "mmsa", ["mae", "corr"], CurveFiles())
    assert mae.per_metric.tolist() == [-0.5]
    assert np.isnan(corr.selected)  # this curve lacks it


def test_a_damaged_curve_is_named_and_the_advice_works(data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "r")
    wanted = with_diagnosis(planned(data, FUSION, seeds=(1,)))
    run_plan(wanted, store, jobs=1)
    (stored, *_) = store.cells()
    path = curve_file(store, stored.cell)
    assert path is not None
    path.write_bytes(b"damaged")
    with pytest.raises(BenchError, match=r"remove it and run again with --diagnose-selection") as caught:
        CurveFiles().read(stored)
    assert "\n" not in str(caught.value)
    path.unlink()
    assert run_plan(wanted, store, jobs=1).curves == 1
    assert CurveFiles().read(stored) is not None


def test_curves_of_many_cells_in_many_runs_are_found_by_one_listing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, listed = Store(tmp_path), list[Path]()
    curve = SelectionCurve(("a",), (1,), {("mmsa", "mae"): np.array([[1.0]])})
    conditions, cells = ({"name": "a", "levels": {}},), []
    for seed in range(20):
        cell = Cell("d", "0", "p", "1", "m", "spectrum", "2", seed)
        store.prepare(f"run{seed}")
        if seed % 2:
            write_curve(store, f"run{seed // 2}", cell, curve)  # by another run than the cell
        path = store.runs / f"run{seed}" / "predictions" / cell.file_name
        cells.append(StoredCell(path, cell, CellFacts(conditions, 1, {}, {}), frozenset(), ""))

    def names(folder: Path, is_wanted: Callable[[str], object]) -> list[str]:
        listed.append(folder)
        return file_names(folder, is_wanted)

    monkeypatch.setattr("qamoe_bench.store.selection.file_names", names)
    curves = CurveFiles()
    assert [curves.read(stored) is not None for stored in cells] == [bool(seed % 2) for seed in range(20)]
    assert sorted(listed) == sorted(store.runs / f"run{run}" / "selection" for run in range(20))


def test_the_command_records_reports_and_says_so(data: Path, tmp_path: Path) -> None:
    options = ["run", "--protocol", "clean", "--model", FUSION, "--data", str(data), "--seeds", "1", "--jobs", "1"]
    options += ["--results", str(tmp_path / "r")]
    honest = CliRunner().invoke(app, options)
    assert honest.exit_code == 0, honest.output
    assert TITLE.partition(":")[0] not in honest.stdout
    dry = CliRunner().invoke(app, [*options, "--diagnose-selection", "--dry-run"])
    assert "after 1 trainings" in dry.stdout
    done = CliRunner().invoke(app, [*options, "--diagnose-selection"])
    assert done.exit_code == 0, done.output
    assert "trained 1 models, evaluated 0 cells, reused 1, recorded 1 curves of test metrics" in done.stderr
    assert "Diagnostic: what choosing the epoch on the test split would add" in done.stdout
    again = CliRunner().invoke(app, [*options, "--diagnose-selection"])
    assert "nothing to do: all 1 cells are stored already; trained 0, evaluated 0" in again.stderr
    (weights,) = (tmp_path / "r").rglob("*.safetensors")
    given = CliRunner().invoke(app, [*options, "--checkpoint", str(weights), "--diagnose-selection"])
    assert "--diagnose-selection: expected a model that is trained here" in str(given.exception)
