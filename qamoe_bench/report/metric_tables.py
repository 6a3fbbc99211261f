"""Tables of metrics: by level, over whole sweeps, across runs, and one checkpoint against specialists."""

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.runs import THRESHOLDS, improvement_probabilities, interquartile_means, oracle_profile
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import CONTROL, MEAN, Section
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.report.table import Table, fitted, shown, without_empty
from qamoe_bench.statistics.intervals import Estimate, mean_of_defined

COLUMNS = {"auilc": "AUILC", "worst": "worst", "retention": "kept %", "reached": "reach %"}


def level_table(found: Analysis, scores: Scores) -> Table:
    """A metric by level, means over seeds."""
    section, metric = found.section, scores.metric
    levels = mean_of_defined(section.levels.means(scores.values), 1)  # (M, L)
    means = mean_of_defined(scores.values.mean(-1), 1)
    rows = tuple((row.name, *map(metric.show, levels[i]), metric.show(means[i])) for i, row in enumerate(section.rows))
    first = found.rankings[metric.name].is_first()
    return fitted(
        Table(
            f"{metric.name}{_unit(metric)} ({metric.better} is better): {metric.title}",
            ("model", *section.levels.labels, "mean"),
            rows,
            (*section.levels.notes, *_undefined(scores)),
            oracle_rows(section),
            frozenset((int(i), int(k) + 1) for i, k in np.argwhere(first)),
            tuple(tuple(map(float, of)) for of in levels) if len(section.levels.numbers) > 2 else (),
        )
    )


def summary_table(found: Analysis, scores: Scores) -> Table:
    """One line per row: the mean with its interval, other summaries, the difference from the control, the rank."""
    section, metric = found.section, scores.metric
    summaries, ranks = found.summaries[metric.name], found.rankings[metric.name]
    estimates = {name: s.estimate() for name, s in summaries.items()}
    extra = [name for name in COLUMNS if name in summaries]
    head = ("model", "mean ±", *(COLUMNS[n] for n in extra), "Δ", "interval", "rank")
    rows = []
    for i, row in enumerate(section.rows):
        others = [summaries[n].show(metric, float(estimates[n].value[i])) for n in extra]
        rows.append(
            (
                row.name,
                value_with_interval(metric, estimates["mean"], i),
                *others,
                *_difference(found, metric, i),
                ranks.show(i),
            )
        )
    first = frozenset((i, 1) for i in range(len(rows)) if ranks.is_first()[i, -1])
    title = f"{metric.name}{_unit(metric)} over the whole sweep"
    return without_empty(Table(title, head, tuple(rows), _power(found, metric), oracle_rows(section), first))


def value_with_interval(metric: Metric, estimate: Estimate, row: int) -> str:
    """A row's value with half of its interval."""
    shown = metric.show(float(estimate.value[row]))
    low, high = estimate.interval()
    return shown if shown == "–" else f"{shown}±{metric.show(float(high[row] - low[row]) / 2).removeprefix('0')}"


def _difference(found: Analysis, metric: Metric, row: int) -> tuple[str, str]:
    d = found.differences.get((metric.name, row))
    if d is None or not np.isfinite(d.value):
        return "–", "–"
    mark = "" if d.is_significant else " ≈"
    value, low, high = (_short(metric.show_change(x)) for x in (d.value, d.low, d.high))
    return f"{value}{mark}", f"{low} … {high}"


def _short(change: str) -> str:
    """Without the zero in front of the point, so that tables fit a terminal."""
    return change.replace("+0.", "+.").replace("-0.", "-.")


def how_to_read(found: Analysis) -> str:
    """What the columns of every summary table mean."""
    names = {name for of in found.summaries.values() for name in of}
    covers = "other seeds (trainings, draws of the corruption) and other test samples"
    if len(found.section.seeds) == 1:
        covers = "other test samples only: one seed says nothing of other trainings"
    words = [f"±: half the 95 % interval, for {covers}"]
    words += ["AUILC: area under the curve, per unit of its axis"] if "auilc" in names else []
    words += ["kept: worst level / clean"] if "retention" in names else []
    words += [f"reach: share of the way from {MEAN} to oracle"] if "reached" in names else []
    if found.differences:
        words.append(
            f"Δ: difference from {CONTROL} of the same regime on the same samples; its interval is Holm-corrected over "
            "all rows and metrics shown, ≈ where it holds zero"
        )
    words.append("rank: best to worst that is possible, where pairs are told apart at 5 % (Holm over all pairs)")
    return f"{'; '.join(words)}."


