"""The index of a run is a cache: with it, without it, and with any damage to it, a store reads the same."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qamoe_bench.errors import BenchError
from qamoe_bench.store import index, store
from qamoe_bench.store.cell import Cell, CellFacts
from qamoe_bench.store.store import Store, StoredCell

CELL = Cell("d", "0a", "p", "1b", "m", "spectrum", "2c", 0)
FACTS = CellFacts(({"name": "eta=0", "levels": {"eta": 0.0}},), 12, {"width": 3}, {"best_epoch": 2})
WRITER = """
import sys
from pathlib import Path
import pyarrow as pa
from qamoe_bench.store.cell import Cell, CellFacts
from qamoe_bench.store.store import Store
root, run, first, count = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
store = Store(root)
store.prepare(run)
for seed in range(first, first + count):
    cell, columns = Cell("d", "0a", "p", "1b", "m", "spectrum", "2c", seed), {"prediction": pa.array([float(seed)])}
    store.write_cell(run, cell, CellFacts([{"name": "c", "levels": {}}], seed, {}, {}), columns)
"""


@pytest.fixture(autouse=True)
def _few_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "MANY", 3)


def add(root: Path, run: str, *seeds: int, parameters: int = 12) -> Store:
    filled = Store(root)
    filled.prepare(run)
    for seed in seeds:
        columns = {"id": pa.array(["a", "b"]), "prediction": pa.array(np.full(2, seed, np.float32))}
        filled.write_cell(run, replace(CELL, seed=seed), replace(FACTS, parameters=parameters), columns)
    return filled


def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise AssertionError(f"{path} was opened")

    monkeypatch.setattr(store, "_read_head", refuse)


def seeds(found: list[StoredCell]) -> list[int]:
    return sorted(c.cell.seed for c in found)


def test_the_second_reading_is_equal_and_opens_no_cell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = add(tmp_path, "one", 1, 2, 3)
    add(tmp_path, "two", 3, 4, 5, 6)
    scanned = filled.cells()
    no_reading(monkeypatch)
    assert filled.cells() == scanned
    assert seeds(scanned) == [1, 2, 3, 4, 5, 6]
    assert scanned[0].facts.training == {"best_epoch": 2}
    assert scanned[0].names == {"id", "prediction"}
    assert scanned[1].column("prediction").tolist() == [[[2, 2]]]


def test_names_alone_tell_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled = add(tmp_path, "one", 1, 2)
    keys = {c.cell.key for c in filled.cells()}
    no_reading(monkeypatch)
    assert filled.finished() == keys
    assert Store(tmp_path / "none").finished() == set()


def test_a_small_run_gets_no_index(tmp_path: Path) -> None:
    assert len(add(tmp_path, "one", 1, 2).cells()) == 2
    assert not (tmp_path / "runs/one/index.parquet").exists()


def test_what_was_added_replaced_or_removed_since_is_seen(tmp_path: Path) -> None:
    filled = add(tmp_path, "one", 1, 2, 3, 4)
    filled.cells()
    add(tmp_path, "one", 5)
    add(tmp_path, "one", 2, parameters=99)
    next(c.path for c in filled.cells() if c.cell.seed == 3).unlink()
    assert {c.cell.seed: c.facts.parameters for c in filled.cells()} == {1: 12, 2: 99, 4: 12, 5: 12}


def test_a_cell_that_was_damaged_since_is_told(tmp_path: Path) -> None:
    filled = add(tmp_path, "one", 1, 2, 3)
    path = filled.cells()[0].path
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(BenchError, match="not a file of this store"):
        filled.cells()


def _of_another_version(path: Path) -> None:
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({index.FORMAT: b"0"}), path)


def _without_a_column(path: Path) -> None:
    pq.write_table(pq.read_table(path).drop_columns(["about"]), path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"PAR1 garbage"),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        _of_another_version,
        _without_a_column,
    ],
)
def test_an_index_that_cannot_be_read_is_made_anew(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    filled, path = add(tmp_path, "one", 1, 2, 3), tmp_path / "runs/one/index.parquet"
    scanned = filled.cells()
    whole = path.read_bytes()
    damage(path)
    assert filled.cells() == scanned
    assert path.read_bytes() == whole


def test_a_store_that_cannot_be_written_to_is_read_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled = add(tmp_path, "one", 1, 2, 3)

    def full(path: Path, _: bytes) -> None:
        raise BenchError(f"cannot write {path}")

    monkeypatch.setattr(store, "write_atomic", full)
    assert seeds(filled.cells()) == [1, 2, 3]
    assert not (tmp_path / "runs/one/index.parquet").exists()


def test_readers_meet_only_whole_cells_while_others_write_into_the_same_runs(tmp_path: Path) -> None:
    jobs = [(run, first) for run in ("one", "two") for first in (0, 15)]  # two writers each; both runs have equal cells
    script = [sys.executable, "-c", WRITER, str(tmp_path)]
    writers = [subprocess.Popen([*script, run, str(first), "15"]) for run, first in jobs]
    filled, before = Store(tmp_path), set[str]()
    while any(writer.poll() is None for writer in writers):
        found = filled.cells()
        assert before <= {c.cell.key for c in found}
        assert all(c.facts.parameters == c.cell.seed for c in found)
        before = {c.cell.key for c in found}
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert seeds(filled.cells()) == list(range(30))
    assert all(c.column("prediction").item() == c.cell.seed for c in filled.cells())
