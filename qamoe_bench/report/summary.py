"""The summary of a protocol: which model is most robust, whether that is significant, and what it costs.

Dimension legend: M rows, C conditions, P pairs of rows.
"""

from collections.abc import Sequence

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.comparisons import ranking
from qamoe_bench.analysis.scores import Scores, over_conditions
from qamoe_bench.analysis.section import MEAN, Row
from qamoe_bench.analysis.standing import Standing, standing
from qamoe_bench.report.audit_tables import parameters_in_short
from qamoe_bench.report.metric_tables import (
    level_table,
    oracle_rows,
    percent_sign,
    undefined_notes,
    value_with_interval,
)
from qamoe_bench.report.table import Table, counted, shown, sorted_by, without_empty

MAX_LEADERS = 3  # names in the verdict; further ones are counted


def names_by_rank(analysis: Analysis) -> list[str]:
    """Names of all rows, best mean of the headline metric first; then those without a value, then the limits."""
    scores = analysis.headline
    means = scores.means(over_conditions)  # (M,)
    rows = analysis.section.rows

    def place(i: int) -> tuple[int, float]:
        loss = -scores.metric.sign * float(means[i])
        return rows[i].is_limit + rows[i].is_oracle, loss if np.isfinite(loss) else np.inf

    return [rows[i].name for i in sorted(range(len(rows)), key=place)]


def summary_tables(analysis: Analysis) -> tuple[Table, ...]:
    """Ranking, headline metric by level, and the means of all other metrics."""
    names = names_by_rank(analysis)
    levels = sorted_by(names, level_table(analysis, analysis.headline))
    others = _other_metrics(analysis)
    return (ranking_table(analysis), levels, *([sorted_by(names, others)] if others else []))


def ranking_table(analysis: Analysis) -> Table:
    """One line per row, best first: mean with interval, rank, ends of the curve, share of the gap, and cost."""
    section = analysis.section
    scores = analysis.headline
    metric = scores.metric
    ranks = analysis.rankings[metric.name]
    summaries = {name: summary.estimate() for name, summary in analysis.summaries[metric.name].items()}
    clean = section.clean
    values = scores.means()  # (M, C)
    rows = []
    for i, row in enumerate(section.rows):
        mean = value_with_interval(metric, summaries["mean"], i)
        at_clean = "–" if clean is None else metric.show(float(values[i, clean]))
        worst = metric.show(float(summaries["worst"].value[i])) if "worst" in summaries else "–"
        gap = shown(100 * float(summaries["reached"].value[i]), ".0f") if "reached" in summaries else "–"
        rows.append((row.name, mean, ranks.show(i), at_clean, worst, gap, *_cost(row)))
    head = ("model", f"{metric.name} ±", "rank", "clean", "worst", "gap %", "parameters", "µs")
    is_first = ranks.is_first()[:, -1]  # (M,)
    best = frozenset((i, 1) for i in range(len(rows)) if is_first[i])
    name = f"{metric.name}{percent_sign(metric)}"
    title = f"Ranking by {name}, mean over all levels ({metric.better} is better: {metric.title})"
    table = Table(title, head, tuple(rows), (), oracle_rows(section), best)
    table = without_empty(sorted_by(names_by_rank(analysis), table))
    return Table(table.title, table.header, table.rows, (_legend(table.header),), table.reference, table.best)


def _cost(row: Row) -> tuple[str, str]:
    microseconds = row.microseconds_per_sample
    return parameters_in_short(row.cells[0].facts.parameters), shown(microseconds, ".3g") if microseconds else "–"


def _legend(header: Sequence[str]) -> str:
    """Explain the columns that there are."""
    parts = ["±: half of the 95 % interval"]
    explained = {
        "rank": "rank: best to worst rank that paired tests of all pairs allow (5 %, Holm-corrected)",
        "gap %": f"gap: share of the distance from {MEAN} to oracle that is closed",
        "µs": "µs: time of a forward pass per sample, measured in the run",
    }
    parts += [text for head, text in explained.items() if head in header]
    return "; ".join(parts)


