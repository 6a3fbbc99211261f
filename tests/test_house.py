"""How the code reads: density, comments, lengths of functions, and one name for one thing."""

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import pytest

import qamoe_bench

PACKAGE = Path(qamoe_bench.__file__).parent
BASELINES = PACKAGE.parent / "baselines"
FILES = sorted([*PACKAGE.rglob("*.py"), *BASELINES.rglob("*.py")])

COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DOCUMENTED = (ast.Module, ast.ClassDef, *FUNCTIONS)
PRAGMA = re.compile(r"#\s*(noqa|type:|fmt:|pragma)")

# Names that several modules define on purpose, since each is one part of an interface.
INTERFACES = {
    "build": "the builder of a model's module",
    "matches": "whether a reader recognises a file",
    "read": "what a reader makes of a file",
    "main": "the entry point of a command",
    "cases": "what the loader of an export yields",
}

# Words and phrases that a reader from the field would have to learn first, with what to write instead.
PRIVATE_WORDS = {
    r"\banew\b": "again, recomputed",
    r"\bsurely\b": "significantly",
    r"\btold apart\b": "distinguished, significantly different",
    r"\bfor certain\b": "significantly",
    r"\bsurely better\b": "significantly better",
    r"\bstrangers?\b": "a third-party or user-provided model",
    r"\blets? go of\b": "releases, drops",
    r"\bwhat (came|comes|became) of\b": "the result of",
}


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
def comments(path: Path) -> tuple[str, ...]:
    """Comments that speak to people, without instructions to tools."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text(encoding="utf-8")).readline)
    texts = [token.string for token in tokens if token.type == tokenize.COMMENT]
    return tuple(text for text in texts if not PRAGMA.match(text))


def docstring_lines(path: Path) -> set[int]:
    lines: set[int] = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            first = node.body[0]
            lines |= set(range(first.lineno, (first.end_lineno or first.lineno) + 1))
    return lines


@cache
def code_lines(path: Path) -> int:
    """Lines that are neither blank, nor a comment, nor part of a docstring."""
    prose = docstring_lines(path)
    lines = path.read_text(encoding="utf-8").splitlines()
    code = [line for number, line in enumerate(lines, 1) if line.strip() and number not in prose]
    return sum(not line.strip().startswith("#") for line in code)


def nodes() -> Iterator[tuple[Path, ast.AST]]:
    for path in FILES:
        for node in ast.walk(tree(path)):
            yield path, node


def places(matches: Sequence[tuple[Path, ast.AST]]) -> str:
    return "\n".join(f"{path.relative_to(PACKAGE.parent)}:{getattr(node, 'lineno', 0)}" for path, node in matches)


def total_code() -> int:
    return sum(code_lines(path) for path in FILES)


def is_nested(node: ast.AST) -> bool:
    return isinstance(node, COMPREHENSIONS) and any(
        isinstance(inner, COMPREHENSIONS) and inner is not node for inner in ast.walk(node)
    )


def is_parallel(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple) and isinstance(node.value, ast.Tuple)


def test_comprehensions_are_hardly_ever_nested() -> None:
    nested = [(path, node) for path, node in nodes() if is_nested(node)]
    assert 1000 * len(nested) / total_code() < 1, places(nested)


def test_unrelated_values_are_assigned_on_lines_of_their_own() -> None:
    parallel = [(path, node) for path, node in nodes() if is_parallel(node)]
    assert 1000 * len(parallel) / total_code() < 3, places(parallel)


def test_reasons_units_and_shapes_are_written_in_comments() -> None:
    assert 100 * sum(len(comments(path)) for path in FILES) / total_code() >= 6


def test_functions_are_short() -> None:
    lengths = {}
    without_docstrings = []
    for path, node in nodes():
        if isinstance(node, FUNCTIONS):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            lengths[path, node.name, node.lineno] = length
            is_documented = ast.get_docstring(node, clean=False) is not None
            first = node.body[0]
            docstring = (first.end_lineno or first.lineno) - first.lineno + 1 if is_documented else 0
            without_docstrings.append(length - docstring)
    ordered = sorted(lengths.values())
    assert ordered[int(0.95 * len(ordered))] < 25
    assert ordered[-1] <= 65, max(lengths, key=lambda key: lengths[key])
    # Docstrings list arguments, shapes and errors, so that code has a limit of its own.
    assert sum(length < 25 for length in without_docstrings) / len(without_docstrings) > 0.982


def test_no_public_name_means_two_things() -> None:
    definitions = defaultdict(list)
    for path in FILES:
        for node in tree(path).body:
            if isinstance(node, (ast.ClassDef, *FUNCTIONS)) and not node.name.startswith("_"):
                definitions[node.name].append(str(path.relative_to(PACKAGE.parent)))
    twice = {name: where for name, where in definitions.items() if len(where) > 1 and name not in INTERFACES}
    assert not twice


def test_no_variable_is_called_found() -> None:
    variables = [(path, node) for path, node in nodes() if isinstance(node, ast.Name) and node.id == "found"]
    parameters = [(path, node) for path, node in nodes() if isinstance(node, ast.arg) and node.arg == "found"]
    assert not variables, places(variables)
    assert not parameters, places(parameters)


def texts(path: Path) -> Iterator[str]:
    """Everything in a file that people read: comments, docstrings and other strings of more than one word."""
    yield from comments(path)
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield node.value


@pytest.mark.parametrize("pattern", PRIVATE_WORDS, ids=str)
def test_no_private_words(pattern: str) -> None:
    uses = [f"{path.name}: {text[:80]}" for path in FILES for text in texts(path) if re.search(pattern, text, re.I)]
    assert not uses, f"write {PRIVATE_WORDS[pattern]!r} instead:\n" + "\n".join(uses)
