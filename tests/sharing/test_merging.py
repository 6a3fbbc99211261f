"""Results of several machines: merged into one store, or read as one without copying."""

import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from commandline import Done, bench
from fakestore import noisy, write_store
from storedcell import CELL, COLUMNS, FACTS

import qamoe_bench
from qamoe_bench.errors import BenchError
from qamoe_bench.sharing.merging import Merged, merge_stores
from qamoe_bench.store.agreement import difference
from qamoe_bench.store.store import Store, contents_of_stores

Bench = Callable[..., Done]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    return lambda *words: bench(words, capsys, monkeypatch)


def content(folder: Path) -> dict[str, bytes]:
    """All files of a folder, whatever their times."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture
def two(tmp_path: Path) -> tuple[Store, Store]:
    """Two stores with the seeds 1, 2 and 2, 3 of two models."""
    models = {"late-fusion": noisy(1.0), "oracle": noisy(0.1)}
    return (
        write_store(tmp_path / "a", models, seeds=(1, 2), run="first"),
        write_store(tmp_path / "b", models, seeds=(2, 3), run="second"),
    )


def test_a_merge_counts_what_came_and_what_was_there(two: tuple[Store, Store], tmp_path: Path, command: Bench) -> None:
    both = tmp_path / "both"
    first = command("merge", tmp_path / "a", "--into", both)
    assert first.out == f"{both}: 4 cells came from {tmp_path / 'a'}, 0 were there already, 0 conflicts\n"
    done = command("merge", tmp_path / "a", tmp_path / "b", "--into", both)
    assert done.out.startswith(f"{both}: 2 cells came from {tmp_path / 'a'}, {tmp_path / 'b'}, 4 were there already")
    assert [c.cell for c in Store(both).cells()] == [c.cell for c in contents_of_stores(two).cells]
    assert [m["run"] for m in Store(both).manifests()] == ["first", "second"]
    before = content(both)
    assert ": 0 cells came" in command("merge", tmp_path / "b", both, "--into", both).out
    assert content(both) == before


def test_a_dry_run_counts_and_writes_nothing(two: tuple[Store, Store], tmp_path: Path, command: Bench) -> None:
    done = command("merge", tmp_path / "a", tmp_path / "b", "--into", tmp_path / "both", "--dry-run")
    assert "6 cells would come" in done.out
    assert not (tmp_path / "both").exists()


def test_an_interrupted_merge_continues(
    two: tuple[Store, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Store(tmp_path / "both")
    writes = 0
    sync = os.fsync

    def interrupted(descriptor: int) -> None:
        nonlocal writes
        writes += 1
        if writes == 6:
            raise KeyboardInterrupt
        sync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", interrupted)
        with pytest.raises(KeyboardInterrupt):
            merge_stores(two, target)
    part = len(target.cells())
    assert 0 < part < 6
    assert merge_stores(two, target) == Merged(6 - part, part)
    assert not [*target.root.rglob("*.tmp")]


def test_weights_and_curves_come_along_and_those_that_are_there_stay(two: tuple[Store, Store], tmp_path: Path) -> None:
    for store, run, words in ((two[0], "first", b"a"), (two[1], "second", b"b")):
        store.checkpoint_path(run, "k").write_bytes(words)
        cell = store.cells()[0].cell
        (store.runs / run / "selection").mkdir()
        (store.runs / run / "selection" / cell.file_name).write_bytes(words)
    target = Store(tmp_path / "both")
    merge_stores(two, target)
    path = target.find_checkpoint("k")
    assert path is not None
    assert path.read_bytes() == b"a"
    assert len([*target.runs.glob("*/checkpoints/*")]) == 1
    assert {p.read_bytes() for p in target.runs.glob("*/selection/*")} == {b"a", b"b"}


def with_changes(root: Path, **changes: Any) -> Store:
    store = Store(root)
    store.prepare("run")
    store.write_cell("run", CELL, replace(FACTS, **changes), COLUMNS)
    return store


def with_column(root: Path, name: str, values: list[Any], type_: pa.DataType | None = None) -> Store:
    store = Store(root)
    store.prepare("run")
    store.write_cell("run", CELL, FACTS, {**COLUMNS, name: pa.array(values, type_)})
    return store


def test_equal_predictions_with_other_times_are_no_conflict(tmp_path: Path) -> None:
    training = {"best_epoch": 2, "specialists": {"eta=0": {"seconds": 1.0}}}
    first = with_changes(tmp_path / "a", training=training, trained_on={"regime": "clean"})
    slower = {"seconds_per_sample": 9.0, "peak_memory_mib": 9.0, "finished": "2027-01-01", "encodings_computed": 0}
    training = {"best_epoch": 2, "specialists": {"eta=0": {"seconds": 9.0}}}
    second = with_changes(tmp_path / "b", training=training, device="cpu", **slower)  # has no `trained_on`, as of old
    assert merge_stores([first, second], Store(tmp_path / "c")) == Merged(1, 0)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda root: with_column(root, "prediction", [0, 1, 2.5], pa.float32()), "prediction differs by up to 0.5"),
        (lambda root: with_column(root, "prediction", [0, 1, 2], pa.float64()), "column prediction differs"),
        (lambda root: with_column(root, "id", ["a", "c", "b"]), "column id differs"),
        (lambda root: with_column(root, "target", [0, 1, 3], pa.float32()), "column target differs by up to 1"),
        (lambda root: with_column(root, "variance", [1, 1, 1], pa.float32()), "only one has column variance"),
        (lambda root: with_changes(root, parameters=13), "recorded parameters differs"),
        (lambda root: with_changes(root, config={"width": 4}), "recorded config differs"),
        (lambda root: with_changes(root, training={"best_epoch": 3}), "recorded training differs"),
        (
            lambda root: with_changes(root, conditions=({"name": "eta=0", "levels": {"eta": 0.1}},)),
            "recorded conditions differs",
        ),
    ],
)
def test_two_contents_of_one_key_are_refused_and_nothing_changes(
    make: Callable[[Path], Store], reason: str, tmp_path: Path, command: Bench
) -> None:
    first = with_changes(tmp_path / "a")
    second = make(tmp_path / "b")
    line = command("merge", tmp_path / "a", tmp_path / "b", "--into", tmp_path / "c").refusal()
    (wrong,) = tmp_path.glob("b/runs/*/predictions/*")
    assert line.startswith("error: 1 cell with two contents: expected equal results under equal keys, got ")
    assert str(wrong) in line
    assert reason in line
    assert line.endswith("nothing was merged; remove the wrong file of each pair")
    assert not (tmp_path / "c").exists()
    # The same in one store, and for a report of both.
    shutil.copytree(second.runs / "run", first.runs / "other")
    with pytest.raises(BenchError, match=reason):
        first.cells()
    report = command("report", "--results", tmp_path / "a", "--results", tmp_path / "b").refusal()
    assert reason in report
    # After the advice was followed, everything works.
    wrong.unlink()
    shutil.rmtree(first.runs / "other")
    assert len(first.cells()) == 1


def test_a_nan_is_equal_to_itself(tmp_path: Path) -> None:
    nan = float("nan")
    stores = [with_column(tmp_path / name, "quality_text", [nan, 1, 2], pa.float32()) for name in "ab"]
    first, second = (store.cells()[0] for store in stores)
    assert difference(first, second) == ""
    third = with_column(tmp_path / "c", "quality_text", [1, nan, 2], pa.float32()).cells()[0]
    assert "quality_text differs" in difference(first, third)


def test_a_store_without_cells_is_named(two: tuple[Store, Store], tmp_path: Path, command: Bench) -> None:
    for words in (
        ("merge", tmp_path / "a", tmp_path / "nowhere", "--into", tmp_path / "c"),
        ("report", "--results", tmp_path / "a", "--results", tmp_path / "nowhere"),
        ("figures", "--results", tmp_path / "nowhere", "--results", tmp_path / "a"),
    ):
        assert f"no finished cells in {tmp_path / 'nowhere' / 'runs'}" in command(*words).refusal()
    assert not (tmp_path / "c").exists()


def test_several_stores_are_reported_and_drawn_as_their_merge(
    two: tuple[Store, Store], tmp_path: Path, command: Bench
) -> None:
    both = ("--results", tmp_path / "a", "--results", tmp_path / "b")
    merge_stores(two, Store(tmp_path / "c"))
    for words in (("report",), ("report", "--overview"), ("report", "--format", "json")):
        assert command(*words, *both).out == command(*words, "--results", tmp_path / "c").out
    draw = ("figures", "--kind", "curves", "--metric", "mae", "--output")
    command(*draw, tmp_path / "f", *both)
    command(*draw, tmp_path / "g", "--results", tmp_path / "c")
    assert content(tmp_path / "f") == content(tmp_path / "g")
    assert len(content(tmp_path / "f")) == 2  # a curve and its caption


def test_python_reads_several_stores_as_one(two: tuple[Store, Store], tmp_path: Path) -> None:
    (joined,) = qamoe_bench.analyse([two[0], tmp_path / "b"], metrics=["mae"])
    assert joined.section.seeds == (1, 2, 3)
    assert qamoe_bench.merge(two, tmp_path / "c").added == 6
    (merged,) = qamoe_bench.analyse(tmp_path / "c", metrics=["mae"])
    assert joined.scores[0].values.tolist() == merged.scores[0].values.tolist()
