"""The headline of a chapter: the best row in each metric, in one sentence."""

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.page.figure import comma_list


def headline(analysis: Analysis) -> str:
    """The best row in the mean over the sweep for each metric, and whether its lead is significant."""
    leads = []
    for scores in analysis.scores:
        # Rows that may be the best, given the significant differences.
        leaders = np.flatnonzero(analysis.rankings[scores.metric.name].best[:, -1] == 1).tolist()
        if leaders:
            leads.append(_lead(analysis, scores.metric, leaders))
    if not leads:
        return "There is one row, so there is nothing to rank."
    return f"Best over the sweep: {'; '.join(leads)}."


def _lead(analysis: Analysis, metric: Metric, leaders: list[int]) -> str:
    rows = analysis.section.rows
    value = analysis.summaries[metric.name]["mean"].estimate().value  # (M,)
    # The best estimate among them.
    best = max(leaders, key=lambda i: metric.sign * value[i])
    amount = metric.show(float(value[best]))
    if metric.unit == "%":
        amount += " %"
    # Rows that share rank 1 with the best.
    tied = [rows[i].name for i in leaders if i != best]
    verdict = "significantly better than all others"
    if tied:
        verdict = f"not significantly better than {comma_list(tied)}"
    return f"in {metric.name} {rows[best].name} with {amount}, {verdict}"
