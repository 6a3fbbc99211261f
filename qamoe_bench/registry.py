"""Models by name: entry points for built-in and third-party models alike, or `package.module:build`.

Listing models reads names, docstrings and variants only and imports no model. A package offers a model with one line,

    [project.entry-points."qamoe_bench.models"]
    my-model = "my_package.my_module:build"

A name may be followed by settings, `name:setting,setting`. A setting is `field=value` for a field of the model's
configuration, `train.field=value` for one of the training loop, `eval.field=value` for one of the evaluation, or a
variant. A variant names some fields; the model's module defines its variants in a dictionary of literals,

    VARIANTS = {"-quality-gate": {"quality": "none"}}

and `EVALUATIONS` holds those that every model has.
"""

import ast
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.provenance.closure import Closure, closure_of, source_of

GROUP = "qamoe_bench.models"
TRAINING = "train."
"""Prefix of settings of the training loop."""
EVALUATION = "eval."
"""Prefix of settings of the evaluation."""
EVALUATIONS = {"bfloat16": {"precision": "bfloat16"}}
"""Variants of the evaluation, which every model has."""
MODULE_AND_FUNCTION = re.compile(r"([A-Za-z_][\w.]*:[A-Za-z_]\w*)(?::(.*))?")
"""A model outside the registry, `package.module:build`, with or without settings."""


@dataclass(frozen=True)
class ModelRef:
    """A model that can be built.

    Attributes:
        name: Its name in tables, as the user wrote it, with settings.
        target: `module:attribute` of its builder.
        settings: Fields of its configuration that the name sets.
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
        """The name without settings of the evaluation; models with the same one have the same weights."""
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
        """The file of that module, located without importing it.

        Raises:
            BenchError: if there is no such module.
        """
        path = source_of(self.module)
        if path is None:
            raise BenchError(
                f"model {self.name!r}: no module {self.module!r} can be found; install its package, or run from the "
                "folder that holds it"
            )
        return path

    def code(self) -> Closure:
        """All code that the model runs; see `qamoe_bench.provenance.closure`."""
        self.builder()  # imports the module, so that code which it loads by computed names is there
        return closure_of([self.module])

    def summary(self) -> str:
        """First line of the module's docstring."""
        docstring = ast.get_docstring(_parse(self.source())) or ""
        return docstring.partition("\n")[0]

    def variants(self) -> Mapping[str, Mapping[str, Any]]:
        """The module's named settings, read without importing it."""
        for node in _parse(self.source()).body:
            if isinstance(node, ast.Assign):
                targets = node.targets
            elif isinstance(node, ast.AnnAssign):  # `VARIANTS: Mapping[...] = ...`
                targets = [node.target]
            else:
                continue
            is_variants = any(isinstance(target, ast.Name) and target.id == "VARIANTS" for target in targets)
            if is_variants and node.value is not None:
                return self._evaluate_variants(node.value)
        return {}

    def _evaluate_variants(self, node: ast.expr) -> Mapping[str, Mapping[str, Any]]:
        try:
            variants = ast.literal_eval(node)
        except ValueError:  # a call or a name
            variants = None
        if not isinstance(variants, dict) or not all(isinstance(fields, dict) for fields in variants.values()):
            raise BenchError(
                f"model {self.name!r}: expected VARIANTS in {self.module} to be a dictionary of dictionaries that is "
                "written out; see 'Models' in the README"
            )
        return variants

    def builder(self) -> Callable[..., Any]:
        """Import the module and return its builder, `build(spec, **settings) -> torch.nn.Module`.

        Raises:
            BenchError: if there is no such module, or no such function in it.
        """
        self.source()  # raises for a missing module, which is then distinct from an ImportError inside it
        module, _, attribute = self.target.partition(":")
        builder = getattr(import_module(module), attribute, None)
        if not callable(builder):
            raise BenchError(f"model {self.name!r}: expected a function {attribute!r} in {module}, got {builder!r}")
        return builder  # type: ignore[no-any-return]


def model_refs() -> Mapping[str, ModelRef]:
    """Every installed model by name, in alphabetical order.

    Raises:
        BenchError: if two packages offer the same name, because the order of installation must not select one.
    """
    refs: dict[str, ModelRef] = {}
    for point in entry_points(group=GROUP):
        ref = ModelRef(point.name, point.value)
        # An identical entry of another distribution is no conflict.
        if refs.setdefault(point.name, ref) != ref:
            raise BenchError(
                f"two installed packages offer a model {point.name!r} ({refs[point.name].target} and {point.value}); "
                "uninstall one"
            )
    return dict(sorted(refs.items()))


def find_model(name: str) -> ModelRef:
    """A model by its name or by `package.module:build`, either followed by `:setting,setting` or not.

    Raises:
        BenchError: for an unknown name or variant, or for two packages that offer the same name.
    """
    refs = model_refs()
    base, _, settings = name.partition(":")
    if base in refs:
        ref = refs[base]
    else:
        match = MODULE_AND_FUNCTION.fullmatch(name)
        if match is None:
            raise unknown_name("model", base, refs)
        ref = ModelRef(match[1], match[1])
        settings = match[2] or ""
    return _with_settings(ref, settings) if settings else ref


def without_evaluation(name: str) -> str:
    """A model's name without settings of the evaluation."""
    head, _, last = name.rpartition(":")  # the settings, or all of a name without settings
    kept = [part for part in last.split(",") if not part.startswith(EVALUATION) and part not in EVALUATIONS]
    return ":".join(filter(None, (head, ",".join(kept))))


def _with_settings(ref: ModelRef, text: str) -> ModelRef:
    """A model with the fields that its settings set, for the model, the training loop and the evaluation."""
    variants = ref.variants()
    settings: dict[str, Any] = {}
    training: dict[str, Any] = {}
    evaluation: dict[str, Any] = {}
    for setting in text.split(","):
        key, equals, value = setting.partition("=")
        if setting in variants:
            settings |= variants[setting]
        elif setting in EVALUATIONS:
            evaluation |= EVALUATIONS[setting]
        elif not equals:
            raise unknown_name(f"variant of {ref.name}", setting, [*variants, *EVALUATIONS, "FIELD=VALUE"])
        elif key.startswith(TRAINING):
            training[key.removeprefix(TRAINING)] = _parse_value(value)
        elif key.startswith(EVALUATION):
            evaluation[key.removeprefix(EVALUATION)] = _parse_value(value)
        else:
            settings[key] = _parse_value(value)
    return ModelRef(f"{ref.name}:{text}", ref.target, settings, training, evaluation)


def _parse_value(text: str) -> Any:
    """A number or another Python literal; anything else is text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
