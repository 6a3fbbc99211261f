"""The index of a run is a cache: a store reads the same with it, without it, and when it is damaged."""

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from storedcell import CELL, COLUMNS, FACTS

from qamoe_bench.errors import BenchError
from qamoe_bench.store import index, store
from qamoe_bench.store.store import Store, StoredCell

WRITER = """
import sys
from pathlib import Path
from dataclasses import replace
import numpy as np
import pyarrow as pa
from storedcell import CELL, COLUMNS, FACTS
from qamoe_bench.store.store import Store
root, run, first, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
store = Store(root)
store.prepare(run)
for seed in range(first, first + count):
    columns = {**COLUMNS, "prediction": pa.array(np.full(3, seed, np.float32))}
    store.write_cell(run, replace(CELL, seed=seed), replace(FACTS, parameters=seed), columns)
"""


@pytest.fixture(autouse=True)
def _three_misses_rewrite_the_index(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "REWRITE_AFTER", 3)


def add(root: Path, run: str, *seeds: int, parameters: int = 12) -> Store:
    filled = Store(root)
    filled.prepare(run)
    for seed in seeds:
        columns = {**COLUMNS, "prediction": pa.array(np.full(3, seed, np.float32))}
        filled.write_cell(run, replace(CELL, seed=seed), replace(FACTS, parameters=parameters), columns)
    return filled


def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(store, "read_header", refuse)


def seeds(cells: list[StoredCell]) -> list[int]:
    return sorted(c.cell.seed for c in cells)


def test_the_second_read_is_equal_and_opens_no_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = add(tmp_path, "one", 1, 2, 3)
    add(tmp_path, "two", 3, 4, 5, 6)
    scanned = filled.cells()
    no_reading(monkeypatch)
    assert filled.cells() == scanned
    assert seeds(scanned) == [1, 2, 3, 4, 5, 6]
    assert scanned[0].facts.training == {"best_epoch": 2}
    assert scanned[0].names == {*COLUMNS}
    assert scanned[1].column("prediction").tolist() == [[[2, 2, 2]]]


def test_file_names_alone_give_the_finished_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = add(tmp_path, "one", 1, 2)
    keys = {c.cell.key for c in filled.cells()}
    no_reading(monkeypatch)
    assert filled.finished() == keys
    assert Store(tmp_path / "none").finished() == set()


def test_a_small_run_gets_no_index(tmp_path: Path) -> None:
    assert len(add(tmp_path, "one", 1, 2).cells()) == 2
    assert not (tmp_path / "runs/one/index.parquet").exists()


def test_small_runs_get_one_where_there_are_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MANY_FOLDERS", 3)
    monkeypatch.setattr(index, "REWRITE_SMALL_AFTER", 2)
    for run, found in (("one", 0), ("two", 0), ("three", 2)):
        add(tmp_path, run, *((1,) if run == "three" else (2, 3)))
        Store(tmp_path).cells()
        assert len([*tmp_path.glob("runs/*/index.parquet")]) == found
    no_reading(monkeypatch)
    with pytest.raises(AssertionError, match="three"):
        Store(tmp_path).cells()


def test_added_replaced_and_removed_cells_are_seen(tmp_path: Path) -> None:
    filled = add(tmp_path, "one", 1, 2, 3, 4)
    filled.cells()
    add(tmp_path, "one", 5)
    add(tmp_path, "one", 2, parameters=99)
    next(c.path for c in filled.cells() if c.cell.seed == 3).unlink()
    assert {c.cell.seed: c.facts.parameters for c in filled.cells()} == {1: 12, 2: 99, 4: 12, 5: 12}


def test_a_cell_that_is_damaged_later_is_refused(tmp_path: Path) -> None:
    filled = add(tmp_path, "one", 1, 2, 3)
    path = filled.cells()[0].path
    path.write_bytes(path.read_bytes()[:-20])
    (damage,) = filled.contents().damaged
    assert damage.path == path
    assert len(filled.contents().cells) == 2


def _set_another_version(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({index.FORMAT: b"0"}), path)


def _drop_a_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["about"]), path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PAR1 garbage"),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        _set_another_version,
        _drop_a_column,
    ],
)
def test_an_unreadable_index_is_rewritten(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    filled = add(tmp_path, "one", 1, 2, 3)
    path = tmp_path / "runs/one/index.parquet"
    scanned = filled.cells()
    whole = path.read_bytes()
    damage(path)
    assert filled.cells() == scanned
    assert path.read_bytes() == whole


def test_a_read_only_store_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = add(tmp_path, "one", 1, 2, 3)

    def full(path: Path, _: bytes) -> None:
        raise BenchError(f"cannot write {path}")

    monkeypatch.setattr(store, "write_atomic", full)
    assert seeds(filled.cells()) == [1, 2, 3]
    assert not (tmp_path / "runs/one/index.parquet").exists()


def test_readers_meet_only_whole_cells_while_others_write_into_the_same_runs(tmp_path: Path) -> None:
    jobs = [(run, first) for run in ("one", "two") for first in (0, 15)]  # two writers each; both runs have equal cells
    script = [sys.executable, "-c", WRITER, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    writers = [subprocess.Popen([*script, run, str(first), "15"], env=environment) for run, first in jobs]
    filled = Store(tmp_path)
    before = set[str]()
    while any(writer.poll() is None for writer in writers):
        cells = filled.cells()
        assert before <= {c.cell.key for c in cells}
        assert all(c.facts.parameters == c.cell.seed for c in cells)
        before = {c.cell.key for c in cells}
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert seeds(filled.cells()) == list(range(30))
    assert all((c.column("prediction") == c.cell.seed).all() for c in filled.cells())


def test_what_cells_have_in_common_is_in_memory_once(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("run")
    for seed in (1, 2):
        store.write_cell("run", replace(CELL, seed=seed), FACTS, COLUMNS)
    first, second = store.cells()
    assert first.facts.conditions is second.facts.conditions
    assert first.facts.conditions == [*FACTS.conditions]
    assert first.names is second.names
    assert first.cell.recipe is second.cell.recipe
