"""Settings that follow a model's name, as in `name:setting,setting`.

A setting is `field=value` for a field of the model's configuration, `train.field=value` for a field of the training
loop's configuration, `eval.field=value` for a field of the evaluation's, or a variant: a name for several fields, from
the dictionary of literals `VARIANTS` in the model's module (or from `EVALUATIONS`, for any model),

    VARIANTS = {"-quality-gate": {"quality": "none"}}
"""

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from qamoe_bench.errors import unknown_name

TRAINING = "train."
"""Prefix of a setting of the training loop."""
EVALUATION = "eval."
"""Prefix of a setting of the evaluation."""
EVALUATIONS: Mapping[str, Mapping[str, Any]] = {"bfloat16": {"precision": "bfloat16"}}
"""Variants of the evaluation, which every model has."""

Variants = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Settings:
    """Fields that a name sets, by the configuration that they belong to."""

    model: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)


def parse_settings(text: str, variants: Variants, model: str) -> Settings:
    """The fields that a comma-separated list of settings sets; later settings override earlier ones.

    Raises:
        BenchError: If a setting is neither a variant nor `field=value`.
    """
    settings = Settings()
    for setting in text.split(","):
        key, equals, value = setting.partition("=")
        if setting in variants:  # before `=` is looked at, because a variant's name may contain any character
            settings.model.update(variants[setting])
        elif setting in EVALUATIONS:
            settings.evaluation.update(EVALUATIONS[setting])
        elif not equals:
            raise unknown_name(f"variant of {model}", setting, [*variants, *EVALUATIONS, "FIELD=VALUE"])
        elif key.startswith(TRAINING):
            settings.training[key.removeprefix(TRAINING)] = _parse_value(value)
        elif key.startswith(EVALUATION):
            settings.evaluation[key.removeprefix(EVALUATION)] = _parse_value(value)
        else:
            settings.model[key] = _parse_value(value)
    return settings


def without_evaluation(name: str) -> str:
    """A model's name without the settings of the evaluation."""
    head, _, text = name.rpartition(":")
    kept = [s for s in text.split(",") if not s.startswith(EVALUATION) and s not in EVALUATIONS]
    return ":".join(filter(None, (head, ",".join(kept))))


def _parse_value(text: str) -> Any:
    """A number, True or False; anything else stays text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, RecursionError, MemoryError):  # the last two for deep nesting
        return text
