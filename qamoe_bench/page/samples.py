"""Individual samples: those on which the error of a row grows most, with the corruption that each one suffered."""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import numpy as np

from qamoe_bench.analysis.hard_samples import Fall, worst
from qamoe_bench.analysis.section import Row, Section
from qamoe_bench.metrics.dialects import judged_columns
from qamoe_bench.metrics.probabilities import probability_errors
from qamoe_bench.page.figure import comma_list, encoded, json_numbers
from qamoe_bench.page.marks import axis_title, row_data, specification, tips
from qamoe_bench.vocabulary import Task, axis_symbol

# For each row and comparison
SAMPLES_SHOWN = 8
# Conditions along which a sample is followed, at most; the condition of the largest error may be one more
PATH_LENGTH = 16
# Decimals that the tables and tooltips of a sample show
SHOWN_DECIMALS = 2


def hard_samples(section: Section, texts: Mapping[str, str]) -> dict[str, Any] | None:
    """Data of the part about individual samples, for the page's script.

    Args:
        section: Gives the predictions and the corruption of every sample.
        texts: Transcripts by sample id; may be empty.

    Returns:
        None if there is nothing to compare a prediction with.
    """
    falls = worst(section, SAMPLES_SHOWN)
    if not falls:
        return None
    is_regression = section.task.is_regression
    lists = _Lists()
    made = [_fall(section, fall, texts, lists) for fall in falls]
    return {
        "modalities": section.realised_by_seed[0].modalities,
        "value": "sentiment, label units" if is_regression else "probability of the truth",
        "unit": " label units" if is_regression else "",
        "falls": encoded({name: [fall[name] for fall in made] for name in made[0]}),
        "lists": lists.content,
    }


class _Lists:
    """Lists along the sweep, each stored once: many rows have the same hardest samples."""

    def __init__(self) -> None:
        self.content: list[tuple[Any, ...]] = []
        self._places: dict[tuple[Any, ...], int] = {}

    def place(self, values: Sequence[Any]) -> int:
        """The index of a list; numbers have the digits that the page shows."""
        content = tuple(_shown(value) for value in values)
        if content not in self._places:
            self._places[content] = len(self.content)
            self.content.append(content)
        return self._places[content]


def _shown(value: Any) -> Any:
    return round(value, SHOWN_DECIMALS) + 0.0 if isinstance(value, float) else value  # + 0.0: no −0


def path_spec() -> dict[str, Any]:
    """Specification of the predictions for one sample along the sweep; the page's script sets titles and styles."""
    x = alt.X("x:O", title="condition", sort=None, axis=alt.Axis(labelAngle=-40, labelOverlap=True, labelLimit=120))
    y = alt.Y("value:Q", title="")  # set by the script
    legend = alt.Legend(title=None, orient="top", columns=2, symbolType="stroke", symbolStrokeWidth=2)
    base = alt.Chart(row_data()).encode(
        x=x,
        y=y,
        color=alt.Color("row:N", sort=None, legend=legend),
        strokeDash=alt.StrokeDash("row:N", sort=None, legend=legend),
        tooltip=tips(("row:N", "prediction of", ""), ("x:N", "at", ""), ("value:Q", "value", "+.2f")),
    )
    return specification(base.mark_line(strokeWidth=1.8, point=alt.OverlayMarkDef(size=40)), 220)


def _fall(section: Section, fall: Fall, texts: Mapping[str, str], lists: _Lists) -> dict[str, Any]:
    row = section.rows[fall.row]
    sample_id = section.cells[0].samples[fall.sample]
    path = _path(section, fall.condition)
    # Of scalars there is one number each.
    (error,) = json_numbers(fall.error)
    (before,) = json_numbers(fall.before)
    return {
        "row": row.name,
        "against": fall.against,
        "seed": fall.seed,
        "id": sample_id,
        "text": texts.get(sample_id, ""),
        "label": _label(section, fall),
        "says": _says(section, row, fall),
        "condition": _condition_label(section, fall.condition),
        "axis": _axis_label(section, fall.condition),
        "error": error,
        "before": before,
        # Of lists, their places.
        "x": lists.place([_level_label(section, condition) for condition in path]),
        "series": [[i, lists.place(values)] for i, values in _all_predictions(section, fall, path).items()],
        **{kind: [lists.place(values) for values in lines] for kind, lines in _events(section, fall, path).items()},
    }


def _all_predictions(section: Section, fall: Fall, path: Sequence[int]) -> dict[int, list[float | None]]:
    """Predictions along the path by index of the row: of the row itself, its control and the oracle."""
    oracle = next((i for i, row in enumerate(section.rows) if row.is_oracle), None)
    # A row that is its own control, or the oracle, occurs once; a row without this seed does not occur.
    predictions = {}
    for i in (fall.row, section.control_of(fall.row), oracle):
        if i is not None and fall.seed in section.rows[i].seeds:
            predictions[i] = _predictions(section, section.rows[i], fall, path)
    return predictions


