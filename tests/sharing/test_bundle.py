"""Bundles: equal results give equal bytes, opening computes the report again, and hostile ones leave nothing behind."""

import hashlib
import io
import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from commandline import Done, bench
from fakestore import noisy, write_store
from storedcell import rewrite_cell

from qamoe_bench.errors import BenchError
from qamoe_bench.sharing.layout import MANIFEST, colliding, is_member
from qamoe_bench.sharing.opening import open_bundle_file
from qamoe_bench.sharing.packing import pack
from qamoe_bench.store.store import Store

Bench = Callable[..., Done]
Members = list[tuple[zipfile.ZipInfo, bytes]]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Bench:
    return lambda *words: bench(words, capsys, monkeypatch)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return write_store(tmp_path / "results", {"late-fusion": noisy(1.0), "ours": noisy(0.5)}, seeds=(1, 2))


def packed(store: Store, path: Path) -> Path:
    pack(store.cells(), path)
    return path


def test_equal_results_give_equal_bytes_wherever_and_whenever_they_are_packed(store: Store, tmp_path: Path) -> None:
    shutil.copytree(store.root, tmp_path / "copy")
    first = packed(store, tmp_path / "a.zip").read_bytes()
    second = packed(Store(tmp_path / "copy"), tmp_path / "b.zip").read_bytes()
    assert first == second
    assert pack(reversed_cells(store), tmp_path / "c.zip") == hashlib.sha256(first).hexdigest()


def reversed_cells(store: Store) -> list[Any]:
    return store.cells()[::-1]


def test_what_was_packed_comes_out_and_its_report_is_computed_again(
    store: Store, tmp_path: Path, command: Bench
) -> None:
    done = command("bundle", "--results", store.root, "--output", tmp_path / "b.zip", "--no-page")
    digest = hashlib.sha256((tmp_path / "b.zip").read_bytes()).hexdigest()
    assert done.out == f"{tmp_path / 'b.zip'}: 4 cells, SHA-256 {digest}\n"
    opened = command("unbundle", tmp_path / "b.zip", "--into", tmp_path / "new" / "folder")
    assert opened.out == command("report", "--results", store.root).out
    assert "4 cells, as written; " in opened.err
    assert digest in opened.err
    again = Store(tmp_path / "new" / "folder")
    for a, b in zip(store.cells(), again.cells(), strict=True):
        assert a.path.read_bytes() == b.path.read_bytes()
    assert again.manifests() == store.manifests()
    assert command("report", "--results", again.root).out == opened.out
    names = zipfile.ZipFile(tmp_path / "b.zip").namelist()
    assert names[:2] == [MANIFEST, "report.json"]
    assert all(map(is_member, names[1:]))


def test_a_part_of_the_results_can_be_packed_and_the_page_comes_with_it(
    store: Store, tmp_path: Path, command: Bench
) -> None:
    write_store(store.root, {"late-fusion": noisy(1.0)}, seeds=(1,), run="other", protocol="q")
    words = ("bundle", "--results", store.root, "--protocol", "q", "--output", tmp_path / "b.zip")
    assert "1 cells" in command(*words).out
    command("unbundle", tmp_path / "b.zip", "--into", tmp_path / "new")
    assert [c.cell.protocol for c in Store(tmp_path / "new").cells()] == ["q"]
    assert [p.name for p in (tmp_path / "new" / "runs").iterdir()] == ["other"]
    assert (tmp_path / "new" / "page.html").read_text("utf-8").startswith("<!doctype html>")


def test_cells_of_earlier_versions_are_packed_and_named(store: Store, tmp_path: Path, command: Bench) -> None:
    rewrite_cell(store.cells()[0].path)
    packed(store, tmp_path / "b.zip")
    done = command("unbundle", tmp_path / "b.zip", "--into", tmp_path / "new")
    assert "note: 1 of the cells are of an earlier version and have no checksum of their own" in done.err


def test_a_folder_with_files_is_refused_and_an_empty_one_is_used(store: Store, tmp_path: Path, command: Bench) -> None:
    packed(store, tmp_path / "b.zip")
    line = command("unbundle", tmp_path / "b.zip", "--into", store.root).refusal()
    assert "expected a new or empty folder, got one with files; name another" in line
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    command("unbundle", tmp_path / "b.zip", "--into", tmp_path / "link").refusal()
    (tmp_path / "empty").mkdir()
    assert command("unbundle", tmp_path / "b.zip", "--into", tmp_path / "empty").code == 0


def test_a_run_that_not_every_system_can_store_is_named_and_the_advice_works(tmp_path: Path, command: Bench) -> None:
    store = write_store(tmp_path / "r", {"late-fusion": noisy(1.0)}, seeds=(1,), run="a:b")
    words = ("bundle", "--results", tmp_path / "r", "--no-page", "--output", tmp_path / "b.zip")
    assert "rename that folder of runs" in command(*words).refusal()
    (store.runs / "a:b").rename(store.runs / "a-b")
    assert command(*words).code == 0


