"""Meanings of source files, kept in the user's cache folder, because parsing a hundred files takes half a second.

An entry is named by everything that it depends on: the content of the file, its package, the version of Python, and
the code that writes meanings. It is therefore never out of date; a damaged or missing entry is made again.
"""

import hashlib
import json
import os
import sys
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from qamoe_bench.provenance import meaning as meaning_module
from qamoe_bench.provenance.location import user_cache
from qamoe_bench.provenance.meaning import Import, Meaning, parse_meaning

_WRITER = hashlib.sha256(Path(meaning_module.__file__).read_bytes()).hexdigest()
"""Identifies the code that writes meanings."""


def meaning_of(path: Path, module: str) -> Meaning:
    """The meaning of a Python file that defines a module of this absolute name."""
    status = path.stat()
    return _read(path, module, status.st_mtime_ns, status.st_size)


# Time and size are part of the cache key, so that an edited file is read again.
@lru_cache(maxsize=4096)
def _read(path: Path, module: str, modified_ns: int, size: int) -> Meaning:
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return _cached(path.read_bytes(), package)


def _cached(content: bytes, package: str) -> Meaning:
    name = hashlib.sha256("\0".join([sys.version, _WRITER, package]).encode() + b"\0" + content).hexdigest()
    path = user_cache("meanings") / f"{name}.json"
    with suppress(OSError, ValueError, TypeError, KeyError):
        return _decoded(path.read_text(encoding="utf-8"))
    meaning = parse_meaning(content, package)
    with suppress(OSError, UnicodeEncodeError):  # a cache that cannot be written costs time and nothing else
        _write(path, _encoded(meaning))
    return meaning


def _encoded(meaning: Meaning) -> str:
    imports = [[imported.module, imported.name] for imported in meaning.imports]
    return json.dumps({"pieces": meaning.pieces, "imports": imports, "dynamic": meaning.dynamic})


def _decoded(text: str) -> Meaning:
    stored = json.loads(text)
    imports = tuple(Import(module, name) for module, name in stored["imports"])
    pieces = tuple(stored["pieces"])
    if len(pieces) != len(imports) + 1 or not all(isinstance(piece, str) for piece in pieces):
        raise ValueError("not a stored meaning")
    return Meaning(pieces, imports, tuple(map(int, stored["dynamic"])))


def _write(path: Path, text: str) -> None:
    """Write a file so that another process sees all of it or nothing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
