"""What a source file says about itself, read from its syntax tree without importing it.

The cards of all models are read whenever models are listed or compared, so the part of a file before its first class or
function is parsed alone. The rest is parsed only for a name that is not assigned there.
"""

import ast
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from qamoe_bench.errors import BenchError
from qamoe_bench.isolation.places import first_line, place_of

_FIRST_DEFINITION = re.compile(r"^(@\w|(async )?def \w+\(|class \w+[(:])", re.MULTILINE)


@dataclass(frozen=True)
class Declarations:
    """The docstring of a module and the values of its top-level assignments.

    Attributes:
        source: The text of the module.
        file: Name of its file, for messages.
    """

    source: str
    file: str

    @property
    def docstring(self) -> str:
        """The module's docstring; empty without one."""
        return ast.get_docstring(self._head) or ""

    def value_of(self, name: str) -> ast.expr | None:
        """The unevaluated right-hand side of the top-level assignment to a name; None without one.

        Raises:
            BenchError: If the file is not Python source.
        """
        value = _assigned(self._head).get(name)
        return value if value is not None else self._assigned_anywhere.get(name)

    @cached_property
    def _head(self) -> ast.Module:
        """The syntax tree of the part before the first definition."""
        match = _FIRST_DEFINITION.search(self.source)
        try:
            return ast.parse(self.source[: match.start()] if match else self.source)
        except SyntaxError:  # what looks like a definition is in a text
            return self._tree

    @cached_property
    def _assigned_anywhere(self) -> Mapping[str, ast.expr]:
        return _assigned(self._tree)

    @cached_property
    def _tree(self) -> ast.Module:
        try:
            return ast.parse(self.source, self.file)
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:  # a null character, deep nesting
            place = place_of(error) or self.file
            raise BenchError(
                f"model file {place}: expected Python source, got {first_line(error)}; correct it there"
            ) from error


def declarations_of(path: Path) -> Declarations:
    """The declarations of a Python file; read once per version of the file."""
    state = path.stat()
    return _read(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=256)
def _read(path: Path, modified: int, size: int) -> Declarations:
    """Keyed by time and size of the file too, so that an edited file is read again."""
    try:
        text = path.read_text(encoding="utf-8-sig")  # Windows editors write a byte-order mark
    except (OSError, UnicodeDecodeError) as error:
        raise BenchError(f"model file {path}: expected a text in UTF-8, got {first_line(error)}; correct it") from error
    return Declarations(text, path.name)


def _assigned(tree: ast.Module) -> dict[str, ast.expr]:
    """The right-hand side of each assignment to a single name, by that name."""
    assigned: dict[str, ast.expr] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                assigned[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                assigned[name] = value
    return assigned
