"""Stores that were copied, synchronised, checked out, shared between users, or mounted over a network."""

import errno
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from commandline import bench
from fakestore import noisy, write_store
from storedcell import CELL, COLUMNS, FACTS
from torch import nn

from qamoe_bench.errors import BenchError
from qamoe_bench.store.access import LFS_POINTER, no_permission
from qamoe_bench.store.cell import Cell
from qamoe_bench.store.failures import Failure, failed_keys, forget_failures, write_failures
from qamoe_bench.store.store import Store
from qamoe_bench.training.checkpoint import load_weights

POINTER = LFS_POINTER + b"v1\noid sha256:" + b"0" * 64 + b"\nsize 51234\n"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_store(tmp_path / "results", {"late-fusion": noisy(1.0), "oracle": noisy(0.1)}, seeds=(1, 2))


def a_cell(store: Store) -> Path:
    return store.cells()[0].path


HIDDEN = (
    "._{name}",
    ".DS_Store",
    "Thumbs.db",
    "desktop.ini",
    ".{name}.swp",
    ".~{name}",
    ".nfs000000012ab",
    "{name}.tmp",
)
COPIES = (
    "{stem} (1).parquet", "{stem} copy.parquet", "{stem} copy 2.parquet", "{stem}-PC's conflicted copy.parquet",
    "{stem} (PC's conflicted copy 2026-01-31).parquet", "{stem} - Copy.parquet", "Copy of {name}x.parquet",
    "{stem}.sync-conflict-20260131-101112-ABCDEFG.parquet", "{stem}~1.parquet", "{stem}(2).parquet", "notes.parquet",
)  # fmt: skip


@pytest.mark.parametrize("template", HIDDEN)
def test_files_that_systems_leave_are_no_cells(template: str, store: Store) -> None:
    cell = a_cell(store)
    cell.with_name(template.format(name=cell.name)).write_bytes(b"\x00\x05\x16\x07 no Parquet")
    (store.runs / ".DS_Store").touch()
    (store.runs / ".hidden" / "predictions").mkdir(parents=True)
    assert len(store.cells()) == len(store.finished()) == 4
    assert store.ignored() == []