# Hostile bundles: each changes the members, the list of members, or the bytes of a good one.


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return [(info, archive.read(info)) for info in archive.infolist()]


def zipped(members: Members) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for info, content in members:
            archive.writestr(info, content)
    return file.getvalue()


def listing(members: Members) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(members[0][1])
    return content


def relisted(members: Members, change: Callable[[dict[str, Any]], object] = lambda about: None) -> bytes:
    """The bundle with a list of members that fits, and then a change of it."""
    about = listing(members)
    about["members"] = {
        info.filename: {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for info, content in members[1:]
    }
    change(about)
    return zipped([(members[0][0], json.dumps(about).encode()), *members[1:]])


def added(name: str, content: bytes = b"x", mode: int = 0o100644) -> Callable[[Members], bytes]:
    """A member more, which the list of members has as well."""

    def change(members: Members) -> bytes:
        info = zipfile.ZipInfo("placeholder")
        info.filename = name
        info.orig_filename = name
        info.external_attr = mode << 16
        return relisted([*members, (info, content)])

    return change


def edited(pattern: str, edit: Callable[[bytes], bytes], *, relist: bool = True) -> Callable[[Members], bytes]:
    """The first member of such a name with other content."""

    def change(members: Members) -> bytes:
        place = next(i for i, (info, _) in enumerate(members) if pattern in info.filename)
        info, content = members[place]
        changed = [*members[:place], (info, edit(content)), *members[place + 1 :]]
        return relisted(changed) if relist else zipped(changed)

    return change


def named(change: Callable[[str], str]) -> Callable[[Members], bytes]:
    """The last member, a cell, under another name."""

    def rename(members: Members) -> bytes:
        info, content = members[-1]
        info.filename = change(info.filename)
        return relisted([*members[:-1], (info, content)])

    return rename


def twice(members: Members) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate name"):
        return zipped([*members, members[-1]])


def without_last(members: Members) -> bytes:
    return zipped(members[:-1])


def with_nul(members: Members) -> bytes:
    return added("runs/made-up/run.jsonXevil")(members).replace(b"run.jsonXevil", b"run.json\0evil")


def bomb(members: Members) -> bytes:
    info = zipfile.ZipInfo("page.html")
    info.compress_type = zipfile.ZIP_DEFLATED
    return relisted([*members, (info, b"\0" * 50_000_000)])


def lying_bomb(members: Members) -> bytes:
    """A member that declares 10 bytes and unpacks to 50 MB."""
    content = bomb(members).replace(struct.pack("<I", 50_000_000), struct.pack("<I", 10))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        parts = [(info, b"") for info in archive.infolist()]
    assert parts[-1][0].file_size == 10
    return content


def encrypted(members: Members) -> bytes:
    content = bytearray(zipped(members))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


def overlapping(members: Members) -> bytes:
    """The last entry of the directory points to the member before, under its name."""
    content = bytearray(zipped(members))
    last = content.rindex(b"PK\x01\x02")
    before = content.rindex(b"PK\x01\x02", 0, last)
    content[last + 42 : last + 46] = content[before + 42 : before + 46]
    return bytes(content)


def reported(members: Members) -> bytes:
    def better(content: bytes) -> bytes:
        records = json.loads(content)
        records[0]["value"] = 0.99
        return json.dumps(records).encode()

    return edited("report.json", better)(members)


def with_manifest(change: Callable[[dict[str, Any]], object]) -> Callable[[Members], bytes]:
    def edit(content: bytes) -> bytes:
        manifest = json.loads(content)
        change(manifest)
        return json.dumps(manifest).encode()

    return edited("run.json", edit)


HOSTILE: dict[str, Callable[[Members], bytes]] = {
    "../": added("../evil.txt"),
    "../ below runs": added("runs/../../evil/run.json"),
    "absolute path": added("/evil-member.txt"),
    "drive": added("C:evil.txt"),
    "backslashes": added("runs\\..\\..\\evil.txt"),
    "NUL": with_nul,
    "control characters": added("runs/a\x1b[2J/run.json"),
    "name of a device": added("runs/NUL/run.json"),
    "trailing dot": added("runs/made-up./run.json"),
    "hidden": added("runs/.made-up/run.json"),
    "link": added("runs/link/run.json", b"/etc/passwd", 0o120777),
    "device": added("runs/dev/run.json", b"", 0o020666),
    "folder": added("runs/empty/"),
    "case": added("runs/MADE-UP/run.json", b"{}"),
    "duplicated": twice,
    "nested archive": added("more.zip"),
    "code": added("torch.py"),
    "bomb": bomb,
    "bomb that lies": lying_bomb,
    "many zeros that lie about their size": lambda members: relisted(
        members, lambda about: about["members"]["report.json"].update(bytes=10**12)
    ),
    "missing": without_last,
    "not listed": lambda members: relisted(members, lambda about: about["members"].pop("report.json")),
    "changed": edited("predictions", lambda content: content[:-1] + b"2", relist=False),
    "hash": lambda members: relisted(members, lambda about: about["members"]["report.json"].update(sha256="0" * 64)),
    "list of lists": lambda members: relisted(members, lambda about: about.update(members=[])),
    "newer": lambda members: relisted(members, lambda about: about.update(format=2)),
    "format true": lambda members: relisted(members, lambda about: about.update(format=True)),
    "deep JSON": lambda members: zipped([(members[0][0], b"[" * 100_000), *members[1:]]),
    "repeated key": lambda members: zipped(
        [(members[0][0], b'{"format": 1, ' + members[0][1].lstrip()[1:]), *members[1:]]
    ),
    "no list": lambda members: zipped(members[1:]),
    "truncated": lambda members: zipped(members)[:-30],
    "half": lambda members: zipped(members)[: len(zipped(members)) // 2],
    "no zip": lambda members: b"PAR1" + bytes(1000),
    "empty": lambda members: b"",
    "empty zip": lambda members: zipped([]),
    "encrypted": encrypted,
    "overlapping": overlapping,
    "a cell that was edited": edited("predictions", lambda content: content.replace(b"late", b"LATE")),
    "a cell under another key": named(lambda name: name[:-28] + "0" * 20 + ".parquet"),
    "a cell twice in two runs": named(lambda name: name.replace("made-up", "other")),
    "an archive as a cell": edited("predictions", lambda content: b"PK\x03\x04" + content),
    "a report that is not its own": reported,
    "a report that is no JSON": edited("report.json", lambda content: b"["),
    "a count that is not its own": lambda members: relisted(members, lambda about: about.update(cells=5)),
    "another dialect": lambda members: relisted(members, lambda about: about.update(dialect="none")),
    "a manifest without protocols": with_manifest(lambda manifest: manifest.pop("protocols")),
    "a manifest of lists": with_manifest(lambda manifest: manifest.update(protocols={"p": {"digest": []}})),
    "a manifest of another run": with_manifest(lambda manifest: manifest.update(run="../../other")),
    "a newer manifest": with_manifest(lambda manifest: manifest.update(schema=9)),
}  # fmt: skip


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    store = write_store(folder / "results", {"late-fusion": noisy(1.0)}, seeds=(1, 2), samples=30)
    return packed(store, folder / "good.zip")


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_bundle_is_refused_in_one_line_and_leaves_nothing(
    kind: str, good: Path, tmp_path: Path, command: Bench
) -> None:
    path = tmp_path / "bundle.zip"
    path.write_bytes(HOSTILE[kind](members_of(good)))
    target = tmp_path / "place" / "new"
    line = command("unbundle", path, "--into", target).refusal()
    assert line.startswith(f"error: bundle {path}: ")
    assert line.removeprefix("error: ").isprintable()
    assert len(line) < 600
    assert [*tmp_path.iterdir()] == [path]
    assert not Path("/evil-member.txt").exists()


def test_a_good_bundle_is_opened(good: Path, tmp_path: Path) -> None:
    opened = open_bundle_file(good, tmp_path / "new")
    assert (opened.cells, opened.unsealed) == (2, 0)
    assert relisted(members_of(good)) != good.read_bytes()  # other JSON of the same content is opened as well
    (tmp_path / "b.zip").write_bytes(relisted(members_of(good)))
    assert open_bundle_file(tmp_path / "b.zip", tmp_path / "other").numbers == opened.numbers > 0


def test_a_file_that_does_not_exist_is_named(tmp_path: Path, command: Bench) -> None:
    line = command("unbundle", tmp_path / "no.zip", "--into", tmp_path / "new").refusal()
    assert line == f"error: bundle {tmp_path / 'no.zip'}: cannot be read (No such file or directory); name a bundle"
    assert [*tmp_path.iterdir()] == []


def test_names_that_some_systems_confuse_collide() -> None:
    assert colliding(["runs/a/x", "runs/A/y"]) == ("runs/a", "runs/A")
    assert colliding(["runs/caf\u00e9/x", "runs/cafe\u0301/x"]) == ("runs/caf\u00e9", "runs/cafe\u0301")
    assert colliding(["runs/a/x", "runs/a/y", "runs/b/x"]) is None


def test_a_damaged_cell_is_not_packed(store: Store, tmp_path: Path) -> None:
    cells = store.cells()
    table = pq.read_table(cells[0].path)
    pq.write_table(table.slice(0, 0).replace_schema_metadata(table.schema.metadata), cells[0].path)
    with pytest.raises(BenchError, match="not a file of this store"):
        pack(cells, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()
