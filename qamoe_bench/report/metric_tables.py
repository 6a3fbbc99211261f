"""Tables of metrics: by level, over all levels, across runs, and one checkpoint against specialists.

Dimension legend: M rows, S seeds, C conditions, L levels.
"""

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.runs import THRESHOLDS, improvement_probabilities, interquartile_means, oracle_profile
from qamoe_bench.analysis.scores import Scores, over_conditions
from qamoe_bench.analysis.section import CONTROL, MEAN, Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.metrics.choice import HEADLINES
from qamoe_bench.metrics.dialects import have_whole_steps
from qamoe_bench.report.table import Table, counted, fitted, shown, without_empty
from qamoe_bench.statistics.intervals import Estimate, mean_of_defined
from qamoe_bench.vocabulary import metric_label

SUMMARY_HEADS = {"auilc": "AUILC", "worst": "worst", "retention": "retention %", "reached": "gap %"}
"""Column heads of summaries other than the mean, by their names in `qamoe_bench.analysis.summaries`."""
SINGLE_CHECKPOINT = ("spectrum", "sweep")  # regimes whose one checkpoint is compared with specialists
MAX_NAMED = 4
"""Conditions that a note names; further ones are counted."""
NOT_SIGNIFICANT = "≈"  # marks a change whose interval includes 0


def level_table(analysis: Analysis, scores: Scores) -> Table:
    """A metric by level, means over seeds."""
    section = analysis.section
    metric = scores.metric
    levels = scores.means(section.levels.means)  # (M, L)
    means = scores.means(over_conditions)  # (M,)
    rows = []
    for i, row in enumerate(section.rows):
        rows.append((row.name, *map(metric.show, levels[i]), metric.show(means[i])))
    is_first = analysis.rankings[metric.name].is_first()  # (M, L + 1), the last column for the mean
    # Two points make no curve, named conditions have no order, and of an undefined metric there is nothing to draw.
    has_curve = len(section.levels.numbers) > 2 and bool(np.isfinite(levels).any())
    return fitted(
        Table(
            title=f"{metric.name}{percent_sign(metric)} ({metric.better} is better): {metric.title}",
            header=("model", *section.levels.labels, "mean"),
            rows=tuple(rows),
            notes=(*section.levels.notes, *undefined_notes(analysis, scores)),
            reference=oracle_rows(section),
            best=frozenset((int(i), int(k) + 1) for i, k in np.argwhere(is_first)),  # column 0 has the names
            trends=tuple(tuple(map(float, curve)) for curve in levels) if has_curve else (),
        )
    )


def summary_table(analysis: Analysis, scores: Scores) -> Table:
    """One line per row: mean with interval, other summaries, difference from the control, rank."""
    section = analysis.section
    metric = scores.metric
    summaries = analysis.summaries[metric.name]
    ranks = analysis.rankings[metric.name]
    # One estimate has the values of all rows, so compute each once.
    estimates = {name: summary.estimate() for name, summary in summaries.items()}
    extra = [name for name in SUMMARY_HEADS if name in summaries]
    rows = []
    for i, row in enumerate(section.rows):
        mean = value_with_interval(metric, estimates["mean"], i)
        others = [summaries[name].show(metric, float(estimates[name].value[i])) for name in extra]
        rows.append((row.name, mean, *others, *_difference(analysis, metric, i), ranks.show(i)))
    head = ("model", "mean ±", *(SUMMARY_HEADS[name] for name in extra), "Δ", "interval", "rank")
    is_first = ranks.is_first()[:, -1]  # (M,)
    best = frozenset((i, 1) for i in range(len(rows)) if is_first[i])
    title = f"{metric.name}{percent_sign(metric)}: summary over all levels"
    return without_empty(Table(title, head, tuple(rows), _power(analysis, metric), oracle_rows(section), best))


