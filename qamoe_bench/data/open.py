"""A data set by name or path, in whatever format it comes.

A format is a module with `FORMAT`, its name, and `read`, which gives what is in a file as a `Source`, or for our own
folder format as a `Dataset`. Which format a file has is judged by its content; nothing depends on its name.
"""

from functools import lru_cache
from pathlib import Path
from typing import Protocol

from qamoe_bench.data.cleaning import cleaned
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.folder import folder
from qamoe_bench.data.known import KNOWN, known_file
from qamoe_bench.data.pickles import safe_pickle
from qamoe_bench.data.readers import csd, hdf5, mag, mmsa, multibench
from qamoe_bench.data.source import Source
from qamoe_bench.data.synthetic.synthetic import synthetic
from qamoe_bench.data.text.language_model import find_language_model
from qamoe_bench.data.text.tokens import with_token_ids
from qamoe_bench.errors import BenchError


class Layout(Protocol):
    """A layout of pickles."""

    FORMAT: str

    def matches(self, content: object) -> bool:
        """Whether it knows the content."""
        ...

    def read(self, path: Path, content: object) -> Source:
        """What a file with this content holds."""
        ...


PICKLES: tuple[Layout, ...] = (multibench, mag, mmsa)
"""Layouts of pickles, in the order in which they are asked whether they know the content."""


@lru_cache(maxsize=1)  # a worker process runs many cells of one data set
def open_dataset(name_or_path: str, fine_tune: str = "") -> Dataset:
    """`synthetic`, or what lies at a path; with a language model to fine-tune, its raw text as token ids.

    Raises:
        BenchError: for a path that leads nowhere or to something that cannot be read as a data set, or a language model
            that is not there.
    """
    language = find_language_model(fine_tune) if fine_tune else None
    data = synthetic() if name_or_path == "synthetic" else as_dataset(read(Path(name_or_path)))
    return with_token_ids(data, language) if language else data


def as_dataset(found: Source | Dataset) -> Dataset:
    """What was found, mended."""
    return found if isinstance(found, Dataset) else cleaned(found, _name(found.path))


def format_of(found: Source | Dataset) -> str:
    """What kind of file something was found in."""
    return found.format if isinstance(found, Source) else folder.FORMAT


def read(path: Path) -> Source | Dataset:
    """What lies at a path, as it is.

    Raises:
        BenchError: It leads nowhere, or to something that is in none of the formats.
    """
    try:
        if path.is_dir():
            return _read_folder(path)
        if not path.is_file():
            raise _nothing_there(path)
        with path.open("rb") as file:
            start = file.read(len(hdf5.MAGIC))
    except OSError as error:
        raise BenchError(f"{path}: expected a readable file, got {error.strerror}; check who may read it") from error
    if start == hdf5.MAGIC:
        raise BenchError(f"{path}: expected all sequences of a data set, got one; give the folder with the .csd files")
    content = safe_pickle.load(path)
    return next(layout for layout in PICKLES if layout.matches(content)).read(path, content)


def _nothing_there(path: Path) -> BenchError:
    known = any(str(path) == known.name for known in KNOWN)
    remedy = f"; 'qamoe-bench data fetch {path}' says how to get that one" if known else ""
    return BenchError(
        f"data {str(path)!r}: expected 'synthetic' or the path of a data file or folder; no such file{remedy}"
    )


def _read_folder(path: Path) -> Source | Dataset:
    if (path / folder.MANIFEST).exists():
        return folder.read(path)
    if next(path.glob("*.csd"), None):
        return csd.read(path)
    raise BenchError(
        f"{path}: expected a folder that 'qamoe-bench data convert' wrote, or one of .csd files, got another; name a "
        "data file"
    )


def _name(path: Path) -> str:
    known = known_file(path) if path.is_file() else None
    return known.name if known else path.resolve().stem
