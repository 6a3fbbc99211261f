"""What a dry run tells, and that it touches nothing."""

from pathlib import Path

import pytest
from smallstudy import SHORT, small_plan
from typer.testing import CliRunner

from qamoe_bench.cli.main import app
from qamoe_bench.run import dry_run as preview
from qamoe_bench.run.executors.choice import Execution
from qamoe_bench.run.forecast import Forecast, forecast
from qamoe_bench.store.store import Store


def test_it_prints_what_is_to_do_and_done_and_writes_nothing(
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
    assert f"no estimate for qa-moe:{SHORT} spectrum: nothing comparable is stored" in done.stdout
    assert {path: path.stat().st_mtime_ns for path in serial.root.rglob("*")} == before
    CliRunner().invoke(app, [*words, *models, "--results", str(tmp_path / "absent")])
    assert not (tmp_path / "absent").exists()


def test_the_estimate_adds_up_what_comparable_cells_took(data: Path, serial: Store) -> None:
    name = f"late-fusion:{SHORT}"
    measured = [c for c in serial.cells() if c.cell.model == name]
    facts = [c.facts for c in measured]
    assert all(f.seconds_per_condition > 0 and f.peak_memory_mib > 50 for f in facts)
    asked = small_plan(data, name, seeds=(1, 4, 5))
    found = forecast(asked.jobs, serial, measured)
    assert (found.cells, found.trainings, found.unknown) == (4, 2, ())
    per_condition = sorted(f.seconds_per_condition for f in facts)
    trainings = sorted(f.training["seconds"] for f in facts)
    conditions = sum(len(protocol.conditions) for _, protocol in asked.jobs[0].cells)
    middle = (trainings[2] + trainings[3]) / 2 + conditions * (per_condition[2] + per_condition[3]) / 2
    assert found.seconds == pytest.approx((middle, middle))
    assert found.memory_mib == max(f.peak_memory_mib for f in facts)


def test_rows_that_share_weights_are_comparable(data: Path, serial: Store) -> None:
    asked = small_plan(data, f"late-fusion:{SHORT},eval.precision=bfloat16")
    found = forecast(asked.jobs, serial, serial.cells())
    assert (found.cells, found.trainings, len(found.seconds), found.unknown) == (
        6,
        0,
        0,
        (f"{asked.cells[0].model} spectrum",),
    )
    both = small_plan(data, f"late-fusion:{SHORT}", f"late-fusion:{SHORT},eval.precision=bfloat16")
    found = forecast(both.jobs, serial, serial.cells())
    assert (found.cells, found.trainings, len(found.seconds), found.unknown) == (6, 0, 3, ())


def test_what_was_trained_otherwise_is_not_comparable(data: Path, serial: Store) -> None:
    longer = SHORT.replace("epochs=2", "epochs=3")
    for asked in (
        small_plan(data, f"late-fusion:{longer}"),
        small_plan(data, f"late-fusion:{SHORT}", regimes=("clean",)),
    ):
        found = forecast(asked.jobs, serial, serial.cells())
        assert (found.cells, found.seconds, len(found.unknown)) == (6, (), 1)


def test_the_estimate_in_words() -> None:
    found = Forecast(9, 4, (60.0, 60.0, 300.0), 512.0, ("a spectrum",))
    assert preview.sentences(10, found, Execution("processes", jobs=3)) == [
        "10 cells: 1 are stored, 9 are left to evaluate, after 4 trainings",
        "estimate from stored cells: 7.0 min on one core, 5.0 min with 3 processes; "
        "a process takes up to 0.5 GiB, all together 1.5 GiB",
        "no estimate for a spectrum: nothing comparable is stored",
    ]
    assert preview.sentences(1, Forecast(0, 0, (), 0, ()), Execution()) == [
        "1 cells: 1 are stored, 0 are left to evaluate, after 0 trainings"
    ]
