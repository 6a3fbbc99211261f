"""Analyses as flat records, one number each: the output of `--format json` and `--format csv`, for programs.

Every record has the keys of `RECORD_KEYS`. `statistic` names the number: `value` under one condition; `mean`, `auilc`,
`worst`, `retention` or `reached` over the sweep (see `qamoe_bench.analysis.summaries`); `difference` from the control
(with Holm-corrected ends, and `p` before correction); `rank` (`low` and `high`: the best and worst possible rank);
`interquartile_mean` and `probability_of_improvement` over runs (see `qamoe_bench.analysis.runs`);
`shuffled`, `averaged`, `constant`, `reversed` or `true_order`, the change of a metric under modified quality scores;
`permuted` (with 95 % of the permutations and `p`) and `presence`, the two parts of that change, by definitions of the
dialect `mmsa`; `audit`. Undefined values are null. `clusters` is the number of clusters of the test samples, null where
they are independent. Keys and names of statistics are a stable interface.
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
from qamoe_bench.report.escaping import escaped_for_csv
from qamoe_bench.statistics.intervals import mean_of_defined

# In the order of the columns of the CSV.
RECORD_KEYS = (
    "dataset", "protocol", "dialect", "regime", "model", "row", "condition", "level", "statistic", "metric", "value",
    "low", "high", "p", "against", "seeds", "samples", "clusters",
)  # fmt: skip
NUMBERS = ("level", "value", "low", "high", "p")
Record = dict[str, Any]


def records(analyses: Iterable[Analysis]) -> Iterator[Record]:
    """Every number of every analysis."""
    for analysis in analyses:
        yield from _records(analysis)


def as_json(analyses: Iterable[Analysis]) -> str:
    """A list of objects; undefined values are null because many parsers reject NaN."""
    # json's indentation falls back to a slow Python encoder; records are flat, so separators can do the layout.
    encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",\n  ", ": ")).encode
    objects = (f" {{\n  {encode(record)[1:-1]}\n }}" for record in records(analyses))
    return "[\n" + ",\n".join(objects) + "\n]\n"


def as_csv(analyses: Iterable[Analysis]) -> str:
    """One line per record; undefined values are empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, RECORD_KEYS, lineterminator="\n")  # not \r\n, so that files are equal on all systems
    writer.writeheader()
    for record in records(analyses):
        writer.writerow({key: escaped_for_csv(v) if isinstance(v, str) else v for key, v in record.items()})
    return text.getvalue()


def _records(analysis: Analysis) -> Iterator[Record]:
    for scores in analysis.scores:
        yield from _by_condition(analysis, scores)
        yield from _summaries(analysis, scores)
        yield from _differences(analysis, scores)
        yield from _ranks(analysis, scores)
        yield from _across_runs(analysis, scores)
    yield from _uncertainty_audits(analysis)
    yield from _quality_audits(analysis)
    yield from _intervention_effects(analysis)
    yield from _permutation_tests(analysis)
    yield from _expert_audits(analysis)


def _record(analysis: Analysis, row: Row, statistic: str, metric: str, value: float, **more: Any) -> Record:
    own = {
        "dataset": analysis.section.dataset, "protocol": analysis.section.protocol, "dialect": analysis.dialect.name,
        "regime": row.regime, "model": row.model, "row": row.name, "statistic": statistic, "metric": metric,
        "value": value, "seeds": len(row.seeds), "samples": analysis.section.samples,
        "clusters": analysis.section.clusters.count if analysis.section.clusters else None,
    }  # fmt: skip
    filled = dict.fromkeys(RECORD_KEYS) | own | more  # the first operand gives the order of the keys
    for key in NUMBERS:
        number = filled[key]
        if isinstance(number, float):  # includes NumPy's, which json cannot encode
            filled[key] = float(number) if math.isfinite(number) else None
    return filled


def _by_condition(analysis: Analysis, scores: Scores) -> Iterator[Record]:
    section = analysis.section
    conditions = section.cells[0].facts.conditions
    estimate = scores.estimate()  # (M, C)
    low, high = estimate.interval()
    for i, row in enumerate(section.rows):
        for k, condition in enumerate(conditions):
            levels = list(condition["levels"].values())
            yield _record(
                analysis, row, "value", scores.metric.name, estimate.value[i, k], low=low[i, k], high=high[i, k],
                condition=condition["name"],
                level=levels[0] if len(levels) == 1 else None,  # on a plane, the name has both
            )  # fmt: skip


