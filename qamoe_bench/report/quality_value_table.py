"""The table of what knowing the quality of a sample is worth, where the store has the rows for it."""

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.quality_value import PREDICTORS, QualityValue, quality_value
from qamoe_bench.analysis.section import Levels
from qamoe_bench.registry.limits import ASSUMING_CLEAN, BLIND, INFERRING
from qamoe_bench.report.metric_tables import percent_sign, short_change
from qamoe_bench.report.table import Table, without_empty
from qamoe_bench.statistics.intervals import Estimate
from qamoe_bench.store.cell import ORACLE

HEADS = {ORACLE: "known", INFERRING: "inferred", BLIND: "blind", ASSUMING_CLEAN: "as clean"}
"""Column heads of the predictors, which say what each of them knows."""
VALUES = {INFERRING: "told", BLIND: "aware"}
"""Column heads of the two values."""


def quality_value_table(analysis: Analysis) -> Table | None:
    """The headline metric of each predictor, and both values with intervals, by level; None without the rows."""
    value = quality_value(analysis.section, analysis.headline)
    return None if value is None else table_of_value(value, analysis.section.levels)


def table_of_value(value: QualityValue, levels: Levels) -> Table:
    """The same of a value that was computed already, at the levels of its section."""
    metric = value.metric
    present = [name for name in PREDICTORS if name in value.scores]
    head = ["level" if levels.axis else "condition", *(HEADS[name] for name in present)]
    for name in VALUES:
        head += [VALUES[name], "95 %"] if name in value.losses else []
    rows = []
    for k, level in enumerate((*levels.labels, "mean")):
        cells = [level, *(metric.show(float(value.scores[name][k])) for name in present)]
        for name in VALUES:
            cells += _with_interval(value, value.losses[name], k) if name in value.losses else []
        rows.append(tuple(cells))
    title = f"What knowing quality is worth, in {metric.name}{percent_sign(metric)}"
    return without_empty(Table(title, tuple(head), tuple(rows), _notes(value, levels.notes)))


def _with_interval(value: QualityValue, estimate: Estimate, k: int) -> tuple[str, str]:
    low, high = estimate.interval()
    if not np.isfinite(estimate.value[k]):
        return "–", "–"
    show = value.metric.show_change
    ends = [short_change(show(float(end[k]))) for end in (low, high)]
    return short_change(show(float(estimate.value[k]))), " … ".join(ends)


def _notes(value: QualityValue, of_levels: tuple[str, ...]) -> tuple[str, ...]:
    meanings = {
        ORACLE: "known: told the corruption of each sample",
        INFERRING: "inferred: told nothing, each condition of the protocol equally likely, infers the noise from the "
        "frames",
        BLIND: "blind: the best answer from the projections that depend on the label and from what is present, without "
        "scatter, number of frames or anything else that shows the quality",
        ASSUMING_CLEAN: "as clean: takes every frame for uncorrupted",
    }
    notes = ["; ".join(meanings[name] for name in value.scores)]
    worth = {
        INFERRING: "told: the value of being told the corruption (known against inferred)",
        BLIND: "aware: the value of being aware of quality (known against blind)",
    }
    sentences = [worth[name] for name in worth if name in value.losses]
    if sentences:
        notes.append(
            f"{'; '.join(sentences)}; positive: knowing helps; 95 %: paired interval over seeds and test samples, not "
            "corrected for the number of levels"
        )
    return (*notes, *of_levels)
