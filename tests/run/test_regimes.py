"""The regime `sweep` from the request to the report: keys, sharing, resuming, forecasts, and what rows say of it."""

import pickle
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from smallstudy import SHORT, request
from typer.testing import CliRunner

from qamoe_bench.cli.main import app
from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.table import Table
from qamoe_bench.report.tables import analyses, chapters
from qamoe_bench.run.dry_run import plan_table
from qamoe_bench.run.forecast import forecast
from qamoe_bench.run.plan import Plan
from qamoe_bench.run.planner import plan, plan_all
from qamoe_bench.run.request import LocatedRequest
from qamoe_bench.run.runner import run_plan
from qamoe_bench.store.store import Store
from qamoe_bench.training.exposure import CLEAN, SPECTRUM, sweep_of

MODEL = f"late-fusion:{SHORT}"
HEAD = 'schema = 1\ntitle = "t"\nsource = "s"\ndefinition = "d"\n'
STEP = '[[corruption]]\nkind = "frame-missing"\nrate = "eta"\n'


def write_protocol(folder: Path, name: str, levels: Sequence[float] = (0.0, 0.6), training: str = "") -> str:
    path = folder / f"{name}.toml"
    path.write_text(f"{HEAD}[axes]\neta = {list(levels)}\n{STEP}[training]\n{training}\n", encoding="utf-8")
    return str(path)


def sweep_plan(data: Path, *protocols: str, seeds: Sequence[int] = (1,), regimes: Sequence[str] = ("sweep",)) -> Plan:
    return plan(request(data, MODEL, protocols=protocols, seeds=tuple(seeds), regimes=tuple(regimes)))


@pytest.fixture
def data(write_pickle: Callable[..., Path]) -> Path:
    return write_pickle()


def test_two_protocols_need_two_trainings_and_what_is_stored_is_not_repeated(data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "r")
    a = write_protocol(tmp_path, "a")
    b = write_protocol(tmp_path, "b", (0.0, 0.5))
    both = sweep_plan(data, a, b)
    assert [[cell.protocol for cell, _ in job.cells] for job in both.jobs] == [["a"], ["b"]]
    assert forecast(both.jobs, store, []).trainings == 2
    assert (run_plan(sweep_plan(data, a), store, jobs=1).trained, run_plan(both, store, jobs=1).trained) == (1, 1)
    assert run_plan(both, store, jobs=1).evaluated == 0
    # A lost cell is evaluated again with the stored weights.
    cell, _ = both.jobs[0].cells[0]
    store.find_cell(cell).unlink()  # type: ignore[union-attr]
    again = run_plan(both, store, jobs=1)
    assert (again.trained, again.evaluated) == (0, 1)
    table = plan_table(both.jobs, store)
    assert [(row["regime"], row["protocol"], row["left"]) for row in table] == [("sweep", "a", 0), ("sweep", "b", 0)]


def test_protocols_that_train_on_the_same_one_share_its_weights(data: Path, tmp_path: Path) -> None:
    a = write_protocol(tmp_path, "a")
    b = write_protocol(tmp_path, "b", (0.0, 0.5), 'protocol = "a.toml"')
    (job,) = sweep_plan(data, a, b).jobs
    assert [cell.protocol for cell, _ in job.cells] == ["a", "b"]
    store = Store(tmp_path / "r")
    summary = run_plan(sweep_plan(data, a, b), store, jobs=1)
    assert (summary.trained, summary.evaluated) == (1, 2)
    facts = {c.cell.protocol: c.facts.trained_on for c in store.cells()}
    assert {name: (of["on"], of["own"], of["seen"]) for name, of in facts.items()} == {
        "a": ("a", True, "all"),
        "b": ("a", False, "all"),
    }


def test_how_levels_are_drawn_is_part_of_the_keys(data: Path, tmp_path: Path) -> None:
    keys = set()
    for training in ("", "untouched = 0.5", 'levels = "per-modality"', "range = {eta = [0.0, 1.0]}", "source = 'x'"):
        protocol = write_protocol(tmp_path, "a", training=training)
        for regime in ("sweep", "spectrum"):
            (job,) = sweep_plan(data, protocol, regimes=(regime,)).jobs
            (cell, evaluated) = job.cells[0]
            keys.add((regime, cell.key, job.weights_key(evaluated.conditions[0])))
    # Three differ from the first by what they draw, the last by its prose only; in `spectrum` nothing differs.
    assert sorted(regime for regime, _, _ in keys) == ["spectrum", *["sweep"] * 4]


def test_two_ways_to_train_on_protocols_of_one_name_are_refused_in_one_study(data: Path, tmp_path: Path) -> None:
    requests = []
    for training in ("", "untouched = 0.5"):
        folder = tmp_path / f"with{len(training)}"
        folder.mkdir()
        protocol = write_protocol(folder, "mine", training=training)
        requests.append(LocatedRequest("", request(data, MODEL, protocols=(protocol,), regimes=("sweep",))))
    with pytest.raises(BenchError, match="two protocols are called 'mine'"):
        plan_all(requests)


