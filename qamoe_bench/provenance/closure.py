"""The code that a module really runs: its own source and all that it imports, as one digest.

Followed are imports anywhere in a file and, where a file loads code by computed names, the modules that its globals
hold once it is imported. Source files outside the installed distributions count by their meaning (see
`qamoe_bench.provenance.meaning`), as do those of the module's own package; installed distributions count by their
version, the standard library by Python's. Names of files do not count: in the place of an imported module stands what
that module means, so renaming it changes nothing as long as everything still imports the same code.
"""

import hashlib
import site
import sys
import sysconfig
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.machinery import ModuleSpec
from importlib.metadata import packages_distributions, version
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Literal

from qamoe_bench.provenance.meaning import Import, Meaning, meaning_of

FACE = "qamoe_bench"
"""The package itself: its version is recorded apart, and its public names import everything, lazily."""


@dataclass(frozen=True)
class Closure:
    """Everything that some modules import, directly or not.

    Attributes:
        sources: Meaning of every source file that counts, by name of its module.
        installed: Names of the installed packages that these import.
        dynamic: Where they may load code by a name that only shows when they run, a phrase each.
    """

    sources: Mapping[str, Meaning]
    installed: frozenset[str]
    dynamic: tuple[str, ...]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the distributions that the installed packages come from, by name of the distribution."""
        names = {name for package in self.installed for name in _distributions().get(package, ())}
        return {name: _version(name) for name in sorted(names)}

    @property
    def uncovered(self) -> tuple[str, ...]:
        """What neither digest nor versions can see, a phrase each."""
        unknown = sorted(package for package in self.installed if package not in _distributions())
        return (*self.dynamic, *(f"package {package} is installed without a version" for package in unknown))

    @property
    def digest(self) -> str:
        """SHA-256 of the sources; independent of the names and places of their files."""
        tokens = sorted(set(_tokens(self.sources).values()))
        return hashlib.sha256("".join(tokens).encode()).hexdigest()


def closure_of(roots: Iterable[str]) -> Closure:
    """Follow the imports of some modules, which should have been imported already.

    Args:
        roots: Absolute names of modules. Their own top-level packages and this one count as source, installed or not.
    """
    own = {FACE} | {root.partition(".")[0] for root in roots}
    sources: dict[str, Meaning] = {}
    installed: set[str] = set()
    dynamic: list[str] = []
    open_names = sorted(roots)
    seen = {FACE, *open_names}
    while open_names:
        name = open_names.pop()
        top = name.partition(".")[0]
        # Asking for a module imports the packages around it, so nothing is asked about the inside of a distribution.
        if top not in own and (place := _place(top)) != "source":
            installed |= {top} if place == "installed" else set()
            continue
        path = source_of(name)
        if path is None:
            continue
        meaning = meaning_of(path, name)
        if not meaning.is_empty:
            sources[name] = meaning
        if top != FACE:
            dynamic += [f"line {line} of {path.name} loads code by a computed name" for line in meaning.dynamic]
        new = [target for target in _imported(name, meaning) if target not in seen]
        seen.update(new)
        open_names += new
    return Closure(sources, frozenset(installed), tuple(dynamic))


def source_of(module: str) -> Path | None:
    """The file of a module: of the imported one where it was imported, else found without importing it.

    None where there is no such module, or it has no file, as a built-in module of Python.
    """
    spec = _spec(module)
    path = Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None
    return path if path is not None and path.is_file() else None


def _spec(module: str) -> ModuleSpec | None:
    # A script may have changed sys.path to import it, so what was imported comes first.
    loaded = sys.modules.get(module)
    if loaded is not None and loaded.__spec__ is not None:
        return loaded.__spec__
    try:
        return find_spec(module)
    except (ImportError, ValueError, AttributeError):
        return None


def _place(package: str) -> Literal["source", "installed", "standard"]:
    """Where a top-level package or module lies: in an installed distribution, in Python's library, or elsewhere."""
    spec = _spec(package)
    if spec is None:
        return "standard"
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]  # a namespace package has no file
    path = source_of(package) or next(iter(folders), None)
    return "standard" if path is None else _place_of(path)


@cache
def _place_of(path: Path) -> Literal["source", "installed", "standard"]:
    folders = path.resolve().parents
    if _installations() & {*folders}:
        return "installed"
    # Without a virtual environment, installed distributions lie inside the standard library's folder.
    return "standard" if _standard_library() & {*folders} else "source"


def _imported(module: str, meaning: Meaning) -> list[str]:
    """Absolute names of the modules that a module imports, and of the packages around these."""
    names = [imported.module for imported in meaning.imports]
    names += [imported.submodule for imported in meaning.imports if imported.name]
    if meaning.dynamic and module.partition(".")[0] != FACE:
        names += _held(module)
    packages = [name[:place] for name in (module, *names) for place, sign in enumerate(name) if sign == "."]
    return sorted({*names, *packages} - {""})


def _held(module: str) -> list[str]:
    """Names of the modules that an imported module's globals hold, or that what they hold was defined in."""
    values = [*vars(sys.modules[module]).values()] if module in sys.modules else []
    names = [value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "") for value in values]
    # A package holds each of its modules that anyone imported; those that it imports itself are in its source.
    return [name for name in names if name in sys.modules and not name.startswith(f"{module}.")]


def _tokens(sources: Mapping[str, Meaning]) -> dict[str, str]:
    """A digest of each module in which digests stand for the modules that it imports.

    Modules may import each other in a circle, so the digests are refined round by round, each from the imported ones of
    the round before, until no further modules are told apart (colour refinement, as for isomorphism of graphs).
    """
    tokens = dict.fromkeys(sources, "")
    kinds = 0
    while len(set(tokens.values())) > kinds:
        kinds = len(set(tokens.values()))
        tokens = {name: _token(meaning, tokens) for name, meaning in sources.items()}
    # One round more: the last one may have told modules apart that others import.
    return {name: _token(meaning, tokens) for name, meaning in sources.items()}


def _token(meaning: Meaning, tokens: Mapping[str, str]) -> str:
    content = hashlib.sha256(meaning.pieces[0].encode())
    for imported, piece in zip(meaning.imports, meaning.pieces[1:], strict=True):
        content.update(f"\0{_stands_for(imported, tokens)}\0{piece}".encode())
    return content.hexdigest()


def _stands_for(imported: Import, tokens: Mapping[str, str]) -> str:
    """The digest of an imported file that counts, else its name."""
    if imported.submodule in tokens:
        return tokens[imported.submodule]
    return f"{tokens.get(imported.module, imported.module)}:{imported.name}"


@cache
def _version(distribution: str) -> str:
    return version(distribution)


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


@cache
def _standard_library() -> frozenset[Path]:
    return frozenset(Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib"))


@cache
def _installations() -> frozenset[Path]:
    """Folders that distributions are installed into."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    return frozenset(Path(folder).resolve() for folder in [*folders, site.getusersitepackages()])
