"""Packing: results as one file that others can open and check, see `qamoe_bench.sharing.layout`."""

import hashlib
import io
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from qamoe_bench import __version__
from qamoe_bench.analysis.clusters import BY_IDS, ClusterRule
from qamoe_bench.errors import BenchError
from qamoe_bench.metrics.choice import chosen
from qamoe_bench.provenance.environment import versions
from qamoe_bench.report.records import as_json
from qamoe_bench.report.tables import analyses
from qamoe_bench.sharing.layout import FORMAT, MANIFEST, PAGE, REPORT, colliding, is_member
from qamoe_bench.store.atomic import write_atomic
from qamoe_bench.store.folder import json_bytes
from qamoe_bench.store.selection import FOLDER as SELECTION
from qamoe_bench.store.selection import CurveFiles
from qamoe_bench.store.stored_cell import StoredCell, check_whole

EARLIEST = (1980, 1, 1, 0, 0, 0)
"""The date of every member: the earliest of a zip file, so that equal results give equal bytes."""
IS_FILE = 0o100644 << 16
"""Attributes of a plain file, as zip files record them."""


def pack(cells: Sequence[StoredCell], output: Path, page: str = "", dialect: str = "") -> str:
    """Write a bundle of some cells.

    Args:
        cells: The cells, each of another key.
        output: The file to write; an existing one is replaced.
        page: The report as HTML; empty for none.
        dialect: Name of the metric dialect of the numbers that opening computes again; empty for the default ones.

    Returns:
        The SHA-256 of the file, by which others recognise it.

    Raises:
        BenchError: If a cell is damaged, a run's name cannot be stored on every system, or the file cannot be written.
    """
    for stored in cells:
        check_whole(stored)
    members = _members(cells)
    members[REPORT] = report_of(cells, dialect).encode()
    if page:
        members[PAGE] = page.encode()
    _check_names(members)
    content = _zipped(members, dialect, len(cells))
    write_atomic(output, content)
    return hashlib.sha256(content).hexdigest()


def report_of(cells: Sequence[StoredCell], dialect: str, rule: ClusterRule = BY_IDS) -> str:
    """The numbers of the report of some cells as JSON, which depends on nothing else."""
    return as_json(analyses(sorted(cells, key=lambda stored: stored.cell.key), chosen(dialect).dialect, (), rule))


def _members(cells: Sequence[StoredCell]) -> dict[str, bytes]:
    """The files of the cells and their runs by their names in a bundle."""
    members = {}
    curves = CurveFiles()
    for stored in cells:
        run = stored.path.parent.parent
        manifest = run / "run.json"
        if not manifest.is_file():
            raise BenchError(f"run {run}: expected its manifest run.json, got none; copy the whole folder of the run")
        members[f"runs/{run.name}/run.json"] = manifest.read_bytes()
        members[f"runs/{run.name}/predictions/{stored.path.name}"] = stored.path.read_bytes()
        curve = curves.path(stored)
        if curve is not None:
            members[f"runs/{run.name}/{SELECTION}/{stored.path.name}"] = curve.read_bytes()
    return members


def _check_names(members: Mapping[str, bytes]) -> None:
    for name in members:
        if not is_member(name):
            raise BenchError(
                f"{name!r}: expected a name that every system can store, of letters, digits, blanks and ._()+,=@~-; "
                "rename that folder of runs"
            )
    if clash := colliding(members):
        raise BenchError(f"{clash[0]!r} and {clash[1]!r}: are the same name on some systems; rename one of the folders")


def _zipped(members: Mapping[str, bytes], dialect: str, cells: int) -> bytes:
    listed = {}
    for name in sorted(members):
        listed[name] = {"bytes": len(members[name]), "sha256": hashlib.sha256(members[name]).hexdigest()}
    about = {"format": FORMAT, "qamoe-bench": __version__, "versions": versions(), "dialect": dialect, "cells": cells}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        _add(archive, MANIFEST, json_bytes({**about, "members": listed}))
        for name in sorted(members):
            _add(archive, name, members[name])
    return file.getvalue()


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, EARLIEST)
    info.create_system = 3  # Unix on every system, for the same bytes
    info.external_attr = IS_FILE
    # Parquet files are compressed already.
    info.compress_type = zipfile.ZIP_STORED if name.endswith(".parquet") else zipfile.ZIP_DEFLATED
    archive.writestr(info, content, compresslevel=9)