def _summaries(analysis: Analysis, scores: Scores) -> Iterator[Record]:
    for name, summary in analysis.summaries[scores.metric.name].items():
        estimate = summary.estimate()  # (M,)
        low, high = estimate.interval()
        for i, row in enumerate(analysis.section.rows):
            yield _record(analysis, row, name, scores.metric.name, estimate.value[i], low=low[i], high=high[i])


def _differences(analysis: Analysis, scores: Scores) -> Iterator[Record]:
    metric = scores.metric.name
    for i, d in analysis.differences[metric].items():
        row = analysis.section.rows[i]
        yield _record(analysis, row, "difference", metric, d.value, low=d.low, high=d.high, p=d.p, against=CONTROL)


def _ranks(analysis: Analysis, scores: Scores) -> Iterator[Record]:
    ranks = analysis.rankings[scores.metric.name]
    for i, row in enumerate(analysis.section.rows):
        best = int(ranks.best[i, -1])  # the last column is the mean over conditions; 0: the row has no rank
        if best:
            worst = int(ranks.worst[i, -1])
            yield _record(analysis, row, "rank", scores.metric.name, (best + worst) / 2, low=best, high=worst)


def _across_runs(analysis: Analysis, scores: Scores) -> Iterator[Record]:
    section = analysis.section
    metric = scores.metric.name
    means = interquartile_means(section, scores)
    probabilities = improvement_probabilities(section, scores)
    for row, mean, probability in zip(section.rows, means, probabilities, strict=True):
        yield _record(analysis, row, "interquartile_mean", metric, mean)
        if np.isfinite(probability):
            yield _record(analysis, row, "probability_of_improvement", metric, probability, against=CONTROL)


def _uncertainty_audits(analysis: Analysis) -> Iterator[Record]:
    for name, audit in analysis.uncertainty.items():
        is_regression = analysis.section.task.is_regression
        uncertain, covered = ("variance", "coverage") if is_regression else ("entropy", "right")
        values = {"nll": audit.nll, f"spearman_{uncertain}_error": audit.rank, "ause": audit.ause}
        if not is_regression:
            values["risk_coverage"] = audit.risk
        for nominal, share in zip(COVERAGE, mean_of_defined(audit.covered), strict=True):
            values[f"{covered}_{100 * nominal:.0f}"] = share
        yield from _audit(analysis, name, values.items())


def _quality_audits(analysis: Analysis) -> Iterator[Record]:
    for name, by_modality in analysis.quality.items():
        for m, audit in by_modality.items():
            values = {
                f"spearman_quality_corruption_{m}": audit.corruption,
                f"spearman_quality_scatter_{m}": audit.scatter,
                f"auroc_quality_{m}": audit.separation,
                f"auroc_quality_present_{m}": audit.separation_present,
            }
            for confounder, rho in audit.confounders.items():
                values[f"spearman_quality_{confounder}_{m}"] = rho
            yield from _audit(analysis, name, values.items())


def _intervention_effects(analysis: Analysis) -> Iterator[Record]:
    rows = _rows_by_name(analysis)
    for name, effects in analysis.intervention_effects.items():
        for statistic, effect in effects.items():
            low, high = effect.interval()  # one per metric
            for k, scores in enumerate(analysis.scores):
                metric = scores.metric.name
                yield _record(analysis, rows[name], statistic, metric, effect.value[k], low=low[k], high=high[k])


def _permutation_tests(analysis: Analysis) -> Iterator[Record]:
    rows = _rows_by_name(analysis)
    metrics = {scores.metric.name for scores in analysis.scores}
    for name, tests in analysis.permutation_tests.items():
        for t in (test for test in tests if test.count and test.metric in metrics):
            yield _record(analysis, rows[name], "permuted", t.metric, t.quality, low=t.low, high=t.high, p=t.p)
            yield _record(analysis, rows[name], "presence", t.metric, t.presence)


def _expert_audits(analysis: Analysis) -> Iterator[Record]:
    for name, by_modality in analysis.experts.items():
        yield from _audit(analysis, name, ((f"experts_in_use_{m}", number) for m, number in by_modality.items()))


def _audit(analysis: Analysis, name: str, values: Iterable[tuple[str, float]]) -> Iterator[Record]:
    row = _rows_by_name(analysis)[name]
    for metric, value in values:
        yield _record(analysis, row, "audit", metric, value)


def _rows_by_name(analysis: Analysis) -> dict[str, Row]:
    return {row.name: row for row in analysis.section.rows}