@pytest.mark.parametrize("template", COPIES)
def test_a_copy_counts_once_and_is_named(
    template: str, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = a_cell(store)
    copy = cell.with_name(template.format(stem=cell.stem, name=cell.name))
    shutil.copy(cell, copy)
    assert len(store.cells()) == len(store.finished()) == 4
    assert store.ignored() == [copy]
    done = bench(("report", "--results", store.root, "--overview"), capsys, monkeypatch)
    assert done.code == 0
    (note,) = [line for line in done.err.splitlines() if line.startswith("note: ignored ")]
    assert str(copy) in note


@pytest.mark.parametrize("name", ["{} (1)", "{} copy", "Copy of {}", "._{}"])
def test_a_copy_of_a_run_counts_once(name: str, store: Store) -> None:
    (run,) = store.runs.iterdir()
    shutil.copytree(run, run.with_name(name.format(run.name)))
    assert len(store.cells()) == 4
    assert len(store.manifests()) == 1


@pytest.mark.parametrize(
    "model", ["ours", "a" * 300, "ours:width=3", "中" * 100, ".hidden", "ours (1)", "e\u0301\u2028"]
)
def test_what_the_store_writes_is_a_cell_whatever_the_model_is_called(model: str, tmp_path: Path) -> None:
    cell = replace(CELL, model=model, protocol=".dots")
    store = Store(tmp_path)
    store.prepare("run")
    store.write_cell("run", cell, FACTS, COLUMNS)
    assert [c.cell for c in store.cells()] == [cell]
    assert store.finished() == {cell.key}
    assert len(cell.file_name.encode()) <= 143  # the longest name on eCryptfs


@pytest.mark.parametrize("name", ["数据 集 (1)", "caf\udce9", "a\u2028b", "it's"])
def test_a_store_in_a_folder_of_any_name_is_read(name: str, tmp_path: Path) -> None:
    store = write_store(tmp_path / name, {"late-fusion": noisy(1.0)}, seeds=(1,), run=name)
    (cell,) = store.cells()
    assert len(cell.samples) == 60
    assert len(cell.predictions) == 180
    assert [manifest["run"] for manifest in store.manifests()] == [name]


@pytest.mark.parametrize("change", ["crlf", "mark", "utf-16"])
def test_a_manifest_that_an_editor_or_git_rewrote_is_read(change: str, store: Store) -> None:
    (path,) = store.runs.glob("*/run.json")
    before = store.manifests()
    text = path.read_text(encoding="utf-8")
    changed = {
        "crlf": text.replace("\n", "\r\n").encode(),
        "mark": text.encode("utf-8-sig"),
        "utf-16": text.encode("utf-16"),
    }
    path.write_bytes(changed[change])
    assert store.manifests() == before


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff\xfe\x00"])
def test_a_damaged_manifest_is_named_and_without_its_run_the_rest_is_read(content: bytes, store: Store) -> None:
    (run,) = store.runs.iterdir()
    (run / "run.json").write_bytes(content)
    with pytest.raises(BenchError, match=r"run manifest .*run\.json: cannot be read .*; remove that run's folder"):
        store.manifests()
    shutil.rmtree(run)
    assert store.manifests() == []


def test_pointers_of_git_lfs_are_named(store: Store) -> None:
    advice = "expected the file itself, got the pointer of git-lfs to it; run 'git lfs pull'"
    a_cell(store).write_bytes(POINTER)
    with pytest.raises(BenchError, match=f"^predictions .*parquet: {advice}"):
        store.cells()
    (manifest,) = store.runs.glob("*/run.json")
    manifest.write_bytes(POINTER)
    with pytest.raises(BenchError, match=f"^run manifest .*json: {advice}"):
        store.manifests()
    weights = store.root / "weights.safetensors"
    weights.write_bytes(POINTER)
    with pytest.raises(BenchError, match=f"^checkpoint .*safetensors: {advice}"):
        load_weights(nn.Linear(1, 1), weights)


def test_a_pointer_among_cells_that_the_index_knows_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qamoe_bench.store.index.REWRITE_AFTER", 1)
    (cell, *_) = store.cells()
    status = cell.path.stat()
    cell.path.write_bytes(POINTER.ljust(status.st_size, b"\n"))
    os.utime(cell.path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(BenchError, match="git lfs pull"):
        [stored.column("prediction") for stored in store.cells()]


def deny(monkeypatch: pytest.MonkeyPatch, denied: Path) -> None:
    """Let nobody, not even root, read or enter a path."""

    def refusing(function: Any, inside: bool) -> Any:
        def call(path: Any = ".", *arguments: Any, **options: Any) -> Any:
            # The entry of a closed folder itself, or of a closed file, can be seen from outside.
            places = [] if not isinstance(path, str | os.PathLike) else [*Path(path).parents, Path(path)]
            if denied in (places[:-1] if inside else places):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return function(path, *arguments, **options)

        return call

    for module, name in ((os, "scandir"), (os, "stat"), (Path, "read_bytes")):
        monkeypatch.setattr(module, name, refusing(getattr(module, name), inside=name == "stat"))
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != denied)
    monkeypatch.setattr(Path, "owner", lambda self: "alice")


@pytest.mark.parametrize("part", ["cell", "predictions", "run", "runs"])
def test_what_another_user_does_not_let_one_read_is_named_with_its_owner(
    part: str, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = a_cell(store)
    denied = {"cell": cell, "predictions": cell.parent, "run": cell.parents[1], "runs": store.runs}[part]
    with monkeypatch.context() as patch:
        deny(patch, denied)
        line = bench(("report", "--results", store.root), capsys, patch).refusal()
    assert f"{denied}: may not be read by you and belongs to alice" in line
    assert f"chmod -R a+rX {denied}" in line


def test_a_closed_folder_is_named_instead_of_what_lies_in_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    assert f"predictions {tmp_path}: may not be read" in str(no_permission("predictions", tmp_path / "a" / "b"))


@pytest.mark.parametrize(
    ("code", "words"), [(errno.EACCES, "Permission denied; it belongs to"), (errno.EROFS, "Read-only")]
)
def test_a_store_that_may_not_be_written_is_reported_and_a_run_into_it_is_one_line(
    code: int, words: str, store: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(self: Path, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        if "r" not in mode:
            raise OSError(code, os.strerror(code), str(self))
        return opened(self, mode, *arguments, **options)

    opened = Path.open
    monkeypatch.setattr(Path, "open", refuse)
    monkeypatch.setattr("qamoe_bench.store.index.REWRITE_AFTER", 1)
    assert bench(("report", "--results", store.root, "--overview"), capsys, monkeypatch).code == 0
    call = ("run", "--protocol", "clean", "--model", "mean", "--seeds", "1", "--results", store.root)
    line = bench(call, capsys, monkeypatch).refusal()
    assert "cannot write" in line
    assert words in line
    assert "free space" not in line
    assert "name a place that can be written to" in line


@pytest.fixture
def _lagging_listings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Listings of folders that show neither files nor folders of the last minute."""
    scan = os.scandir

    class Listing:
        def __init__(self, path: Any) -> None:
            with scan(path) as entries:
                self._entries = [e for e in entries if time.time() - e.stat().st_mtime > 60]

        def __iter__(self) -> Iterator[os.DirEntry[str]]:
            return iter(self._entries)

        def __enter__(self) -> "Listing":
            return self

        def __exit__(self, *_: object) -> None:
            self._entries.clear()

    monkeypatch.setattr(os, "scandir", lambda path=".": Listing(path))


@pytest.mark.usefixtures("_lagging_listings")
def test_a_cell_that_was_just_written_is_read_by_name(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.prepare("run")
    store.write_manifest("run", {"cells": [CELL.key]})
    store.write_cell("run", CELL, FACTS, COLUMNS)
    stored = store.read_cell(CELL)
    assert stored is not None
    assert stored.cell == CELL
    assert [manifest["run"] for manifest in store.manifests(["run"])] == ["run"]


@pytest.mark.usefixtures("_lagging_listings")
def test_a_run_prints_the_tables_of_what_it_just_stored(
    write_pickle: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("run", "--protocol", "clean", "--model", "mean", "--seeds", "1", "--executor", "local", "--device", "cpu")
    done = bench((*call, "--data", write_pickle(), "--results", tmp_path / "r"), capsys, monkeypatch)
    assert done.code == 0
    assert "clean on tiny" in done.out
    again = bench((*call, "--data", write_pickle(), "--results", tmp_path / "r"), capsys, monkeypatch)
    assert again.out == done.out


def test_records_of_failures_that_another_user_owns_or_a_cloud_copied_stop_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = Cell("d", "0", "p", "1", "m", "clean", "2", 3)
    write_failures(store, "made-up", [Failure(cell, "a reason with \udce9")])
    (record,) = store.root.rglob("failures/*.json")
    record.with_name(f"{record.stem} (1).json").write_bytes(b"")
    record.with_name("._x.json").write_bytes(b"\x00")
    assert failed_keys(store, "made-up") == {cell.key}
    with monkeypatch.context() as patch:

        def refuse(self: Path, missing_ok: bool = False) -> None:
            raise PermissionError(errno.EACCES, "Permission denied", str(self))

        patch.setattr(Path, "unlink", refuse)
        forget_failures(store, "made-up")
    forget_failures(store, "made-up")
    assert failed_keys(store, "made-up") == set()
