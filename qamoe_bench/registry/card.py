"""The card of a model: facts that reports, figures and presets need to know about it.

A model's module may declare, as a dictionary of literals,

    CARD = {
        "groups": ("quick", "paper"),                    # `--model @quick` selects every model of the group
        "tasks": ("regression", "classes"),              # what it can predict: kinds of `qamoe_bench.vocabulary.Task`
        "published": {"C-MIB": "", "E-MIB": "e-mib"},    # a method's name in print: the variant that implements it
        "presets": {"paper": {"width": 128}},            # a preset's name: fields of the model's configuration
        "stages": {"heads": ("decoder",)},               # a stage of `STAGES`: prefixes of names of submodules
        "style": 2,                                      # a fixed colour and marker, 0 to 7; see the palette
        "role": "control",                               # a role of `ROLES`
        "requires": ("text",),                           # modalities without which the model has no input
        "year": 2022,                                    # of publication
        "venue": "IEEE TMM",                             # journal or conference
        "parameters": 12_345,                            # trainable ones of the model for the embedded data
    }

Every key is optional. Nothing else in the benchmark knows a model by its name.
"""

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.vocabulary import MODALITIES, TASK_KINDS

STAGES = ("text encoder", "other encoders", "fusion", "experts", "heads")
"""Stages of a model that its multiply-adds are split into, in the order in which a sample passes them."""
ROLES = ("control", "floor")
"""`control`: the model that differences are taken from. `floor`: the model that ignores its inputs."""
STYLES = 8
"""How many fixed styles the palette has."""
EVERY_MODEL = "all"
"""The group of every installed model; no card may declare it."""


@dataclass(frozen=True)
class ModelCard:
    """What the module of a model declares about it; see the module docstring.

    Attributes:
        groups: Names of the groups that the model belongs to.
        tasks: Kinds of tasks that the model can do; empty if not declared, which says nothing about any.
        published: Variant (empty: the model itself) by the name of the published method that it implements.
        presets: Fields of the model's configuration, by name of the preset that sets them.
        stages: Prefixes of names of submodules, by stage.
        style: Index of the fixed style in the palette; None if the model has none.
        role: One of `ROLES`; empty if the model has none.
        requires: Modalities that the model cannot do without.
        year: Year of publication; None for a model that was not published.
        venue: Where it was published; empty for a model that was not.
        parameters: Number of trainable parameters of the model for the embedded data; None if not declared.
    """

    groups: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    published: Mapping[str, str] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    stages: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    style: int | None = None
    role: str = ""
    requires: tuple[str, ...] = ()
    year: int | None = None
    venue: str = ""
    parameters: int | None = None

    def excludes(self, kind: str) -> bool:
        """Whether the card says that the model cannot do tasks of a kind; a card without tasks says nothing."""
        return self.tasks != () and kind not in self.tasks


def read_card(expression: ast.expr | None, module: str) -> ModelCard:
    """The card that a module assigns to `CARD`; an empty one if it assigns none.

    Args:
        expression: The right-hand side of the assignment.
        module: The module's name, for error messages.

    Raises:
        BenchError: If the value is no dictionary of literals, or one of its fields is unknown or malformed.
    """
    if expression is None:
        return ModelCard()
    try:
        declared = ast.literal_eval(expression)
    except ValueError:  # a call or a name, which only an import could evaluate
        declared = None
    if not isinstance(declared, dict):
        raise BenchError(
            f"CARD in {module}: expected a dictionary that is written out, got {ast.unparse(expression)[:60]}; write "
            "literals only, because the module is not imported to read them"
        )
    for key, value in declared.items():
        if key not in _CHECKS:
            raise unknown_name(f"key of CARD in {module}", str(key), _CHECKS)
        expected, is_valid = _CHECKS[key]
        if not is_valid(value):
            raise BenchError(f"CARD[{key!r}] in {module}: expected {expected}, got {value!r}; correct the literal")
    return ModelCard(**declared)  # the keys of `_CHECKS` are the fields of the class


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _is_names(value: object) -> bool:
    return isinstance(value, tuple) and all(_is_name(name) for name in value)


def _is_groups(value: object) -> bool:
    return isinstance(value, tuple) and all(_is_name(name) and name != EVERY_MODEL for name in value)


def _is_tasks(value: object) -> bool:
    return isinstance(value, tuple) and value != () and all(kind in TASK_KINDS for kind in value)


def _is_published(value: object) -> bool:
    return isinstance(value, dict) and all(_is_name(k) and isinstance(v, str) for k, v in value.items())


def _is_presets(value: object) -> bool:
    return isinstance(value, dict) and all(_is_name(k) and _is_fields(v) for k, v in value.items())


def _is_fields(value: object) -> bool:
    return isinstance(value, dict) and all(_is_name(k) for k in value)


def _is_stages(value: object) -> bool:
    return isinstance(value, dict) and all(k in STAGES and _is_names(v) for k, v in value.items())


def _is_style(value: object) -> bool:
    return type(value) is int and 0 <= value < STYLES  # a bool is an int too


def _is_role(value: object) -> bool:
    return value in ROLES


def _is_year(value: object) -> bool:
    return type(value) is int and 1950 <= value <= 2100


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0


def _is_modalities(value: object) -> bool:
    return isinstance(value, tuple) and all(modality in MODALITIES for modality in value)


_CHECKS: Mapping[str, tuple[str, Callable[[object], bool]]] = {
    "groups": (f"a tuple of names other than {EVERY_MODEL!r}", _is_groups),
    "tasks": (f"a tuple of tasks ({', '.join(TASK_KINDS)})", _is_tasks),
    "published": ("a dictionary from a method's name to a variant (or an empty string)", _is_published),
    "presets": ("a dictionary from a preset's name to a dictionary of fields", _is_presets),
    "stages": (f"a dictionary from a stage ({', '.join(STAGES)}) to a tuple of prefixes", _is_stages),
    "style": (f"a whole number from 0 to {STYLES - 1}", _is_style),
    "role": (f"one of {', '.join(ROLES)}", _is_role),
    "year": ("a year", _is_year),
    "venue": ("a journal or conference", _is_name),
    "parameters": ("a whole number", _is_count),
    "requires": (f"a tuple of modalities ({', '.join(MODALITIES)})", _is_modalities),
}
"""What each field must be, in words and as a test."""
