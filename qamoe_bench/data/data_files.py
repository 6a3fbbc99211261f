"""Reading a data file or folder in any supported format, recognised by its content and never by its name.

This imports every reader, which embedded data do without.
"""

from dataclasses import replace
from pathlib import Path

from qamoe_bench.data.contents import contents_of
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.embedded import EMBEDDED, EXPECTED_DATA
from qamoe_bench.data.file_kinds import HDF5, START_BYTES, check_is_data
from qamoe_bench.data.folder import folder
from qamoe_bench.data.folder.manifest import MANIFEST
from qamoe_bench.data.known import KNOWN
from qamoe_bench.data.memory import too_little_memory
from qamoe_bench.data.readers import shared_folders, utterances
from qamoe_bench.data.readers.layouts import in_layout
from qamoe_bench.data.readers.sdk import csd
from qamoe_bench.data.source import Source
from qamoe_bench.data.unpacking import unpacked
from qamoe_bench.errors import BenchError, similar_names


def read_path(path: Path, given: str) -> Source | Dataset:
    """The unmodified content of a data file, or the data set in a folder of our own format.

    Args:
        path: The file or folder.
        given: As the user wrote it, for messages.

    Raises:
        BenchError: The path does not exist, or its content is in none of the supported formats.
    """
    try:
        if path.is_dir():
            return _read_folder(path)
        if not path.is_file():
            raise _no_such_file(given)
        with path.open("rb") as file:
            start = file.read(START_BYTES)
        with unpacked(path, start) as inner:
            return _renamed(_read_file(inner), path)
    except OSError as error:
        raise BenchError(f"{path}: expected a readable file, got {error.strerror}; check its permissions") from error
    except MemoryError as error:
        raise too_little_memory(path, path.stat().st_size) from error


def _read_file(path: Path) -> Source:
    """The content of a file that is not compressed."""
    with path.open("rb") as file:
        start = file.read(START_BYTES)
    check_is_data(path, start)
    if start.startswith(HDF5):
        return csd.read_file(path)
    if utterances.is_label_archive(path):
        raise utterances.labels_alone(path)
    contents = contents_of(path)
    if utterances.matches(contents.value):
        raise utterances.labels_alone(path)
    return in_layout(contents)


def _renamed(source: Source, path: Path) -> Source:
    """The same source under the path that the user gave, which is another one if the file was compressed."""
    splits = [replace(split, path=path) for split in source.splits]
    return replace(source, path=path, splits=tuple(splits))


def _no_such_file(given: str) -> BenchError:
    # Users may pass the name of a shared file without having downloaded it.
    is_known = any(given == known.name for known in KNOWN)
    # A name that was mistyped has neither a folder nor a suffix.
    near = similar_names(given, EMBEDDED) if Path(given).stem == given else []
    remedy = ""
    if is_known:
        remedy = f"; 'qamoe-bench data fetch {given}' explains how to get it"
    elif near:
        remedy = f"; did you mean {near[0]!r}?"
    return BenchError(f"data {given!r}: expected {EXPECTED_DATA}; no such file{remedy}")


def _read_folder(path: Path) -> Source | Dataset:
    if (path / MANIFEST).exists():
        return folder.read(path)
    return shared_folders.read(path)
