"""The store: atomic writes, lossless reading, and one-line errors for files that it cannot read."""

import errno
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from storedcell import CELL, COLUMNS, FACTS

from qamoe_bench.errors import BenchError
from qamoe_bench.store.atomic import write_atomic
from qamoe_bench.store.cell import Cell, digest_of
from qamoe_bench.store.store import Store
from qamoe_bench.store.stored_cell import METADATA_KEY
from qamoe_bench.store.temporary import temporary_name


def stored(root: Path) -> Store:
    store = Store(root)
    store.prepare("run")
    store.write_cell("run", CELL, FACTS, COLUMNS)
    return store


def files(root: Path) -> list[str]:
    return sorted(str(p.relative_to(root)) for p in root.rglob("*") if p.is_file())


def test_a_cell_comes_back_as_it_was_written(tmp_path: Path) -> None:
    store = stored(tmp_path)
    (cell,) = store.cells()
    assert cell.cell == CELL
    assert cell.facts.conditions[0]["levels"] == {"eta": 0.0}
    assert (cell.facts.parameters, cell.facts.config, cell.facts.training) == (12, {"width": 3}, {"best_epoch": 2})
    assert cell.facts.seconds_per_sample == 0.25
    assert (cell.facts.encodings_asked, cell.facts.encodings_computed) == (9, 4)
    assert cell.predictions["prediction"].tolist() == [0, 1, 2]
    assert cell.column("prediction").tolist() == [[[0, 1, 2]]]  # draw, condition, sample
    assert cell.samples == ("a", "b", "c")
    assert store.find_cell(CELL) == cell.path


@given(st.sampled_from(list(Cell.__dataclass_fields__)))
def test_every_field_of_a_cell_is_in_its_key(name: str) -> None:
    other: Any = 8 if name == "seed" else "other"
    assert replace(CELL, **{name: other}).key != CELL.key


def test_equal_cells_of_two_runs_are_listed_once(tmp_path: Path) -> None:
    store = stored(tmp_path)
    store.prepare("second")
    store.write_cell("second", CELL, FACTS, COLUMNS)
    assert len(store.cells()) == 1


def test_columns_and_fields_of_a_later_version_are_ignored(tmp_path: Path) -> None:
    store = stored(tmp_path)
    path = store.cells()[0].path
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[METADATA_KEY])
    about["cell"]["later"] = about["facts"]["later"] = 1
    about["key"] = digest_of({**about["cell"], "schema": 1})[:20]
    del about["checksum"]
    table = table.append_column("later", pa.array([1, 2, 3])).replace_schema_metadata({METADATA_KEY: json.dumps(about)})
    pq.write_table(table, path.with_name(path.name.replace(CELL.key, about["key"])))
    path.unlink()
    assert store.cells()[0].cell == CELL


def test_a_fact_that_an_older_version_did_not_store_has_its_default(tmp_path: Path) -> None:
    store = stored(tmp_path)
    path = store.cells()[0].path
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[METADATA_KEY])
    for name in ("seconds_per_sample", "encodings_asked", "encodings_computed"):
        del about["facts"][name]
    del about["checksum"]
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: json.dumps(about)}), path)
    facts = store.cells()[0].facts
    assert (facts.seconds_per_sample, facts.encodings_asked, facts.encodings_computed) == (0, 0, 0)


def test_a_newer_schema_is_refused_with_the_remedy(tmp_path: Path) -> None:
    store = stored(tmp_path)
    path = store.cells()[0].path
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({METADATA_KEY: '{"schema": 99}'}), path)
    with pytest.raises(BenchError, match="expected schema 1 or older, got 99; update qamoe-bench"):
        store.cells()
    (tmp_path / "runs/run/run.json").write_text('{"schema": 99}', encoding="utf-8")
    with pytest.raises(BenchError, match="update qamoe-bench"):
        store.manifests()


@pytest.mark.parametrize("content", [b"", b"PAR1 garbage", None])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    store = stored(tmp_path)
    path = store.cells()[0].path
    path.write_bytes(path.read_bytes()[:-20] if content is None else content)
    with pytest.warns(UserWarning, match="not used: .*; remove it, and 'qamoe-bench run' computes it again"):
        assert store.cells() == []
    assert [damage.path for damage in store.contents().damaged] == [path]
    assert store.find_cell(CELL) is None


def test_a_failed_write_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BenchError, match="No space left on device.*free space"):
        write_atomic(path, b"new")
    assert path.read_bytes() == b"old"
    assert files(tmp_path) == ["file"]


def test_files_of_a_killed_process_are_removed_and_those_of_a_running_one_are_kept(tmp_path: Path) -> None:
    script = (
        "import sys, os, signal, pathlib; from qamoe_bench.store import atomic\n"
        "atomic.os.fsync = lambda _: os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic.write_atomic(pathlib.Path(sys.argv[1]), b'half')\n"
    )
    store = stored(tmp_path)
    target = tmp_path / "runs/run/predictions/x.parquet"
    done = subprocess.run([sys.executable, "-c", script, str(target)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert any(name.endswith(".tmp") for name in files(tmp_path))
    assert len(store.cells()) == 1  # the half-written file is not seen
    mine = target.with_name(temporary_name("y.parquet"))
    mine.touch()
    store.prepare("run")
    assert [n for n in files(tmp_path) if n.endswith(".tmp")] == [str(mine.relative_to(tmp_path))]


@pytest.mark.parametrize("root", ["file/results", "/proc/results"])
def test_an_unwritable_folder_is_refused(tmp_path: Path, root: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BenchError, match="cannot write .*name a place that can be written to"):
        Store(tmp_path / root).prepare("run")


@pytest.mark.parametrize("place", ["circle", "x" * 300, "file", "absent"])
def test_a_results_folder_that_cannot_be_opened_is_one_line(place: str, tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("other")
    (tmp_path / "other").symlink_to("circle")
    (tmp_path / "file").touch()
    for read in (Store.require_cells, Store.finished, Store.manifests):
        if place in ("file", "absent") and read is not Store.require_cells:
            continue  # there is nothing, and nothing is wrong
        with pytest.raises(BenchError, match="expected a |cannot be read .*; name a folder that can be opened"):
            read(Store(tmp_path / place))


def test_an_empty_store_has_no_cells(tmp_path: Path) -> None:
    assert Store(tmp_path / "none").cells() == []
    assert Store(tmp_path / "none").manifests() == []


@pytest.mark.parametrize(
    "content",
    ['{"schema": 1, "run": []}', '{"schema": 1, "run": {"a": 1}}', "[" * 9000, '{"schema": "' + "9" * 5000 + '"}'],
)
def test_a_manifest_that_no_run_wrote_is_one_short_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "runs" / "a").mkdir(parents=True)
    (tmp_path / "runs" / "a" / "run.json").write_text(content, "utf-8")
    with pytest.raises(BenchError, match="^run manifest .*cannot be read") as raised:
        Store(tmp_path).manifests()
    assert len(str(raised.value)) < 500
