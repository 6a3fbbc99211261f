"""References to models that can be built, and their names."""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.provenance.location import source_of
from qamoe_bench.registry.card import ModelCard, read_card
from qamoe_bench.registry.declarations import declarations_of
from qamoe_bench.registry.settings import Variants, parse_settings, without_evaluation

if TYPE_CHECKING:
    from qamoe_bench.provenance.closure import Closure

ENTRY_POINTS = "qamoe_bench.models"
"""The group of entry points that packages register their models in."""


@dataclass(frozen=True)
class ModelRef:
    """A model that can be built.

    Attributes:
        name: The name in tables, as the user gave it, settings included.
        target: `module:attribute` of the builder.
        settings: Fields of the model's configuration that the name sets.
        training: Fields of the training loop's configuration that the name sets.
        evaluation: Fields of the evaluation's configuration that the name sets.
    """

    name: str
    target: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    evaluation: Mapping[str, Any] = field(default_factory=dict)

    @property
    def trained_name(self) -> str:
        """The name without settings of the evaluation; models with equal trained names share their weights."""
        return without_evaluation(self.name)

    @property
    def module(self) -> str:
        """The module that holds the builder."""
        return self.target.partition(":")[0]

    @property
    def base(self) -> str:
        """The name without settings."""
        return self.name if self.name.startswith(self.target) else self.name.partition(":")[0]

    def source(self) -> Path:
        """The file of that module, found without importing it."""
        path = source_of(self.module)
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
        """Import the module and get the builder, `build(spec, **settings) -> torch.nn.Module`."""
        self.source()
        module, _, attribute = self.target.partition(":")
        builder = getattr(import_module(module), attribute, None)
        if not callable(builder):
            raise BenchError(f"model {self.name!r}: expected a function {attribute!r} in {module}, got {builder!r}")
        return builder  # type: ignore[no-any-return]


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
    return tuple(entry_points(group=ENTRY_POINTS))


def find_model(name: str) -> ModelRef:
    """A model by its name or by `package.module:build`, either followed by `:setting,setting`.

    Raises:
        BenchError: If the name or a variant is unknown, or a setting is malformed.
    """
    refs = model_refs()
    base, _, text = name.partition(":")
    if base in refs:
        ref = refs[base]
    elif match := re.fullmatch(r"([A-Za-z_][\w.]*:[A-Za-z_]\w*)(?::(.*))?", name):  # module:attribute[:settings]
        ref = ModelRef(match[1], match[1])
        text = match[2] or ""
    else:
        raise unknown_name("model", base, refs)
    if not text:
        return ref
    settings = parse_settings(text, ref.variants(), ref.name)
    return ModelRef(f"{ref.name}:{text}", ref.target, settings.model, settings.training, settings.evaluation)
