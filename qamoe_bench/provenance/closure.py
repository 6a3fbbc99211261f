"""All code that a module runs, its own source and everything it imports, with one digest.

The analysis follows imports anywhere in a file and, if a file loads code by computed names, the modules that its
globals refer to once it is imported. Source files outside of installed distributions are identified by their meaning
(see `qamoe_bench.provenance.meaning`), as are those of the module's own package; installed distributions are identified
by their version, and the standard library by Python's. Names of files do not matter: the name of an imported module is
replaced by its meaning, so the digest does not change if a file is renamed together with its imports.
"""

import hashlib
import site
import sys
import sysconfig
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version
from pathlib import Path
from types import ModuleType
from typing import Literal

from qamoe_bench.provenance.location import source_of, spec_of
from qamoe_bench.provenance.meaning import Meaning
from qamoe_bench.provenance.meaning_cache import meaning_of

PACKAGE = "qamoe_bench"
"""This package. Its `__init__` is not followed, because its public names lazily import everything."""

Origin = Literal["source", "installed", "standard"]
"""Where a module comes from: a source file, an installed distribution, or Python's standard library."""


@dataclass(frozen=True)
class Closure:
    """Some modules and everything that they import, directly or indirectly.

    Attributes:
        sources: Meaning of every source file that is not empty, by name of its module.
        installed: Names of the installed packages that these import.
        dynamic: Places where they may load code by a name that is computed at run time, a phrase each.
    """

    sources: Mapping[str, Meaning]
    installed: frozenset[str]
    dynamic: tuple[str, ...]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the distributions that the installed packages come from, by name of the distribution."""
        versions: dict[str, str] = {}
        for package in sorted(self.installed):
            versions |= _versions_of(package)
        return versions

    @property
    def uncovered(self) -> tuple[str, ...]:
        """Code that neither the digest nor the versions cover, a phrase each."""
        unknown = sorted(package for package in self.installed if not _versions_of(package))
        return (*self.dynamic, *(f"package {package} is installed without a version" for package in unknown))

    @property
    def digest(self) -> str:
        """SHA-256 of the sources; independent of the names and locations of their files."""
        return _digest_of(tuple(self.sources.items()))


def closure_of(roots: Iterable[str]) -> Closure:
    """Follow the imports of some modules, which should have been imported already.

    Args:
        roots: Absolute names of modules. Their top-level packages and this one are treated as source even if installed.
    """
    own = {PACKAGE} | {root.partition(".")[0] for root in roots}
    sources: dict[str, Meaning] = {}
    installed: set[str] = set()
    dynamic: list[str] = []
    to_visit = sorted(roots)
    seen = {PACKAGE, *to_visit}
    while to_visit:
        name = to_visit.pop()
        top = name.partition(".")[0]
        # Only the top-level package is looked up: to locate a submodule, Python imports the packages that contain it.
        origin: Origin = "source" if top in own else _origin(top)
        if origin == "installed":
            installed.add(top)
        if origin != "source":
            continue
        path = source_of(name)
        if path is None:  # a name imported from a module, or a compiled module without a file
            continue
        meaning = meaning_of(path, name)
        if not meaning.is_empty:
            sources[name] = meaning
        if top != PACKAGE:
            dynamic += [f"line {line} of {path.name} loads code by a computed name" for line in meaning.dynamic]
        new = [target for target in _imported(name, meaning) if target not in seen]
        seen.update(new)
        to_visit += new
    return Closure(sources, frozenset(installed), tuple(dynamic))


def _origin(package: str) -> Origin:
    """Origin of a top-level package or module."""
    spec = spec_of(package)
    if spec is None:
        return "standard"
    path = source_of(package)
    if path is None and spec.submodule_search_locations:
        path = Path(next(iter(spec.submodule_search_locations)))  # a namespace package has folders and no file
    return "standard" if path is None else _origin_of_file(path)


@cache
def _origin_of_file(path: Path) -> Origin:
    folders = set(path.resolve().parents)
    # This comes first: without a virtual environment, distributions are inside the standard library's folder.
    if _installations() & folders:
        return "installed"
    return "standard" if _standard_library() & folders else "source"


def _imported(module: str, meaning: Meaning) -> list[str]:
    """Absolute names of the modules that a module imports, and of the packages that contain them.

    Some may be no modules: of `from a import b`, both `a` and `a.b` are listed.
    """
    names = [imported.module for imported in meaning.imports]
    names += [imported.submodule for imported in meaning.imports if imported.name]
    if meaning.dynamic and module.partition(".")[0] != PACKAGE:
        names += _modules_in_globals(module)
    packages: list[str] = []
    for name in (module, *names):
        package = name.rpartition(".")[0]
        while package:
            packages.append(package)
            package = package.rpartition(".")[0]
    return sorted({*names, *packages} - {""})


def _modules_in_globals(module: str) -> list[str]:
    """Names of the modules among the globals of an imported module, and of those that define its other globals."""
    if module not in sys.modules:
        return []
    names = []
    for value in vars(sys.modules[module]).values():
        name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", "")
        # Python adds every imported submodule to its package; those that the package needs are imports in its source.
        if name in sys.modules and not name.startswith(f"{module}."):
            names.append(name)
    return names


@lru_cache(maxsize=128)  # a study may hold thousands of settings of the same models
def _digest_of(sources: tuple[tuple[str, Meaning], ...]) -> str:
    tokens = sorted(set(_tokens(dict(sources)).values()))
    return hashlib.sha256("".join(tokens).encode()).hexdigest()


def _tokens(sources: Mapping[str, Meaning]) -> dict[str, str]:
    """A digest of each module in which the imported modules are represented by their digests.

    Modules may import each other in a circle, so the digests are refined in rounds, each computed from the digests of
    the round before, until no further modules are distinguished (colour refinement, as for graph isomorphism).
    """
    contents = {name: _parts(meaning, sources) for name, meaning in sources.items()}
    tokens = dict.fromkeys(sources, "")
    distinct = 0
    while len(set(tokens.values())) > distinct:
        distinct = len(set(tokens.values()))
        tokens = {name: _token(parts, tokens) for name, parts in contents.items()}
    # One more round, because the last one may have distinguished modules that others import.
    return {name: _token(parts, tokens) for name, parts in contents.items()}


def _parts(meaning: Meaning, sources: Collection[str]) -> list[tuple[bytes, str]]:
    """The content of a file, cut where the digest of an imported source file belongs.

    Each part is a text and the name of the module whose digest follows; the last part has none. Other imports are
    represented by their names: those of a name in a module, and of modules of distributions or the standard library.
    """
    parts = []
    text = [meaning.pieces[0]]
    for imported, piece in zip(meaning.imports, meaning.pieces[1:], strict=True):
        text.append("\0")
        if imported.submodule in sources:
            parts.append(("".join(text).encode(), imported.submodule))
            text = []
        elif imported.module in sources:
            parts.append(("".join(text).encode(), imported.module))
            text = [f":{imported.name}"]
        else:
            text.append(f"{imported.module}:{imported.name}")
        text.append(f"\0{piece}")
    return [*parts, ("".join(text).encode(), "")]


def _token(parts: Iterable[tuple[bytes, str]], tokens: Mapping[str, str]) -> str:
    content = hashlib.sha256()
    for text, module in parts:
        content.update(text)
        if module:
            content.update(tokens[module].encode())
    return content.hexdigest()


@cache
def _versions_of(package: str) -> Mapping[str, str]:
    """Versions of the distributions that a package comes from, by name; empty where there is no metadata."""
    try:
        # Most distributions are named like their package, and the map of all packages takes half a second to make.
        return {package: version(package)}
    except PackageNotFoundError:
        return {name: version(name) for name in _distributions().get(package, ())}


@cache
def _distributions() -> Mapping[str, list[str]]:
    return packages_distributions()


@cache
def _standard_library() -> frozenset[Path]:
    return frozenset(Path(sysconfig.get_path(kind)).resolve() for kind in ("stdlib", "platstdlib"))


@cache
def _installations() -> frozenset[Path]:
    """Folders that distributions are installed into, for all users or for this one."""
    folders = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *site.getsitepackages()]
    # An environment may use the packages of another one, whose folder is then on the path.
    borrowed = [folder for folder in sys.path if Path(folder).name in ("site-packages", "dist-packages")]
    return frozenset(Path(folder).resolve() for folder in [*folders, site.getusersitepackages(), *borrowed])