def value_with_interval(metric: Metric, estimate: Estimate, row: int) -> str:
    """The value of a row with the half-width of its 95 % interval."""
    value = metric.show(float(estimate.value[row]))
    if value == "–":
        return value
    low, high = estimate.interval()
    half_width = metric.show(float(high[row] - low[row]) / 2)
    # Without the leading zero, so that tables fit a terminal.
    return f"{value}±{half_width.removeprefix('0')}"


def _difference(analysis: Analysis, metric: Metric, row: int) -> tuple[str, str]:
    """The difference from the control and its interval."""
    difference = analysis.differences[metric.name].get(row)
    if difference is None or not np.isfinite(difference.value):
        return "–", "–"
    value = short_change(metric.show_change(difference.value))
    low = short_change(metric.show_change(difference.low))
    high = short_change(metric.show_change(difference.high))
    mark = "" if difference.is_significant else f" {NOT_SIGNIFICANT}"
    return f"{value}{mark}", f"{low} … {high}"


def short_change(change: str) -> str:
    """A change without the zero before the decimal point, so that tables fit a terminal."""
    return change.replace("+0.", "+.").replace("-0.", "-.")


def how_to_read(analysis: Analysis) -> str:
    """Explain the columns of the summary tables of a section."""
    names = set()
    for by_name in analysis.summaries.values():
        names |= set(by_name)
    if len(analysis.section.seeds) > 1:
        covered = "over seeds (training and corruption draws) and test samples"
    else:
        covered = "over test samples only: one seed does not cover the variation between trainings"
    parts = [f"±: half-width of the 95 % interval {covered}"]
    if "auilc" in names:
        parts.append("AUILC: area under the curve of the metric over the levels, divided by their range")
    if "retention" in names:
        parts.append("retention: worst level relative to clean")
    if "reached" in names:
        parts.append(f"gap: share of the distance from {MEAN} to oracle that is closed")
    if any(analysis.differences.values()):
        parts.append(
            f"Δ: difference from {CONTROL} trained in the same regime, on the same samples; interval: simultaneous "
            "95 % interval of Δ, Holm-corrected over all pairs of rows; ≈: not significant, the interval includes 0"
        )
    parts.append("rank: best to worst rank that the same tests of all pairs allow (5 %)")
    return f"{'; '.join(parts)}."


def _power(analysis: Analysis, metric: Metric) -> tuple[str, ...]:
    """The minimum difference from the control that this many seeds and samples detect."""
    differences = analysis.differences[metric.name].values()
    detectable = np.array([d.detectable for d in differences])  # (M,) at most
    if not np.isfinite(detectable).any():
        return ()
    smallest = metric.show(float(np.nanmedian(detectable)))
    seeds = len(analysis.section.seeds)
    return (
        f"minimum difference from {CONTROL} detectable with 80 % power: {smallest} ({counted(seeds, 'seed')}, "
        f"{counted(analysis.section.samples, 'sample')}; median over rows, uncorrected)",
    )


def runs_table(analysis: Analysis) -> Table:
    """Interquartile means over runs (seed × level) and the probability of improvement over the control."""
    section = analysis.section
    head = ["model"]
    columns = [[row.name for row in section.rows]]
    has_probabilities = False
    for scores in analysis.scores:
        probabilities = improvement_probabilities(section, scores)
        has_probabilities |= bool(np.isfinite(probabilities).any())
        head += [scores.metric.name, "P"]
        columns.append([scores.metric.show(x) for x in interquartile_means(section, scores)])
        columns.append([shown(x, ".2f") for x in probabilities])
    note = "as in rliable (Agarwal et al., 2021): mean of the middle 50 % of runs"
    if has_probabilities:
        note += (
            f"; P: probability of improvement, that a run is better than a run of {CONTROL} at the same level (ties "
            "count half)"
        )
    title = "Interquartile means across runs (seed × level)"
    rows = tuple(zip(*columns, strict=True))
    return without_empty(Table(title, tuple(head), rows, (note,), oracle_rows(section)))


