"""The output of a dry run, which writes nothing."""

from pathlib import Path

import pytest
from smallstudy import SHORT, small_plan
from typer.testing import CliRunner

from qamoe_bench.cli.main import app
from qamoe_bench.run.dry_run import forecast_lines
from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.forecast import Forecast, forecast
from qamoe_bench.store.store import Store


def test_it_prints_stored_and_pending_cells_and_writes_nothing(
    data: Path, serial: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qamoe_bench.report.formats.terminal.LIST_WIDTH", 200)
    models = [word for name in ("mean", "qa-moe") for word in ("--model", f"{name}:{SHORT}")]
    words = ["run", "--dry-run", "--protocol", "clean", "--data", str(data), "--seeds", "2,3,4", "--device", "cpu"]
    monkeypatch.setattr("qamoe_bench.store.index.REWRITE_AFTER", 1)
    before = {path: path.stat().st_mtime_ns for path in serial.root.rglob("*")}
    done = CliRunner().invoke(app, [*words, *models, "--results", str(serial.root)])
    assert done.exception is None
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["data", "model", "regime", "protocol", "seeds", "stored", "left"]
    assert ["tiny", f"mean:{SHORT}", "spectrum", "clean", "3", "2", "1"] in rows
    assert ["tiny", f"qa-moe:{SHORT}", "spectrum", "clean", "3", "0", "3"] in rows
    assert "6 cells: 2 are stored, 4 are left to evaluate, after 4 trainings" in done.stdout
    assert f"time unknown for qa-moe:{SHORT} spectrum: nothing comparable is stored" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in serial.root.rglob("*")} == before
    CliRunner().invoke(app, [*words, *models, "--results", str(tmp_path / "absent")])
    assert not (tmp_path / "absent").exists()


def test_the_estimate_adds_up_what_comparable_cells_took(data: Path, serial: Store) -> None:
    name = f"late-fusion:{SHORT}"
    measured = [c for c in serial.cells() if c.cell.model == name]
    facts = [c.facts for c in measured]
    assert all(f.seconds_per_condition > 0 and f.peak_memory_mib > 50 for f in facts)
    plan = small_plan(data, name, seeds=(1, 4, 5))
    result = forecast(plan.jobs, serial, measured)
    assert (result.cells, result.trainings, result.unknown) == (4, 2, ())
    per_condition = sorted(f.seconds_per_condition for f in facts)
    trainings = sorted(f.training["seconds"] for f in facts)
    conditions = sum(len(protocol.conditions) for _, protocol in plan.jobs[0].cells)
    middle = (trainings[2] + trainings[3]) / 2 + conditions * (per_condition[2] + per_condition[3]) / 2
    assert result.seconds == pytest.approx((middle, middle))
    assert result.memory_mib == max(f.peak_memory_mib for f in facts)


def test_rows_that_share_weights_are_comparable(data: Path, serial: Store) -> None:
    plan = small_plan(data, f"late-fusion:{SHORT},eval.precision=bfloat16")
    result = forecast(plan.jobs, serial, serial.cells())
    unknown = (f"{plan.cells[0].model} spectrum",)
    assert (result.cells, result.trainings, len(result.seconds), result.unknown) == (6, 0, 0, unknown)
    both = small_plan(data, f"late-fusion:{SHORT}", f"late-fusion:{SHORT},eval.precision=bfloat16")
    result = forecast(both.jobs, serial, serial.cells())
    assert (result.cells, result.trainings, len(result.seconds), result.unknown) == (6, 0, 3, ())


def test_what_was_trained_otherwise_is_not_comparable(data: Path, serial: Store) -> None:
    longer = SHORT.replace("epochs=2", "epochs=3")
    for plan in (
        small_plan(data, f"late-fusion:{longer}"),
        small_plan(data, f"late-fusion:{SHORT}", regimes=("clean",)),
    ):
        result = forecast(plan.jobs, serial, serial.cells())
        assert (result.cells, result.seconds, len(result.unknown)) == (6, (), 1)


def test_the_estimate_in_words() -> None:
    result = Forecast(9, 4, (60.0, 60.0, 300.0), 512.0, ("a spectrum",))
    assert forecast_lines(10, result, Execution("processes", jobs=3)) == [
        "10 cells: 1 are stored, 9 are left to evaluate, after 4 trainings",
        "time unknown for a spectrum: nothing comparable is stored",
        "the rest, estimated from stored cells: 7.0 min on one core, 5.0 min with 3 processes; "
        "a process takes up to 0.5 GiB, all together 1.5 GiB",
    ]
    assert forecast_lines(1, Forecast(0, 0, (), 0, ()), Execution()) == [
        "1 cells: 1 are stored, 0 are left to evaluate, after 0 trainings"
    ]
