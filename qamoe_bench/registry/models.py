"""References to models that can be built, and their names."""

import ast
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution, distributions
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from qamoe_bench.errors import BenchError, RunFailed, unknown_name
from qamoe_bench.isolation.places import with_place
from qamoe_bench.provenance.location import is_file, source_of
from qamoe_bench.registry.card import ModelCard, read_card
from qamoe_bench.registry.declarations import declarations_of
from qamoe_bench.registry.limits import LIMITS
from qamoe_bench.registry.settings import Variants, parse_settings, without_evaluation

if TYPE_CHECKING:
    from qamoe_bench.provenance.closure import Closure

ENTRY_POINTS = "qamoe_bench.models"
"""The group of entry points that packages register their models in."""
LIBRARIES: Mapping[str, str] = {"mmsa": "qamoe_bench.adapters.mmsa"}
"""Packages with models of their own, `library:model`, each with the module that adapts them."""

_OWN_DISTRIBUTION = "qamoe-bench"
_OWN_MODEL = re.compile(r"(?P<place>[A-Za-z_][\w.]*|.+\.py):(?P<attribute>[A-Za-z_]\w*)(?::(?P<settings>.*))?")


@dataclass(frozen=True)
class ModelRef:
    """A model that can be built.

    Attributes:
        name: The name in tables, as the user gave it, settings included.
        target: `module:attribute` of the builder.
        settings: Fields of the model's configuration that the name sets.
        training: Fields of the training loop's configuration that the name sets.
        evaluation: Fields of the evaluation's configuration that the name sets.
        folder: Folder of the file that holds the builder; empty for a module that Python finds by itself.
    """

    name: str
    target: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)
    folder: str = ""

    @property
    def trained_name(self) -> str:
        """The name without settings of the evaluation; models with equal trained names share their weights."""
        return without_evaluation(self.name)

    @property
    def module(self) -> str:
        """The module that holds the builder."""
        return self.target.partition(":")[0]

    @property
    def is_built_in(self) -> bool:
        """Whether this distribution contains the model, so that its code is trusted."""
        return self.target in _own_targets()

    @property
    def changed_by_import(self) -> tuple[str, ...]:
        """Settings of the process that importing the module changed, and that were restored."""
        return _changed_by_import.get(self.module, ())

    @property
    def base(self) -> str:
        """The name without settings."""
        return self.name if self.name.startswith(self.target) else self.name.partition(":")[0]

    def source(self) -> Path:
        """The file of that module, found without importing it."""
        # As Python does for a script; it also finds modules next to the file.
        if self.folder and self.folder not in sys.path:
            sys.path.insert(0, self.folder)
        path = source_of(self.module)
        if self.folder and (path is None or path.resolve().parent != Path(self.folder)):
            raise BenchError(
                f"model {self.name!r}: expected a file that is not called like another module, got "
                f"{self.module}.py, and Python finds {path} by that name; rename the file"
            )
        if path is None:
            raise BenchError(
                f"model {self.name!r}: no module {self.module!r} can be found; install its package, or run from the "
                "folder that holds it"
            )
        return path

    def code(self) -> "Closure":
        """All the code that the model runs, after importing it; see `qamoe_bench.provenance.closure`."""
        # Imported here, because most commands only read names.
        from qamoe_bench.provenance.closure import closure_of

        self.builder()
        return closure_of([self.module])

    def summary(self) -> str:
        """First line of the module's docstring."""
        return declarations_of(self.source()).docstring.partition("\n")[0]

    def variants(self) -> Variants:
        """The module's named settings, read without importing it."""
        expression = declarations_of(self.source()).value_of("VARIANTS")
        if expression is None:
            return {}
        try:
            variants = ast.literal_eval(expression)
        except ValueError:
            variants = None
        if not isinstance(variants, dict) or not all(isinstance(v, dict) for v in variants.values()):
            raise BenchError(
                f"model {self.name!r}: expected VARIANTS in {self.module} to be a dictionary of dictionaries that is "
                "written out; see docs/your-model.md"
            )
        return variants

    def card(self) -> ModelCard:
        """The module's card, read without importing it."""
        return read_card(declarations_of(self.source()).value_of("CARD"), self.module)

    def builder(self) -> Callable[..., Any]:
        """Import the module and get the builder, `build(spec, **settings) -> torch.nn.Module`.

        Raises:
            BenchError: If the module cannot be imported, or has no such builder.
        """
        self.source()
        module, _, attribute = self.target.partition(":")
        builder = getattr(self._imported(module), attribute, None)
        if not callable(builder):
            raise BenchError(
                f"model {self.name!r}: expected a function or class {attribute!r} in {module}, got {builder!r}"
            )
        return builder  # type: ignore[no-any-return]

    def _imported(self, module: str) -> ModuleType:
        if module in sys.modules:
            return sys.modules[module]
        if self.is_built_in:  # its code is trusted, and comparing all functions takes longer than the import
            return import_module(module)

        from qamoe_bench.isolation.functions import functions_restored
        from qamoe_bench.isolation.settings import settings_restored

        def note(names: list[str]) -> None:
            _changed_by_import[module] = (*_changed_by_import.get(module, ()), *names)

        try:
            with functions_restored(note), settings_restored(note):
                return import_module(module)
        except (BenchError, RunFailed):
            raise
        except Exception as error:
            remedy = "install it, or remove the import" if isinstance(error, ImportError) else "correct it there"
            raise BenchError(
                f"model {self.name!r}: expected a module that can be imported, got {with_place(error)}; {remedy}"
            ) from error


