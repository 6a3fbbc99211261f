"""The ranking of one metric, for the page's script: a value with its interval per row, and the answers in words."""

from collections.abc import Mapping
from typing import Any

from qamoe_bench.analysis.comparisons import PairDifferences
from qamoe_bench.analysis.section import MEAN, Row, Section
from qamoe_bench.analysis.standing import standing
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.answers import rounded_count, three_answers
from qamoe_bench.page.cost import parameter_count
from qamoe_bench.page.figure import json_numbers
from qamoe_bench.page.sentences import ALL_REGIMES, own_regime, regimes_of, rows_of_regime
from qamoe_bench.report.metric_tables import value_with_interval
from qamoe_bench.statistics.intervals import Estimate


def row_facts(section: Section) -> list[dict[str, Any]]:
    """What the page needs to know about each row, apart from its values."""
    names = {row.model: row.name for row in section.rows}
    return [_facts(row, names) for row in section.rows]


def _facts(row: Row, names: Mapping[str, str]) -> dict[str, Any]:
    size = parameter_count(row)
    time = row.microseconds_per_sample
    base = base_model(row.model, names)
    role = "oracle" if row.is_limit else "floor" if row.model == MEAN else ""
    return {
        "name": row.name,
        "short": short_name(row.name, row.regime),
        "base": base,
        "variant": base != row.model,
        "regime": own_regime(row),
        "role": role,
        # For sorting and for reading; a size or time of 0 is unknown.
        "cost": [size or None, time or None],
        "costs": [rounded_count(size) if size else "–", f"{time:.3g}" if time else "–"],
        "seeds": len(row.seeds),
    }


def short_name(name: str, regime: str) -> str:
    """The name of a row without its regime, for places that show one regime only."""
    return name.removesuffix(f" ({regime})")


def base_model(model: str, known: Mapping[str, str]) -> str:
    """The model that a variant such as `name:k=1` is listed under: the longest prefix that is a row itself."""
    # A model named by its module holds a colon too, so a prefix counts only if it is there.
    parts = model.split(":")
    for end in range(1, len(parts)):
        prefix = ":".join(parts[:end])
        if prefix in known:
            return prefix
    return model


def board(section: Section, metric: Metric, mean: Estimate, differences: PairDifferences) -> dict[str, Any]:
    """The ranking of one metric in every regime.

    Args:
        section: Its rows.
        metric: The metric.
        mean: Its mean over the sweep, by row.
        differences: Of `qamoe_bench.analysis.comparisons.pairwise_differences`.
    """
    low, high = mean.interval()
    ranks = {}
    answers = {}
    for regime in (ALL_REGIMES, *regimes_of(section)):
        order = standing(section, metric, mean.value, differences, rows_of_regime(section, regime))
        ranks[regime] = [_rank(order.ranks.get(i)) for i in range(len(section.rows))]
        shown = [short_name(row.name, regime) for row in section.rows]
        answers[regime] = [[a.short, a.detail] for a in three_answers(section, metric, mean, order, shown.__getitem__)]
    return {
        "value": json_numbers(mean.value, metric.scale),
        "low": json_numbers(low, metric.scale),
        "high": json_numbers(high, metric.scale),
        "text": [value_with_interval(metric, mean, i) for i in range(len(section.rows))],
        "sign": metric.sign,
        "ranks": ranks,
        "answers": answers,
    }


def _rank(rank: tuple[int, int] | None) -> str:
    """`2`, or `1–3` where ranks 1 to 3 are not distinguished."""
    if rank is None:
        return ""
    best, worst = rank
    return str(best) if best == worst else f"{best}–{worst}"
