"""Opening a bundle that may come from anybody: everything is checked before anything can be seen.

The bundle is read member by member into a hidden folder next to the target, within limits of size, and every member is
compared with its hash. The store in it is then read as any other, and its report computed again. Only if all of this
succeeds, the folder gets its name; otherwise it is removed.

What a bundle says is as true as the one who made it: hashes prove that nothing was changed since, and the report that
it follows from the predictions. Compare the SHA-256 of the file with the one that its author gives.
"""

import hashlib
import json
import math
import os
import shutil
import stat
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.choice import chosen
from qamoe_bench.report.table import Chapter
from qamoe_bench.report.tables import analyses, chapters
from qamoe_bench.sharing.layout import FORMAT, MANIFEST, REPORT, colliding, is_member
from qamoe_bench.sharing.packing import report_of
from qamoe_bench.store.access import cannot_write
from qamoe_bench.store.store import Store
from qamoe_bench.store.stored_cell import StoredCell, check_whole, has_checksum
from qamoe_bench.store.temporary import temporary_name

MOST_LETTERS = 200  # of another library's message
LARGEST_RATIO = 200
"""Bytes of a member per compressed byte; real manifests and pages have about 10."""
LARGEST_MANIFEST = 256 << 20
LARGEST_BUNDLE = 64 << 30
"""Bytes of the list of members, and of all members together."""
MOST_MEMBERS = 1_000_000
PIECE = 1 << 20
"""Bytes that are read at a time."""
TOLERANCE = 1e-9
"""Difference between a number of the report and the same number computed here that other libraries may cause."""
SUPPORTED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Opened:
    """A bundle that was opened.

    Attributes:
        store: The store in it.
        sha256: Hash of the file.
        cells: Number of its cells.
        numbers: How many numbers of its report were computed again, all with the same result.
        unsealed: How many cells have no checksum of their own, as those of earlier versions.
        report: The tables of its report, computed here.
    """

    store: Store
    sha256: str
    cells: int
    numbers: int
    unsealed: int
    report: tuple[Chapter, ...]


def open_bundle_file(path: Path, into: Path) -> Opened:
    """Check a bundle and unpack it.

    Args:
        path: The bundle.
        into: The folder to make; it may exist if it is empty.

    Raises:
        BenchError: If the folder is not empty, or if anything in the bundle is not as it should be. Nothing is left.
    """
    if into.is_symlink() or (into.exists() and (not into.is_dir() or any(into.iterdir()))):
        raise BenchError(f"--into {into}: expected a new or empty folder, got one with files; name another")
    try:
        with path.open("rb") as file, _staging(into) as folder:
            opened = _checked(path, file, folder)
            if into.exists():
                into.rmdir()
            into.absolute().parent.mkdir(parents=True, exist_ok=True)
            folder.rename(into)
    except OSError as error:
        if error.filename is not None and str(error.filename) == str(path):
            raise BenchError(f"bundle {path}: cannot be read ({error.strerror}); name a bundle") from error
        raise cannot_write(into, error) from error
    return Opened(Store(into), **opened)


@contextmanager
def _staging(into: Path) -> Iterator[Path]:
    """A hidden folder next to the target, which is removed unless it was renamed."""
    place = next(place for place in into.absolute().parents if place.exists())
    folder = place / temporary_name()
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _checked(path: Path, file: BufferedReader, folder: Path) -> dict[str, Any]:
    """Unpack a bundle into a folder and check its content; what `Opened` says of it."""
    try:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        size = file.tell()
        with zipfile.ZipFile(file) as archive:
            about = _manifest(archive, size)
            _unpack(archive, about["members"], folder)
        return {"sha256": digest, **_check_store(folder, about)}
    except _Refused as error:
        raise BenchError(f"bundle {path}: {error}") from error
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as error:
        reason = str(error).strip()[:MOST_LETTERS] or type(error).__name__  # zipfile quotes headers of any length
        raise BenchError(f"bundle {path}: is no bundle or is damaged ({reason!r}); ask for the file again") from error


class _Refused(Exception):
    """Why a bundle is not opened, and what to do."""

    def __init__(self, reason: str, remedy: str = "ask for the file again") -> None:
        super().__init__(f"{reason}; {remedy}")


