"""What a source file says about itself, read from its syntax tree without importing it."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path


@dataclass(frozen=True)
class Declarations:
    """The docstring of a module and the values of its top-level assignments.

    Attributes:
        docstring: The module's docstring; empty without one.
        assigned: The unevaluated right-hand side of each assignment to a single name, by that name.
    """

    docstring: str
    assigned: Mapping[str, ast.expr]


def declarations_of(path: Path) -> Declarations:
    """The declarations of a Python file; parsed once per version of the file.

    Raises:
        SyntaxError: If the file is not Python source.
    """
    state = path.stat()
    return _parse(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=256)
def _parse(path: Path, modified: int, size: int) -> Declarations:
    """Keyed by time and size of the file too, so that an edited file is parsed again."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assigned: dict[str, ast.expr] = {}
    for node in tree.body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                assigned[name] = value
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                assigned[name] = value
    return Declarations(ast.get_docstring(tree) or "", assigned)