def _other_metrics(analysis: Analysis) -> Table | None:
    """Means and ranks in all metrics but the first of the ranking."""
    section = analysis.section
    others = [scores for scores in analysis.scores if scores is not analysis.headline]
    if not others:
        return None
    head = ["model"]
    columns = [[row.name for row in section.rows]]
    best = set()
    notes: list[str] = []
    for scores in others:
        metric = scores.metric
        ranks = ranking(section, scores, by_level=False)
        if not np.isfinite(scores.values).any():  # its column is left out below
            notes += undefined_notes(analysis, scores)
        means = analysis.summaries[metric.name]["mean"].estimate()
        best |= {(int(i), len(head)) for i in np.flatnonzero(ranks.is_first()[:, -1])}
        head += [f"{metric.name}{percent_sign(metric)}", "rank"]
        columns.append([value_with_interval(metric, means, i) for i in range(len(section.rows))])
        columns.append([ranks.show(i) for i in range(len(section.rows))])
    rows = tuple(zip(*columns, strict=True))
    title = "Other metrics, mean over all levels"
    return without_empty(Table(title, tuple(head), rows, tuple(notes), oracle_rows(section), frozenset(best)))


def verdict(analysis: Analysis) -> str:
    """Which models lead, how many pairs differ significantly, how far the best is from the oracle, and its cost."""
    section = analysis.section
    scores = analysis.headline
    order = _standing(analysis, scores)
    if not order.pairs:
        return f"Fewer than two models have a mean {scores.metric.name} over all levels: there is nothing to compare."
    floor = section.find(MEAN)
    floor_may_lead = floor is not None and floor in order.ranks and order.ranks[floor][0] == 1
    models = order.leaders
    sentences = [_lead(scores, [section.rows[i].name for i in models], order)]
    if not floor_may_lead:
        sentences.append(_distance(analysis, scores))
    elif models:
        sentences.append(f"None of them is significantly better than {MEAN}, which ignores its inputs.")
    if 1 < len(models) <= MAX_LEADERS:
        sentences.append(_smallest([section.rows[i] for i in models]))
    if len(section.seeds) == 1:
        sentences.append("With one seed, the variation between trainings is not covered.")
    return " ".join(filter(None, sentences))


def _standing(analysis: Analysis, scores: Scores) -> Standing:
    section = analysis.section
    pairs = analysis.pairs[scores.metric.name]
    return standing(section, scores.metric, scores.means(over_conditions), pairs, range(len(section.rows)))


def _lead(scores: Scores, names: Sequence[str], order: Standing) -> str:
    metric = scores.metric
    counts = f"{order.significant} of {counted(order.pairs, 'pair')} of models differ significantly"
    if not names:
        return f"{MEAN}, which ignores its inputs, is significantly better than every model; {counts}."
    if not order.significant:
        return f"No model leads: the {len(order.models)} models do not differ significantly in {metric.name}."
    if len(names) == 1:
        return f"{names[0]} leads: its {metric.name} is significantly better than that of every other model; {counts}."
    if len(names) <= MAX_LEADERS:
        listed = f"{', '.join(names[:-1])} and {names[-1]}"
        return f"{listed} lead in {metric.name} and do not differ significantly; {counts}."
    more = f"{', '.join(names[:MAX_LEADERS])} and {len(names) - MAX_LEADERS} more"
    return f"No single model leads in {metric.name}: {more} do not differ significantly; {counts}."


def _distance(analysis: Analysis, scores: Scores) -> str:
    """How much of the distance to the oracle the best mean closes; empty without an oracle."""
    reached = analysis.summaries[scores.metric.name].get("reached")
    best = names_by_rank(analysis)[0]
    index = [row.name for row in analysis.section.rows].index(best)
    share = float(reached.estimate().value[index]) if reached else np.nan
    if not np.isfinite(share):
        return ""
    return f"The best mean, of {best}, closes {100 * share:.0f} % of the distance from {MEAN} to oracle."


def _smallest(rows: Sequence[Row]) -> str:
    """Which of some rows has the fewest parameters; empty if that is not known of all."""
    sizes = [row.cells[0].facts.parameters for row in rows]
    smallest = rows[int(np.argmin(sizes))]
    if not all(sizes) or sizes.count(min(sizes)) > 1:
        return ""
    return f"Of these, {smallest.name} has the fewest parameters ({parameters_in_short(min(sizes))})."
