"""Temporary files of processes that still run are kept, even where two machines have one name and one process id."""

import errno
import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from storedcell import CELL, COLUMNS, FACTS

from qamoe_bench.run.remote import store_marker
from qamoe_bench.store import temporary
from qamoe_bench.store.atomic import write_atomic
from qamoe_bench.store.new_folder import new_folder
from qamoe_bench.store.store import Store
from qamoe_bench.store.temporary import is_abandoned, temporary_name


@pytest.fixture
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_names_of_one_process_are_distinct_and_not_abandoned() -> None:
    names = {temporary_name("a.b") for _ in range(100)}
    assert len(names) == 100
    assert not any(map(is_abandoned, names))


@pytest.mark.parametrize("host", ["node", "node.cluster.example"])
def test_what_a_dead_process_left_is_abandoned(host: str, dead: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: host)
    assert is_abandoned(temporary_name("x").replace(f".{os.getpid()}.", f".{dead}."))


@pytest.mark.parametrize(
    "name", ["", ".tmp", "notes.tmp", ".node.1.2.tmp", ".a..b.tmp", ".vm.99999999999999999999.0.tmp"]
)
def test_other_names_are_not_abandoned(name: str) -> None:
    assert not is_abandoned(name)


def test_two_machines_of_one_name_leave_each_other_alone(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path / "r")
    store.prepare("run")
    with store_marker(store, "run") as marker, new_folder(tmp_path / "data") as folder:
        half = store.runs / "run/predictions" / temporary_name()
        half.touch()
        # A container with the host name of this machine, in which nobody has the ids of processes here, or all have.
        monkeypatch.setattr(temporary, "_visible_processes", lambda: "0123abcd")
        for pids in (lambda _: False, lambda _: True):
            monkeypatch.setattr(temporary, "is_alive", pids)
            store.prepare("run")
            with new_folder(tmp_path / "data"):
                pass
            (tmp_path / "data").rmdir()
        assert marker.exists()
        assert folder.exists()
        assert half.exists()
        twin = temporary_name()
    assert twin.split(".")[2] == str(os.getpid())
    assert twin not in {half.name, marker.name}


def test_a_folder_whose_name_is_a_pattern_is_swept_alone(tmp_path: Path, dead: int) -> None:
    other = tmp_path / temporary_name("ab").replace(f".{os.getpid()}.", f".{dead}.")
    other.mkdir()
    with new_folder(tmp_path / "[a]b"):
        pass
    assert other.exists()


@pytest.mark.parametrize("number", [errno.ENOENT, errno.ESTALE])
def test_a_write_that_a_network_folder_lost_is_repeated(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = Path.replace
    failures = [OSError(number, os.strerror(number))]

    def fail_once(self: Path, target: Path) -> Path:
        if failures:
            raise failures.pop()
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", fail_once)
    write_atomic(tmp_path / "file", b"content")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.parametrize("length", [0, 1, 100, -1])
def test_a_cell_that_a_network_folder_shows_in_part_counts_once_it_is_whole(length: int, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("run")
    store.write_cell("run", CELL, FACTS, COLUMNS)
    path = store.runs / "run/predictions" / CELL.file_name
    content = path.read_bytes()
    path.write_bytes(content[:length])
    assert store.find_cell(CELL) is None  # it would be computed again, and replaced
    assert [damage.path for damage in store.contents().damaged] == [path]
    path.write_bytes(content)
    assert store.find_cell(CELL) == path
    assert [stored.cell for stored in store.cells()] == [CELL]


def test_a_listing_that_lags_hides_nothing_that_this_process_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    store.prepare("run")
    store.write_cell("run", CELL, FACTS, COLUMNS)
    (tmp_path / "empty").mkdir()
    scan = os.scandir
    monkeypatch.setattr(os, "scandir", lambda _: scan(tmp_path / "empty"))
    assert store.find_cell(CELL) is not None
    assert store.read_cell(CELL) is not None


def test_many_cells_are_looked_up_with_one_listing_and_own_runs_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)
    cells = [replace(CELL, seed=seed) for seed in range(20)]
    for seed, cell in enumerate(cells):
        store.prepare(f"run{seed}")
        store.write_cell(f"run{seed}", cell, FACTS, COLUMNS)
    reader = Store(tmp_path)
    reader.prepare("run0")
    listed = reader.listed()
    expected = [store.find_cell(cell) for cell in cells]
    asked: list[Path] = []
    exists = os.path.exists

    def count(path: Path) -> bool:
        asked.append(path)
        return exists(path)

    monkeypatch.setattr(os.path, "exists", count)
    assert [listed.find_cell(cell) for cell in cells] == expected
    assert len(asked) < 2 * len(cells)  # and not once per run for each of them
    late = replace(CELL, seed=99)
    store.write_cell("run0", late, FACTS, COLUMNS)
    assert listed.find_cell(late) is not None