def _predictions(section: Section, row: Row, fall: Fall, conditions: Sequence[int]) -> list[float | None]:
    """Predictions in label units; of classes and labels the probability of the truth."""
    # Of several draws the first is shown, as in `qamoe_bench.analysis.hard_samples`.
    seed = row.seeds.index(fall.seed)
    if section.task.is_regression:
        return json_numbers(row.column("prediction")[seed, 0, conditions, fall.sample])  # (S, V, C, N) -> (conditions,)
    # Of this sample alone, not of the whole row for each sample that is shown: (conditions, K)
    names = judged_columns(row.cells[0].names, "")
    answers = np.stack([row.column(name)[seed, 0, conditions, fall.sample] for name in names], axis=-1)
    label = section.label[[fall.sample]]
    return json_numbers(1 - probability_errors(answers.astype(np.float64)[:, None], label, section.task)[:, 0])


def _label(section: Section, fall: Fall) -> float:
    """The label as a value of the chart: a probability of 1 where the truth is a class."""
    # Without the rounding noise of float32.
    return float(f"{section.label[fall.sample]:.4g}") if section.task.is_regression else 1.0


def _says(section: Section, row: Row, fall: Fall) -> str:
    """The label and the prediction in words."""
    predicted = float(row.column("prediction")[row.seeds.index(fall.seed), 0, fall.condition, fall.sample])
    label = float(section.label[fall.sample])
    if section.task.is_regression:
        return f"label {label:+.2f}, predicted {predicted:+.2f}"
    return f"{_names(section.task, label)}, predicted {_names(section.task, predicted)}"


def _names(task: Task, code: float) -> str:
    """The class, or all labels that hold, by name."""
    if task.kind == "classes":
        return task.names[int(code)]
    return comma_list([name for k, name in enumerate(task.names) if int(code) >> k & 1]) or "none"


def _events(section: Section, fall: Fall, path: Sequence[int]) -> dict[str, list[list[float | None]]]:
    """Corruption of the sample and quality scores of the row along the path: a list per modality, empty without."""
    row = section.rows[fall.row]
    seed = row.seeds.index(fall.seed)
    events = section.realised_by_seed[section.seeds.index(fall.seed)]  # one seed, so its first axis has length 1
    series: dict[str, list[list[float | None]]] = {"missing": [], "noise": [], "quality": []}
    for m in events.modalities:
        for kind in ("missing", "noise"):
            series[kind].append(json_numbers(events.column(f"{kind}_{m}")[0, 0, path, fall.sample]))
        if row.has(f"quality_{m}"):
            series["quality"].append(json_numbers(row.column(f"quality_{m}")[seed, 0, path, fall.sample]))
        else:
            series["quality"].append([])
    return series


def _condition_label(section: Section, condition: int) -> str:
    """The levels of a condition, such as `η=0.3, λ=0.2`, or its name."""
    levels = section.cells[0].facts.conditions[condition]["levels"]
    return ", ".join(_level(axis, level) for axis, level in levels.items()) or section.conditions[condition]


def _axis_label(section: Section, condition: int) -> str:
    """The axis along which a sample is followed, with the levels that stay fixed."""
    axis = section.levels.axis
    levels = section.cells[0].facts.conditions[condition]["levels"]
    fixed = [_level(name, level) for name, level in levels.items() if name != axis]
    return f"{axis_title(axis)} (at {comma_list(fixed)})" if fixed else axis_title(axis)


def _level(axis: str, level: float) -> str:
    return f"{axis_symbol(axis)}={level:g}"


def _level_label(section: Section, condition: int) -> str:
    """The level of a condition on the first axis, or its name."""
    axis = section.levels.axis
    if not axis:
        return section.conditions[condition]
    return f"{section.cells[0].facts.conditions[condition]['levels'][axis]:g}"


def _path(section: Section, condition: int) -> list[int]:
    """Conditions along the first axis through this one, or all conditions if they are named points.

    A long path is thinned evenly, and always keeps the given condition.
    """
    conditions = section.cells[0].facts.conditions
    line = list(range(len(conditions)))
    axis = section.levels.axis
    # Along the first axis all other levels stay those of the given condition.
    if axis:
        fixed = {name: level for name, level in conditions[condition]["levels"].items() if name != axis}
        line = [i for i in line if fixed.items() <= conditions[i]["levels"].items()]
    # Evenly spaced indices with both ends; rounding may repeat one.
    kept = np.unique(np.linspace(0, len(line) - 1, min(PATH_LENGTH, len(line))).round().astype(int))
    return sorted({condition, *(line[i] for i in kept)})