def _power(found: Analysis, metric: Metric) -> tuple[str, ...]:
    """What differences could have been found."""
    powers = np.array([d.detectable for (name, _), d in found.differences.items() if name == metric.name])
    if not np.isfinite(powers).any():
        return ()
    seeds, samples = len(found.section.seeds), found.section.samples
    least = metric.show(float(np.nanmedian(powers)))
    return (
        f"with {seeds} seed{'s' * (seeds > 1)} and {samples} samples a difference from {CONTROL} is found 8 times in "
        f"10 from {least} on, before correction (median of the rows)",
    )


def runs_table(found: Analysis) -> Table:
    """Interquartile means over runs (seed × level) and the probability that a run beats the control's."""
    section = found.section
    head, columns = ["model"], [[row.name for row in section.rows]]
    for s in found.scores:
        head += [s.metric.name, "P"]
        columns.append([s.metric.show(x) for x in interquartile_means(section, s)])
        columns.append([shown(x, ".2f") for x in improvement_probabilities(section, s)])
    note = (
        "in the manner of rliable (Agarwal et al. 2021): mean of the middle half of runs; P: probability that a run "
        f"is better than one of {CONTROL} at the same level, ties half"
    )
    title = "Across runs (seed × level): interquartile means"
    return without_empty(Table(title, tuple(head), tuple(zip(*columns, strict=True)), (note,), oracle_rows(section)))


def profile_table(found: Analysis) -> Table | None:
    """Performance profile: the share of runs that goes further than so far from `mean` to the oracle, in MAE."""
    for s in found.scores:
        shares = oracle_profile(found.section, s) if s.metric.name == "mae" else None
        if shares is not None:
            names = [row.name for row in found.section.rows]
            rows = tuple((name, *(f"{100 * x:.0f}" for x in of)) for name, of in zip(names, shares, strict=True))
            head = ("model", *(f">{100 * t:.0f} %" for t in THRESHOLDS))
            title = "Performance profile: % of runs that go further than so much of the way from mean to oracle in MAE"
            return Table(title, head, rows, (), oracle_rows(found.section))
    return None


def specialist_table(found: Analysis, scores: Scores) -> Table | None:
    """One checkpoint minus specialists: regime spectrum minus matched per level, for models trained in both."""
    section, metric = found.section, scores.metric
    both = [
        (row.model, one, many)
        for row in section.rows
        if row.regime == "spectrum"
        and (one := section.find(row.model, "spectrum")) is not None
        and (many := section.find(row.model, "matched")) is not None
    ]
    if not both:
        return None
    rows = []
    for model, one, many in both:
        gap = scores.values[one] - scores.values[many]  # (S, C)
        levels = mean_of_defined(section.levels.means(gap))
        mean = mean_of_defined(gap.mean(-1))
        rows.append((model, *map(metric.show_change, levels), metric.show_change(float(mean))))
    better = "positive" if metric.better == "higher" else "negative"
    notes = (f"{better}: one checkpoint is better than a specialist for each level", *section.levels.notes)
    title = f"{metric.name}{', points' if metric.unit == '%' else ''}: spectrum minus matched"
    return fitted(Table(title, ("model", *section.levels.labels, "mean"), tuple(rows), notes))


def oracle_rows(section: Section) -> tuple[str, ...]:
    """Names of the rows that are no contestants."""
    return tuple(row.name for row in section.rows if row.is_oracle)


def _unit(metric: Metric) -> str:
    return ", %" if metric.unit == "%" else ""


def _undefined(scores: Scores) -> tuple[str, ...]:
    if not scores.undefined:
        return ()
    return (
        f"{scores.metric.name} is undefined in {scores.undefined} (model, seed, draw, level): –, as is what needs it",
    )