_changed_by_import: dict[str, tuple[str, ...]] = {}
"""By module: a module is imported once, and what it changed then is still to be told later."""


def model_refs() -> Mapping[str, ModelRef]:
    """Every installed model by name, sorted by name.

    Raises:
        BenchError: If two packages register different models under one name.
    """
    refs: dict[str, ModelRef] = {}
    for point in _installed_points():
        ref = ModelRef(point.name, point.value)
        # An editable install can list the same entry point twice, which is harmless.
        if refs.setdefault(point.name, ref) != ref:
            raise BenchError(
                f"two installed packages offer a model {point.name!r} ({refs[point.name].target} and {point.value}); "
                "uninstall one"
            )
    return dict(sorted(refs.items()))


@cache
def _installed_points() -> tuple[EntryPoint, ...]:
    """Read once per process, because this opens a file of every installed distribution."""
    # `importlib.metadata.entry_points` would parse all of these files, which takes twice as long.
    points: list[EntryPoint] = []
    names = set()
    for installed in distributions():
        if f"[{ENTRY_POINTS}]" in (installed.read_text("entry_points.txt") or ""):
            if installed.name not in names:  # of two versions on the path, Python imports the first
                points += installed.entry_points.select(group=ENTRY_POINTS)
            names.add(installed.name)
    return tuple(points)


@cache
def _own_targets() -> frozenset[str]:
    """The builders that this distribution registers; none if it is not installed."""
    # Looked up by name, because asking each entry point for the name of its distribution parses a file every time.
    try:
        points = distribution(_OWN_DISTRIBUTION).entry_points
    except PackageNotFoundError:
        return frozenset()
    return frozenset(point.value for point in points.select(group=ENTRY_POINTS))


def find_model(name: str) -> ModelRef:
    """A model by its name, `package.module:build`, `file.py:build` or `library:model`, then `:setting,setting`.

    Raises:
        BenchError: If the name or a variant is unknown, or a setting is malformed.
    """
    refs = model_refs()
    base, _, text = name.partition(":")
    if base in refs:
        ref = refs[base]
    elif match := _OWN_MODEL.fullmatch(name):
        ref = _own_model(match["place"], match["attribute"])
        text = match["settings"] or ""
    elif base in LIMITS:
        raise BenchError(
            f"model {name!r}: expected one that can be built and set, got a predictor that knows the data's law; only "
            f"'qamoe-bench run --model {base}' computes it, without settings"
        )
    else:
        raise unknown_name("model", base, refs)
    if not text:
        return ref
    settings = parse_settings(text, ref.variants(), ref.name)
    return ModelRef(
        f"{ref.name}:{text}", ref.target, settings.model, settings.training, settings.evaluation, ref.folder
    )


def _own_model(place: str, attribute: str) -> ModelRef:
    """A model that no entry point names.

    Args:
        place: A library, the path of a Python file, or a module.
        attribute: Name of the builder in it.
    """
    if place in LIBRARIES:
        return ModelRef(f"{place}:{attribute}", f"{LIBRARIES[place]}:{attribute}")
    path = Path(place)
    if path.suffix == ".py" and is_file(path):
        # The name in tables is without folders, so that results do not depend on where the file lies.
        return ModelRef(f"{path.name}:{attribute}", f"{path.stem}:{attribute}", folder=str(path.resolve().parent))
    if path.suffix == ".py":
        raise BenchError(f"model {place}:{attribute}: expected a Python file, got {place!r}; no such file")
    return ModelRef(f"{place}:{attribute}", f"{place}:{attribute}")
