"""Models by name: entry points for built-in and third-party models alike, or `package.module:build`.

Listing reads names, docstrings and variants only and imports no model. A package offers a model with one line,

    [project.entry-points."qamoe_bench.models"]
    my-model = "my_package.my_module:build"

Behind a name may stand settings, `name:setting,setting`. A setting is `field=value` for a field of the model's
configuration, `train.field=value` for one of the training loop's, `eval.field=value` for one of the evaluation's, or a
variant: a name for some fields that the model's module gives in a dictionary of literals (or one of `EVALUATIONS`),

    VARIANTS = {"-quality-gate": {"quality": "none"}}
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
TRAINING, EVALUATION = "train.", "eval."
"""What stands in front of a setting of the training loop, and of the evaluation."""
EVALUATIONS = {"bfloat16": {"precision": "bfloat16"}}
"""Variants of the evaluation, of any model."""


@dataclass(frozen=True)
class ModelRef:
    """A model that can be built.

    Attributes:
        name: Its name in tables: as it was asked for, settings included.
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
        """The name without settings of the evaluation: models of one such name have the same weights."""
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

    def code(self) -> Closure:
        """Everything that the model runs, after importing it; see `qamoe_bench.provenance.closure`."""
        self.builder()
        return closure_of([self.module])

    def summary(self) -> str:
        """First line of the module's docstring."""
        return (ast.get_docstring(_parsed(self.source())) or "").partition("\n")[0]

    def variants(self) -> Mapping[str, Mapping[str, Any]]:
        """The module's named settings, read without importing it."""
        for node in _parsed(self.source()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                if any(isinstance(t, ast.Name) and t.id == "VARIANTS" for t in targets):
                    return self._literal(node.value)
        return {}

    def _literal(self, node: ast.expr) -> Mapping[str, Mapping[str, Any]]:
        try:
            found = ast.literal_eval(node)
        except ValueError:
            found = None
        if not isinstance(found, dict) or not all(isinstance(v, dict) for v in found.values()):
            raise BenchError(
                f"model {self.name!r}: expected VARIANTS in {self.module} to be a dictionary of dictionaries that is "
                "written out; see 'Models' in the README"
            )
        return found

    def builder(self) -> Callable[..., Any]:
        """Import the module and get the builder, `build(spec, **settings) -> torch.nn.Module`."""
        self.source()
        module, _, attribute = self.target.partition(":")
        builder = getattr(import_module(module), attribute, None)
        if not callable(builder):
            raise BenchError(f"model {self.name!r}: expected a function {attribute!r} in {module}, got {builder!r}")
        return builder  # type: ignore[no-any-return]


def model_refs() -> Mapping[str, ModelRef]:
    """Every installed model by name; two models of one name are an error, for order must not decide."""
    refs: dict[str, ModelRef] = {}
    for point in entry_points(group=GROUP):
        ref = ModelRef(point.name, point.value)
        if refs.setdefault(point.name, ref) != ref:
            raise BenchError(
                f"two installed packages offer a model {point.name!r} ({refs[point.name].target} and {point.value}); "
                "uninstall one"
            )
    return dict(sorted(refs.items()))


def find_model(name: str) -> ModelRef:
    """A model by its name or by `package.module:build`, either with `:setting,setting` behind it.

    Raises:
        BenchError: for a name or variant that is not known, or a setting that says nothing.
    """
    refs = model_refs()
    base, _, words = name.partition(":")
    if base in refs:
        ref = refs[base]
    elif match := re.fullmatch(r"([A-Za-z_][\w.]*:[A-Za-z_]\w*)(?::(.*))?", name):
        ref, words = ModelRef(match[1], match[1]), match[2] or ""
    else:
        raise unknown_name("model", base, refs)
    if not words:
        return ref
    return ModelRef(f"{ref.name}:{words}", ref.target, *_settings(ref, words))


def without_evaluation(name: str) -> str:
    """A model's name without settings of the evaluation."""
    head, _, words = name.rpartition(":")
    kept = [word for word in words.split(",") if not word.startswith(EVALUATION) and word not in EVALUATIONS]
    return ":".join(filter(None, (head, ",".join(kept))))


def _settings(ref: ModelRef, words: str) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Fields of the configurations of the model, the training loop and the evaluation."""
    variants, settings, training, evaluation = ref.variants(), dict[str, Any](), dict[str, Any](), dict[str, Any]()
    for word in words.split(","):
        key, equals, value = word.partition("=")
        if word in variants:
            settings |= variants[word]
        elif word in EVALUATIONS:
            evaluation |= EVALUATIONS[word]
        elif not equals:
            raise unknown_name(f"variant of {ref.name}", word, [*variants, *EVALUATIONS, "FIELD=VALUE"])
        elif key.startswith(TRAINING):
            training[key.removeprefix(TRAINING)] = _value(value)
        elif key.startswith(EVALUATION):
            evaluation[key.removeprefix(EVALUATION)] = _value(value)
        else:
            settings[key] = _value(value)
    return settings, training, evaluation


def _value(text: str) -> Any:
    """A number, True or False; anything else is text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
