"""The meaning of a source file: its syntax tree without comments, docstrings, positions and names of other files.

Two files with the same meaning compute the same numbers; formatting, comments and docstrings do not change it. Imports
are listed separately, and placeholders mark where they are used, so that `qamoe_bench.provenance.closure` can put the
meaning of the imported module in their place. Renaming a file is therefore no change.
"""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

DYNAMIC = frozenset({"import_module", "__import__", "exec", "eval", "spec_from_file_location", "run_path"})
"""Functions that may load code whose name is not written in the source."""
TYPING_ONLY = frozenset({"TYPE_CHECKING", "typing.TYPE_CHECKING"})


@dataclass(frozen=True)
class Import:
    """One name that a file imports.

    Attributes:
        module: Absolute name of the module.
        name: The name in `from module import name`; empty for `import module`.
    """

    module: str
    name: str = ""

    @property
    def submodule(self) -> str:
        """The module that is imported if `name` is a submodule and not an attribute."""
        return f"{self.module}.{self.name}" if self.name else self.module


@dataclass(frozen=True)
class Meaning:
    """The content of a source file.

    Attributes:
        pieces: Its canonical text, cut wherever an imported module is used: one piece more than `imports`.
        imports: The imports between the pieces, in order; the same import may occur more than once.
        dynamic: Line numbers of calls that may load further code; see `DYNAMIC`.
    """

    pieces: tuple[str, ...]
    imports: tuple[Import, ...]
    dynamic: tuple[int, ...]

    @property
    def is_empty(self) -> bool:
        """Whether it contains no code at all, like the `__init__.py` of most packages."""
        return not self.imports and self.pieces == (_EMPTY,)


def meaning_of(path: Path, module: str) -> Meaning:
    """The meaning of a Python file; its bytes if it cannot be parsed.

    Args:
        path: The file.
        module: Absolute name of the module that it defines, which relative imports start from.
    """
    status = path.stat()
    return _parse(path, module, status.st_mtime_ns, status.st_size)


# Time and size are part of the cache key, so that an edited file is read again.
@lru_cache(maxsize=4096)
def _parse(path: Path, module: str, modified_ns: int, size: int) -> Meaning:
    content = path.read_bytes()
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        # A compiled extension, or source of another Python version.
        return Meaning((content.hex(),), (), ())
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    canonical = _Canonical(package)
    text = ast.dump(canonical.visit(tree))
    pieces, imports = _split(text, canonical.imports)
    return Meaning(pieces, imports, tuple(canonical.dynamic))


def _split(text: str, imports: Sequence[Import]) -> tuple[tuple[str, ...], tuple[Import, ...]]:
    """Cut the text at the placeholders, which hold the index of their import."""
    parts = _PLACEHOLDER.split(text)
    return tuple(parts[::2]), tuple(imports[int(index)] for index in parts[1::2])


_EMPTY = ast.dump(ast.Module(body=[], type_ignores=[]))
# A character of Unicode's private use area, which does not occur in programs.
_MARK = "\ue000"
# `ast.dump` prints the character as an escape sequence.
_PLACEHOLDER = re.compile(r"\\ue000(\d+)\\ue000")


class _Canonical(ast.NodeTransformer):
    """Removes what carries no meaning and replaces imported modules, and names bound to them, by placeholders."""

    def __init__(self, package: str) -> None:
        self._package = package
        self._bound: dict[str, Import] = {}  # by name in this file, which is dotted after `import a.b`
        self._has_dotted = False
        self.imports: list[Import] = []
        self.dynamic: list[int] = []

    def visit_Module(self, node: ast.Module) -> ast.AST:
        # A function may use a name above the line that imports it, so all imports are collected first.
        for inner in ast.walk(node):
            if isinstance(inner, ast.Import):
                self._bound |= {alias.asname or alias.name: Import(alias.name) for alias in inner.names}
            elif isinstance(inner, ast.ImportFrom):
                origin = self._origin(inner)
                self._bound |= {alias.asname or alias.name: Import(origin, alias.name) for alias in inner.names}
        self._has_dotted = any("." in name for name in self._bound)
        return self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> ast.AST | None:
        # A string as a statement is a docstring or a comment.
        if isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            return None
        return self.generic_visit(node)

    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        # Imports for the type checker only do not run; their `else` branch does.
        if ast.unparse(node.test) not in TYPING_ONLY:
            return self.generic_visit(node)
        kept = [self.visit(statement) for statement in node.orelse]
        return [statement for statement in kept if statement is not None]

    def visit_Import(self, node: ast.Import) -> ast.AST:
        return self._statement([Import(alias.name) for alias in node.names])

    def visit_ImportFrom(self, node: ast.ImportFrom) -> ast.AST:
        origin = self._origin(node)
        return self._statement([Import(origin, alias.name) for alias in node.names])

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in self._bound:
            return node
        return ast.Name(id=self._placeholder(self._bound[node.id]), ctx=node.ctx)

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        dotted = ast.unparse(node) if self._has_dotted else ""
        if dotted in self._bound:
            return ast.Name(id=self._placeholder(self._bound[dotted]), ctx=node.ctx)
        return self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> ast.AST:
        function = ast.unparse(node.func).rpartition(".")[2]
        # Without arguments, `model.eval()` is a method of torch and not the builtin.
        if function in DYNAMIC and node.args:
            self.dynamic.append(node.lineno)
        return self.generic_visit(node)

    def _placeholder(self, imported: Import) -> str:
        self.imports.append(imported)
        return f"{_MARK}{len(self.imports) - 1}{_MARK}"

    def _statement(self, imported: Sequence[Import]) -> ast.Import:
        """An import statement without the bound names, which placeholders replace wherever they are used."""
        return ast.Import(names=[ast.alias(name=self._placeholder(one)) for one in imported])

    def _origin(self, node: ast.ImportFrom) -> str:
        """Absolute name of the module that is imported from."""
        if not node.level:
            return node.module or ""
        parts = self._package.split(".")
        # One dot is the package of the file, and each further dot the package that contains it.
        above = parts[: len(parts) - node.level + 1]
        return ".".join([*above, *filter(None, [node.module])])