def profile_table(analysis: Analysis) -> Table | None:
    """Performance profile: the share of runs that close more than a given share of the gap to the oracle."""
    section = analysis.section
    scores = analysis.headline
    profiles = oracle_profile(section, scores) if scores.metric.name in HEADLINES else None
    if profiles is None:
        return None
    rows = []
    for row, profile in zip(section.rows, profiles, strict=True):
        rows.append((row.name, *(f"{100 * share:.0f}" for share in profile)))
    head = ("model", *(f">{100 * t:.0f} %" for t in THRESHOLDS))
    metric = metric_label(scores.metric.name)
    title = f"Performance profile: % of runs that close more than this share of the {metric} gap from {MEAN} to oracle"
    return Table(title, head, tuple(rows), (), oracle_rows(section))


def specialist_table(analysis: Analysis, scores: Scores, regime: str) -> Table | None:
    """One checkpoint minus specialists: a regime minus matched by level, for models trained in both.

    Args:
        analysis: The analysis.
        scores: The metric.
        regime: One of `SINGLE_CHECKPOINT`.
    """
    section = analysis.section
    metric = scores.metric
    rows = []
    for row in section.rows:
        if row.regime != regime:
            continue
        # The first row of the model, so that variants of one name (other recipes) meet the same specialists.
        single = section.find(row.model, regime)
        matched = section.find(row.model, "matched")
        if single is None or matched is None:
            continue
        by_level, _ = scores.reduced(section.levels.with_mean)  # (M, S, L + 1)
        gap = mean_of_defined(by_level[single] - by_level[matched])  # over the seeds of both, (L + 1)
        rows.append((row.model, *map(metric.show_change, gap)))
    if not rows:
        return None
    better = "positive" if metric.better == "higher" else "negative"
    notes = (f"{better}: the single checkpoint is better than the specialist of the level", *section.levels.notes)
    unit = ", points" if metric.unit == "%" else ""
    title = f"{metric.name}{unit}: single checkpoint ({regime}) minus specialists (matched)"
    return fitted(Table(title, ("model", *section.levels.labels, "mean"), tuple(rows), notes))


def oracle_rows(section: Section) -> tuple[str, ...]:
    """Names of the rows that know the law of the data, which take no part in rankings."""
    return tuple(row.name for row in section.rows if row.is_limit)


def percent_sign(metric: Metric) -> str:
    """What a title adds to the name of a metric in %; empty for others."""
    return ", %" if metric.unit == "%" else ""


def undefined_notes(analysis: Analysis, scores: Scores) -> tuple[str, ...]:
    """A note on every row that has no value somewhere; none if all have values everywhere."""
    section = analysis.section
    label = section.label
    name = scores.metric.name
    lacking = ~np.isfinite(scores.values) & scores.has_seed[..., None]  # (M, S, C)
    if not lacking.any():
        return ()
    if name in analysis.dialect.whole_steps and not have_whole_steps(label):
        return (
            f"{name} is undefined: its classes are whole steps from -3 to 3, and these labels go from "
            f"{label.min():g} to {label.max():g}",
        )
    parts = []
    for row, by_seed in zip(section.rows, lacking, strict=True):
        if by_seed.any():
            conditions = [section.conditions[k] for k in np.flatnonzero(by_seed.any(0))]
            places = "everywhere" if len(conditions) == len(section.conditions) else f"at {_few(conditions)}"
            parts.append(f"{row.name} {places} in {int(by_seed.any(1).sum())} of {counted(len(row.seeds), 'seed')}")
    reason = ", where the predictions are constant" if name == "corr" else ""
    return (
        f"{name} is undefined{reason}: {'; '.join(parts)}. Means that contain such a value are shown as –, and neither "
        "ranked nor tested",
    )


def _few(names: list[str]) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return f"{', '.join(names[:MAX_NAMED])}{more}"
