"""The meaning of a source file: its syntax tree without comments, docstrings, positions and names of other files.

Two files with the same meaning compute the same numbers; formatting, comments and docstrings do not change it. Imports
are listed separately, and placeholders mark where they are used, so that `qamoe_bench.provenance.closure` can put the
meaning of the imported module in their place. Renaming a file is therefore no change.
"""

import ast
from dataclasses import dataclass

DYNAMIC = frozenset({"import_module", "__import__", "exec", "eval", "spec_from_file_location", "run_path"})
"""Functions that may load code whose name is not written in the source."""


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
        return not self.imports and self.pieces == ("",)


def parse_meaning(content: bytes, package: str) -> Meaning:
    """The meaning of a Python file; its bytes if it cannot be parsed.

    Args:
        content: The file's.
        package: Absolute name of the package that relative imports start from.
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        # A compiled extension, or source of another Python version.
        return Meaning((content.hex(),), (), ())
    return _Writer(tree, package).meaning()


class _Writer:
    """Writes a syntax tree as canonical text, without what carries no meaning, and cuts it at imported modules."""

    def __init__(self, tree: ast.Module, package: str) -> None:
        self._tree = tree
        self._package = package
        self._bound = self._bindings()
        self._has_dotted = any("." in name for name in self._bound)
        self._text: list[str] = []  # of the current piece
        self._pieces: list[str] = []
        self._imports: list[Import] = []
        self._dynamic: list[int] = []

    def meaning(self) -> Meaning:
        """The meaning of the tree."""
        for statement in self._tree.body:
            self._write(statement)
        self._pieces.append("".join(self._text))
        return Meaning(tuple(self._pieces), tuple(self._imports), tuple(self._dynamic))

    def _bindings(self) -> dict[str, Import]:
        """What the imported names of the file mean, by name, which is dotted after `import a.b`."""
        # A function may use a name above the line that imports it, so all imports are collected before writing.
        bound: dict[str, Import] = {}
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.asname or alias.name for alias in node.names]
                bound |= dict(zip(names, self._imported(node), strict=True))
        return bound

    def _imported(self, node: ast.Import | ast.ImportFrom) -> list[Import]:
        if isinstance(node, ast.Import):
            return [Import(alias.name) for alias in node.names]
        origin = self._origin(node)
        return [Import(origin, alias.name) for alias in node.names]

    def _write(self, value: object) -> None:
        """Write a node, a list of nodes, or a plain value."""
        if isinstance(value, ast.AST):
            if not self._write_special(value):
                self._write_node(value)
        elif isinstance(value, list):
            self._text.append("[")
            for item in value:
                self._write(item)
            self._text.append("]")
        else:
            self._text.append(f"{value!r},")

    def _write_node(self, node: ast.AST) -> None:
        self._text.append(f"{type(node).__name__}(")
        for field in node._fields:
            self._write(getattr(node, field, None))
        self._text.append(")")

    def _write_special(self, node: ast.AST) -> bool:
        """Write a node that is not written as it is; whether it was one."""
        match node:
            case ast.Expr(value=ast.Constant(value=str())):
                # A string as a statement is a docstring or a comment.
                return True
            case ast.If() if _is_typing_only(node.test):
                # Imports for the type checker do not run; the `else` branch does.
                self._write(node.orelse)
                return True
            case ast.Import() | ast.ImportFrom():
                # Without the bound names, whose meaning is written wherever they are used.
                for imported in self._imported(node):
                    self._cut(imported)
                return True
            case ast.Name() if node.id in self._bound:
                self._cut(self._bound[node.id])
                return True
            case ast.Attribute() if self._has_dotted and ast.unparse(node) in self._bound:
                self._cut(self._bound[ast.unparse(node)])
                return True
            case ast.Call():
                self._note_dynamic(node)
        return False

    def _cut(self, imported: Import) -> None:
        """End the piece where an imported module is used."""
        self._pieces.append("".join(self._text))
        self._text.clear()
        self._imports.append(imported)

    def _note_dynamic(self, call: ast.Call) -> None:
        function = call.func
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        # Without arguments, `model.eval()` is a method of torch and not the builtin.
        if name in DYNAMIC and call.args:
            self._dynamic.append(call.lineno)

    def _origin(self, node: ast.ImportFrom) -> str:
        """Absolute name of the module that is imported from."""
        if not node.level:
            return node.module or ""
        parts = self._package.split(".")
        # One dot is the package of the file, and each further dot the package that contains it.
        above = parts[: len(parts) - node.level + 1]
        return ".".join([*above, *filter(None, [node.module])])


def _is_typing_only(test: ast.expr) -> bool:
    name = test.id if isinstance(test, ast.Name) else getattr(test, "attr", "")
    return name == "TYPE_CHECKING"
