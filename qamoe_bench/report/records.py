"""An analysis as flat records, one number each: what `--format json` and `--format csv` print, for programs.

Every record has the keys of `KEYS`. `statistic` says what the number is: `value` under one condition; `mean`, `auilc`,
`worst`, `retention` or `reached` over the sweep (see `qamoe_bench.analysis.summaries`); `difference` from the control
(Holm-corrected ends, and `p` before correction); `rank` (`low` and `high`: the best and worst that are possible);
`interquartile_mean` and `probability_of_improvement` over runs (see `qamoe_bench.analysis.runs`);
`shuffled` or `averaged`, what a metric gains with foreign quality scores; `audit`. A value that is undefined is null.
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.audits import COVERAGE
from qamoe_bench.analysis.runs import improvement_probabilities, interquartile_means
from qamoe_bench.analysis.scores import Scores
from qamoe_bench.analysis.section import CONTROL, Row

KEYS = (
    "dataset", "protocol", "dialect", "regime", "model", "row", "condition", "level", "statistic", "metric", "value",
    "low", "high", "p", "against", "seeds", "samples",
)  # fmt: skip
NUMBERS = ("level", "value", "low", "high", "p")
Record = dict[str, Any]


def records(found: Iterable[Analysis]) -> Iterator[Record]:
    """Every number of every analysis."""
    return (record for analysis in found for record in _records(analysis))


def as_json(found: Iterable[Analysis]) -> str:
    """A list of objects; no NaN, for programs refuse it."""
    # The encoder indents many times slower than it writes; records are flat, so that separators can do it.
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",\n  ", ": ")).encode
    return "[\n" + ",\n".join(f" {{\n  {encode(record)[1:-1]}\n }}" for record in records(found)) + "\n]\n"


def as_csv(found: Iterable[Analysis]) -> str:
    """One line per record, empty where a value is undefined."""
    text = io.StringIO()
    writer = csv.DictWriter(text, KEYS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(records(found))
    return text.getvalue()


def _records(found: Analysis) -> Iterator[Record]:
    for scores in found.scores:
        yield from _by_condition(found, scores)
        yield from _summaries(found, scores)
        yield from _differences(found, scores)
        yield from _ranks(found, scores)
        yield from _across_runs(found, scores)
    yield from _audits(found)


def _record(found: Analysis, row: Row, statistic: str, metric: str, value: float, **more: Any) -> Record:
    own = {
        "dataset": found.section.dataset, "protocol": found.section.protocol, "dialect": found.dialect.name,
        "regime": row.regime, "model": row.model, "row": row.name, "statistic": statistic, "metric": metric,
        "value": value, "seeds": len(row.seeds), "samples": found.section.samples,
    }  # fmt: skip
    filled = dict.fromkeys(KEYS) | own | more
    for key in NUMBERS:
        if isinstance(number := filled[key], float):
            filled[key] = float(number) if math.isfinite(number) else None
    return filled


def _by_condition(found: Analysis, scores: Scores) -> Iterator[Record]:
    section = found.section
    facts = section.cells[0].facts.conditions
    numbers = scores.estimate()  # (M, C)
    low, high = numbers.interval()
    for i, row in enumerate(section.rows):
        for k, condition in enumerate(facts):
            levels = list(condition["levels"].values())
            yield _record(
                found, row, "value", scores.metric.name, numbers.value[i, k], low=low[i, k], high=high[i, k],
                condition=condition["name"], level=levels[0] if len(levels) == 1 else None,
            )  # fmt: skip


def _summaries(found: Analysis, scores: Scores) -> Iterator[Record]:
    for name, summary in found.summaries[scores.metric.name].items():
        numbers = summary.estimate()
        low, high = numbers.interval()
        for i, row in enumerate(found.section.rows):
            yield _record(found, row, name, scores.metric.name, numbers.value[i], low=low[i], high=high[i])


def _differences(found: Analysis, scores: Scores) -> Iterator[Record]:
    for (metric, i), d in found.differences.items():
        if metric == scores.metric.name:
            row = found.section.rows[i]
            yield _record(found, row, "difference", metric, d.value, low=d.low, high=d.high, p=d.p, against=CONTROL)


def _ranks(found: Analysis, scores: Scores) -> Iterator[Record]:
    ranks = found.rankings[scores.metric.name]
    for i, row in enumerate(found.section.rows):
        if low := int(ranks.best[i, -1]):
            high = int(ranks.worst[i, -1])
            yield _record(found, row, "rank", scores.metric.name, (low + high) / 2, low=low, high=high)


def _across_runs(found: Analysis, scores: Scores) -> Iterator[Record]:
    section, metric = found.section, scores.metric.name
    means, wins = interquartile_means(section, scores), improvement_probabilities(section, scores)
    for row, mean, chance in zip(section.rows, means, wins, strict=True):
        yield _record(found, row, "interquartile_mean", metric, mean)
        if np.isfinite(chance):
            yield _record(found, row, "probability_of_improvement", metric, chance, against=CONTROL)


def _audits(found: Analysis) -> Iterator[Record]:
    rows = {row.name: row for row in found.section.rows}
    for name, u in found.uncertainty.items():
        audits = {"nll": u.nll, "spearman_variance_error": u.rank, "ause": u.ause}
        audits |= {f"coverage_{100 * c:.0f}": share for c, share in zip(COVERAGE, u.covered.mean(0), strict=True)}
        yield from _audit(found, rows[name], audits.items())
    for name, of in found.quality.items():
        for m, q in of.items():
            audits = {f"spearman_quality_corruption_{m}": q.corruption, f"spearman_quality_scatter_{m}": q.scatter}
            yield from _audit(found, rows[name], audits.items())
    for name, changes in found.intervention_effects.items():
        for statistic, change in changes.items():
            low, high = change.interval()
            for k, s in enumerate(found.scores):
                yield _record(
                    found, rows[name], statistic, s.metric.name, change.value[k], low=low[k], high=high[k]
                )  # fmt: skip
    for name, use in found.experts.items():
        yield from _audit(found, rows[name], ((f"experts_in_use_{m}", n) for m, n in use.items()))


def _audit(found: Analysis, row: Row, values: Iterable[tuple[str, float]]) -> Iterator[Record]:
    for metric, value in values:
        yield _record(found, row, "audit", metric, value)
