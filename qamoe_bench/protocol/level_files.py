"""Protocols whose levels are data files: which files a protocol file names, and what identifies their content.

[[corruption]]
kind = "files"
level = "noise"                                          # a variable, a number, or one of them per modality
files = {"0.1" = "noise-0.1.pkl", "0.3" = "noise-0.3"}   # by level, relative to the protocol file; 0 is the clean data
modalities = ["audio", "vision"]                         # optional

Nothing here needs torch; `qamoe_bench.data.recordings` reads the files.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError

_EXAMPLE = '{"0.1" = "noise-0.1.pkl"}'


@dataclass(frozen=True)
class LevelFile:
    """The data file of a level.

    Attributes:
        path: Its absolute path; not part of any key.
        sha256: Of its content, in hex; of a folder, of the names and contents of all files in it.
    """

    path: str
    sha256: str

    def check(self) -> None:
        """Refuse a file that is not the one that the protocol was read with.

        Raises:
            BenchError: If it cannot be read, or its content has changed.
        """
        if _digest(f"level file {self.path}", Path(self.path)) != self.sha256:
            raise BenchError(
                f"level file {self.path}: expected the content that the run was planned with, got another one; restore "
                "it, or run the command again"
            )


def level_key(level: float) -> str:
    """The key of a level among the files: equal numbers have equal keys."""
    return repr(float(level))


def read_level_files(
    where: str, table: Mapping[str, Any], levels: Iterable[float], folder: Path
) -> dict[str, LevelFile]:
    """The files of a corruption by the key of their level.

    Args:
        where: Place in error messages.
        table: The table of the corruption.
        levels: All levels that it has in the protocol.
        folder: Folder of the protocol file.

    Raises:
        BenchError: If a level has no file, a file no level, or a file cannot be read.
    """
    declared = table.get("files")
    if not isinstance(declared, dict) or not declared:
        raise BenchError(f"{where}: expected the file of each level in 'files', got {declared!r}; write {_EXAMPLE}")
    paths = dict(_by_level(where, _flat(declared)))
    wanted = {level_key(level): level for level in sorted(levels) if level > 0}
    for key, level in wanted.items():
        if key not in paths:
            raise BenchError(f"{where}: expected a file for level {level:g} in 'files', got none; add it")
    for key in paths:
        if key not in wanted:
            remedy = "remove it, since 0 is the clean data" if float(key) == 0 else "add the level, or remove the file"
            raise BenchError(f"{where}: expected files of the protocol's levels, got one for {float(key):g}; {remedy}")
    return {key: _level_file(f"{where}, file of level {wanted[key]:g}", folder / paths[key]) for key in wanted}


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The entries of nested tables with dots between their keys: TOML reads a bare `0.1` as two keys."""
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return flat


def _by_level(where: str, entries: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    seen: set[str] = set()
    for text, path in entries.items():
        try:
            key = level_key(float(text))
        except ValueError:
            raise BenchError(f"{where}: expected levels as keys of 'files', got {text!r}; write {_EXAMPLE}") from None
        if not isinstance(path, str) or not path:
            raise BenchError(f"{where}: expected the path of a data file for level {text}, got {path!r}; correct it")
        if key in seen:
            raise BenchError(f"{where}: expected one file for level {text}, got two; remove one")
        seen.add(key)
        yield key, path


def _level_file(where: str, path: Path) -> LevelFile:
    return LevelFile(str(path.absolute()), _digest(where, path))


def _digest(where: str, path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files in a folder."""
    try:
        if not path.is_dir():
            return _digest_of_file(path)
        digest = hashlib.sha256()
        for file in sorted(file for file in path.rglob("*") if file.is_file()):
            digest.update(f"{file.relative_to(path).as_posix()}\0{_digest_of_file(file)}\0".encode())
        return digest.hexdigest()
    except (OSError, ValueError) as error:  # ValueError for a null character in the path
        reason = getattr(error, "strerror", None) or error
        raise BenchError(
            f"{where}: expected a data file, got {str(path)!r} ({reason}); correct the path, which is relative to the "
            "protocol file"
        ) from error


def _digest_of_file(path: Path) -> str:
    state = path.stat()
    return _cached_digest(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=256)  # a run checks each file for every model
def _cached_digest(path: Path, modified: int, size: int) -> str:
    """Keyed by time and size of the file too, so that a changed file is read again."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
