"""The result of tuning as a study file, which `qamoe-bench run` evaluates: each model beside its defaults."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from qamoe_bench.report.table import counted
from qamoe_bench.run.request import Request
from qamoe_bench.run.study import SCHEMA
from qamoe_bench.store.tuning import TunedModel
from qamoe_bench.tuning.tuner import TuningPlan

Tuned = tuple[TuningPlan, TunedModel]


def study_text(tuned: Sequence[Tuned]) -> str:
    """A study file with a grid for each data set and regime.

    Args:
        tuned: See `qamoe_bench.tuning.tuner.TuningOutcome`.
    """
    lines = [
        "# Models with the settings that `qamoe-bench tune` chose on validation data, beside their defaults.",
        f"schema = {SCHEMA}",
    ]
    for request, group in groupby(tuned, lambda pair: replace(pair[0].subject.request, models=())):
        members = [result for _, result in group]
        names = dict.fromkeys(name for result in members for name in (result.model, result.tuned))
        draws = counted(len(members[0].default_errors), "draw")
        budget = f"{counted(members[0].trials, 'trial')} on {draws} for each model"
        lines += ["", f"[[grid]]  # {budget}", *_keys(request, list(names))]
    return "\n".join(lines) + "\n"


def _keys(request: Request, models: list[str]) -> Iterator[str]:
    """Lines of a grid, without keys that have their default."""
    for key, value in _values(request).items():
        if value:
            yield f"{key} = {_as_toml(value)}"
    yield "models = ["
    yield from (f"  {_as_toml(name)}," for name in models)
    yield "]"


def _values(request: Request) -> Mapping[str, Any]:
    reading = request.reading
    return {
        "data": [request.data],
        "protocols": [*request.protocols],
        "seeds": [*request.seeds],
        "regimes": [*request.regimes],
        "preset": request.preset,
        "device": request.device if request.device != Request.device else "",
        "fine_tune": request.fine_tune,
        "label_range": [*(reading.label_range or ())],
        "drop_bad_labels": reading.drop_bad_labels,
        "accept_unknown_tokens": reading.accept_unknown_tokens,
        "task": reading.task,
        "classes": [*reading.classes],
        "train_sizes": [] if reading.train_size is None else [reading.train_size],
    }


def _as_toml(value: object) -> str:
    # Texts, numbers, booleans and lists of these are written in TOML as in JSON, but for one control character.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