def test_recipes_say_what_is_trained_on_and_survive_a_journey_to_a_worker(data: Path, tmp_path: Path) -> None:
    protocol = write_protocol(tmp_path, "a")
    planned = sweep_plan(data, protocol, regimes=("clean", "spectrum", "sweep", "matched"))
    exposures = {job.recipe.regime: job.recipe.exposure for job in planned.jobs if job.recipe}
    evaluated = planned.jobs[0].cells[0][1]
    assert exposures == {"clean": CLEAN, "spectrum": SPECTRUM, "sweep": sweep_of(evaluated), "matched": None}
    for job in planned.jobs:
        travelled = pickle.loads(pickle.dumps(job))
        assert travelled == job
        assert travelled.weights_key(evaluated.conditions[1]) == job.weights_key(evaluated.conditions[1])


def models_table(store: Store) -> Table:
    results = analyses(store.cells(), DIALECTS["mmsa"], ["mae"])
    (chapter,) = chapters(results, store.manifests())
    return next(table for table in chapter.tables if table.title == "Models")


def test_the_report_says_what_each_row_was_trained_on_and_whether_it_has_seen_the_corruption(
    data: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path / "r")
    protocol = write_protocol(tmp_path, "a")
    planned = sweep_plan(data, protocol, regimes=("clean", "spectrum", "sweep", "matched"))
    run_plan(planned, store, jobs=1)
    (job,) = [job for job in planned.jobs if job.recipe and job.recipe.regime == "sweep"]
    weights = store.find_checkpoint(job.weights_key(job.cells[0][1].conditions[0]))
    given = request(data, MODEL, protocols=(protocol,), seeds=(1,), checkpoint=str(weights), regimes=("sweep",))
    run_plan(plan(given), store, jobs=1)
    table = models_table(store)
    assert table.header[:4] == ("model", "regime", "trained on", "seen")
    assert {row[1]: row[2:4] for row in table.rows} == {
        "clean": ("clean", "no"),
        "spectrum": ("mixed", "in part"),
        "sweep": ("this protocol", "all"),
        "matched": ("each condition", "all"),
        "given": ("unknown", "unknown"),
    }
    notes = "\n".join(table.notes)
    assert "clean: not seen: frame-missing\n" in notes
    assert "mixed: one λ from U(0, 1) per sample and one η from U(0, 1) per sample; not seen: frame-missing of" in notes
    assert "this protocol: one η from U(0, 0.6) per sample" in notes


def test_levels_that_are_drawn_per_batch_are_noted_so(data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "r")
    model = f"{MODEL},train.levels_per=batch"
    protocols = (write_protocol(tmp_path, "a"),)
    run_plan(plan(request(data, model, protocols=protocols, seeds=(1,), regimes=("sweep",))), store, jobs=1)
    assert "this protocol: one η from U(0, 0.6) per batch" in models_table(store).notes


def test_a_sweep_is_compared_with_specialists(data: Path, tmp_path: Path) -> None:
    store = Store(tmp_path / "r")
    run_plan(sweep_plan(data, write_protocol(tmp_path, "a"), regimes=("sweep", "matched")), store, jobs=1)
    results = analyses(store.cells(), DIALECTS["mmsa"], ["mae"])
    (chapter,) = chapters(results, store.manifests())
    titles = [table.title for table in chapter.tables if "specialists" in table.title]
    assert titles == ["mae: single checkpoint (sweep) minus specialists (matched)"]


def test_a_protocol_to_train_on_has_to_fit_the_data_too(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = HEAD + '[axes]\neta = [0.0, 1.0]\n[[corruption]]\nkind = "gaussian-noise"\nlevel = "eta"\n'
    (tmp_path / "noise.toml").write_text(noise, encoding="utf-8")
    protocol = write_protocol(tmp_path, "a", training='protocol = "noise.toml"')
    with_ids = replace(open_dataset(str(data)), token_ids={"text": 100})
    monkeypatch.setattr("qamoe_bench.run.planner.open_dataset", lambda *_: with_ids)
    with pytest.raises(BenchError, match="protocol 'noise': 'gaussian-noise' computes with features"):
        sweep_plan(data, protocol)


def test_the_command_and_a_study_know_the_regime(data: Path, tmp_path: Path) -> None:
    protocol = write_protocol(tmp_path, "a")
    options = ["--model", MODEL, "--data", str(data), "--seeds", "1", "--results", str(tmp_path / "r"), "--dry-run"]
    by_option = CliRunner().invoke(app, ["run", "--protocol", protocol, "--regime", "sweep", *options])
    assert by_option.exit_code == 0, by_option.output
    assert "1 cells: 0 are stored, 1 are left to evaluate, after 1 trainings" in by_option.stdout
    study = tmp_path / "s.toml"
    study.write_text(f"schema = 1\nprotocols = ['{protocol}']\nregimes = ['sweep']\n", encoding="utf-8")
    by_study = CliRunner().invoke(app, ["run", str(study), *options])
    assert by_study.stdout == by_option.stdout
    wrong = CliRunner().invoke(app, ["run", "--protocol", protocol, "--regime", "swep", *options])
    assert "did you mean 'sweep'" in str(wrong.exception)