def _manifest(archive: zipfile.ZipFile, size: int) -> dict[str, Any]:
    """The list of members, which fits the members of the file."""
    members = archive.infolist()
    _check_members(members, size)
    if members[0].filename != MANIFEST or members[0].file_size > LARGEST_MANIFEST:
        raise _Refused(f"expected {MANIFEST} as its first member, got {members[0].filename!r}")
    try:
        about: dict[str, Any] = json.loads(archive.read(members[0]), object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise _Refused(f"{MANIFEST} is not valid JSON") from error
    format = about.get("format") if isinstance(about, dict) else None
    if type(format) is not int or format < 1:
        raise _Refused(f"{MANIFEST} has no format")
    if format > FORMAT:
        raise _Refused(f"expected format {FORMAT} or older, got {format}", "update qamoe-bench to open it")
    if not isinstance(about.get("members"), dict) or not isinstance(about.get("dialect"), str):
        raise _Refused(f"{MANIFEST} has no list of members")
    _compare(members[1:], about["members"])
    return about


def _check_members(members: Sequence[zipfile.ZipInfo], size: int) -> None:
    """Check names, kinds and sizes as the directory of the file declares them."""
    if not 1 <= len(members) <= MOST_MEMBERS:
        raise _Refused(f"it has {len(members)} members")
    for info in members:
        # Python cuts names at a NUL.
        if info.orig_filename != info.filename or (info.filename != MANIFEST and not is_member(info.filename)):
            raise _Refused(f"a member is called {info.orig_filename!r}, which is no file of a bundle")
        mode = info.external_attr >> 16
        if info.is_dir() or (mode and not stat.S_ISREG(mode)):
            raise _Refused(f"{info.filename!r} is no plain file")
        if info.flag_bits & 0x1 or info.compress_type not in SUPPORTED:
            raise _Refused(f"{info.filename!r} is encrypted or compressed in another way")
        if info.file_size > LARGEST_RATIO * max(info.compress_size, 1) + 1024:
            raise _Refused(f"{info.filename!r} would unpack to {info.file_size} bytes")
    names = [info.filename for info in members]
    if len({*names}) < len(names):
        raise _Refused("two members have one name")
    if clash := colliding(names):
        raise _Refused(f"{clash[0]!r} and {clash[1]!r} are the same name on some systems")
    if sum(info.compress_size for info in members) > size:
        raise _Refused("its members overlap")
    if sum(info.file_size for info in members) > LARGEST_BUNDLE:
        raise _Refused("it would unpack to more than 64 GiB")


def _compare(members: Sequence[zipfile.ZipInfo], listed: Mapping[str, Any]) -> None:
    """Check that the members are those of the list, in kind and size."""
    present = {info.filename: info.file_size for info in members}
    for name in listed:
        if name not in present:
            raise _Refused(f"{name!r} is missing")
    for name, size in present.items():
        entry = listed.get(name)
        if not isinstance(entry, dict) or not isinstance(entry.get("sha256"), str):
            raise _Refused(f"{name!r} is not in its list of members")
        if entry.get("bytes") != size:
            raise _Refused(f"{name!r} has {size} bytes, and its list of members says {entry.get('bytes')!r}")
    if REPORT not in present:
        raise _Refused(f"{REPORT!r} is missing")


def _without_repetition(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; of repeated keys, programs use different ones."""
    content = dict(pairs)
    if len(content) < len(pairs):
        raise ValueError("a key occurs twice")
    return content


def _unpack(archive: zipfile.ZipFile, listed: Mapping[str, Any], folder: Path) -> None:
    """Write every member, and compare it with its size and hash as it really unpacks."""
    for info in archive.infolist():
        target = folder / info.filename
        target.parent.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        left = info.file_size
        with archive.open(info) as source, target.open("xb") as file:
            # zipfile stops at the declared size; the hash tells whether that was all.
            while piece := source.read(PIECE):
                left -= len(piece)
                if left < 0:
                    raise _Refused(f"{info.filename!r} is larger than it says")
                digest.update(piece)
                file.write(piece)
        if info.filename != MANIFEST and digest.hexdigest() != listed[info.filename]["sha256"]:
            raise _Refused(f"{info.filename!r} was changed: its SHA-256 is not the listed one")


def _check_store(folder: Path, about: Mapping[str, Any]) -> dict[str, Any]:
    """Check the cells and manifests of an unpacked bundle, and compute its report again."""
    store = Store(folder, keeps_index=False)
    try:
        cells = _whole_cells(store)
        _check_manifests(store)
        again = json.loads(report_of(cells, about["dialect"]))
        summaries = analyses(cells, chosen(about["dialect"]).dialect, audits=False)
        tables = tuple(chapters(summaries, store.manifests(), complete=False))
        recorded = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except BenchError as error:
        # The folder has another name soon, and the advice is for the owner of a store.
        raise _Refused(str(error).replace(f"{folder}{os.sep}", "").partition(";")[0]) from error
    except (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError) as error:
        raise _Refused(f"its cells or manifests cannot be reported ({type(error).__name__}: {error})") from error
    if len(cells) != about.get("cells"):
        raise _Refused(f"it has {len(cells)} cells, and {MANIFEST} says {about.get('cells')!r}")
    if not _is_close(recorded, again):
        raise _Refused(f"{REPORT} is not what its predictions give")
    unsealed = [stored for stored in cells if not has_checksum(stored.path)]
    return {"cells": len(cells), "numbers": len(again), "unsealed": len(unsealed), "report": tables}


def _whole_cells(store: Store) -> Sequence[StoredCell]:
    contents = store.contents()
    if contents.damaged:
        raise contents.damaged[0]
    if not contents.cells:
        raise _Refused("it has no cells")
    for stored in contents.cells:
        check_whole(stored)
    return contents.cells


def _check_manifests(store: Store) -> None:
    """Check the types of what reports read from the manifests."""
    for run_id in store.run_ids():
        (manifest,) = store.manifests([run_id]) or [{}]
        protocols = manifest.get("protocols")
        if manifest.get("run") != run_id or not isinstance(manifest.get("cells"), list):
            raise _Refused(f"runs/{run_id}/run.json is no manifest of that run")
        if not isinstance(protocols, dict) or not isinstance(manifest.get("data", {}).get("name"), str):
            raise _Refused(f"runs/{run_id}/run.json describes no data and protocols")
        for protocol in protocols.values():
            if not isinstance(protocol, dict) or not all(isinstance(text, str) for text in protocol.values()):
                raise _Refused(f"runs/{run_id}/run.json describes no protocols")


def _is_close(recorded: object, again: object) -> bool:
    """Whether two parts of a report are equal up to rounding."""
    if isinstance(recorded, dict) and isinstance(again, dict):
        return recorded.keys() == again.keys() and all(_is_close(recorded[name], again[name]) for name in again)
    if isinstance(recorded, list) and isinstance(again, list):
        return len(recorded) == len(again) and all(map(_is_close, recorded, again))
    if isinstance(recorded, float) and isinstance(again, float):
        return math.isclose(recorded, again, rel_tol=TOLERANCE, abs_tol=TOLERANCE)
    return type(recorded) is type(again) and recorded == again
