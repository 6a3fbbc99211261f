"""The table of what tuning is worth: rows with the settings that `qamoe-bench tune` chose, against their defaults."""

from collections.abc import Sequence

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.comparisons import Difference, family_of_differences
from qamoe_bench.analysis.section import Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.report.metric_tables import NOT_SIGNIFICANT, short_change
from qamoe_bench.report.table import Table, counted, shown
from qamoe_bench.store.tuning import TunedModel, tuned_models

TITLE = "What tuning is worth: the settings chosen on validation data against the defaults"
HEAD = ("model", "metric", "default", "tuned", "Δ", "interval", "p")


def tuning_table(analysis: Analysis) -> Table | None:
    """Both values of each metric and their paired difference, by model; None without tuned rows."""
    section = analysis.section
    records = tuned_models(section.cells[0])
    pairs = _pairs(section, records)
    if not pairs:
        return None
    indices = [(tuned, default) for _, tuned, default in pairs]
    by_metric = {s.metric.name: family_of_differences(section, s, indices) for s in analysis.scores}
    rows = []
    for pair in indices:
        for s in analysis.scores:
            values = analysis.summaries[s.metric.name]["mean"].estimate().value
            tuned, default = (float(values[i]) for i in pair)
            both = (s.metric.show(default), s.metric.show(tuned))
            rows.append((section.rows[pair[1]].name, s.metric.name, *both, *_cells(s.metric, by_metric, pair)))
    return Table(TITLE, HEAD, tuple(rows), (*_notes([record for record, _, _ in pairs]), *_kept(section, records)))


def _pairs(section: Section, records: Sequence[TunedModel]) -> list[tuple[TunedModel, int, int]]:
    """The tuned models of the data whose rows are both here, with the indices of the tuned and the default row."""
    pairs = []
    for record in records:
        tuned = section.find(record.tuned, record.regime)
        default = section.find(record.model, record.regime)
        if record.is_changed and tuned is not None and default is not None:
            pairs.append((record, tuned, default))
    return pairs


def _kept(section: Section, records: Sequence[TunedModel]) -> tuple[str, ...]:
    """A note on the models whose defaults were best."""
    kept = [r.model for r in records if not r.is_changed and section.find(r.model, r.regime) is not None]
    return (f"no other settings were better than the defaults on validation data: {', '.join(kept)}",) if kept else ()


def _cells(
    metric: Metric, by_metric: dict[str, dict[tuple[int, int], Difference]], pair: tuple[int, int]
) -> tuple[str, str, str]:
    difference = by_metric[metric.name].get(pair)
    if difference is None or not np.isfinite(difference.value):
        return "–", "–", "–"
    value = short_change(metric.show_change(difference.value))
    ends = [short_change(metric.show_change(end)) for end in (difference.low, difference.high)]
    mark = "" if difference.is_significant else f" {NOT_SIGNIFICANT}"
    return f"{value}{mark}", " … ".join(ends), shown(difference.p, ".3f")


def _notes(records: list[TunedModel]) -> tuple[str, ...]:
    budgets = dict.fromkeys(
        f"{counted(r.trials, 'trial')} on {counted(len(r.default_errors), 'draw')}" for r in records
    )
    return (
        f"tuned: the lowest validation error of {' or '.join(budgets)} for each model; Δ: tuned minus default in the "
        "mean over all levels, on the same samples and seeds; interval: simultaneous 95 % interval, Holm-corrected "
        f"over the models of this table; p: not corrected; {NOT_SIGNIFICANT}: not significant",
    )
