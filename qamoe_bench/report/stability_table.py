"""The table of a stability analysis: how many comparisons each choice changes, and which ones in sentences."""

from collections.abc import Iterator

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.stability import stability
from qamoe_bench.report.table import Table, counted

SENTENCES = 40
"""Pairs that are described; a table of many rows has more than anybody reads."""


def stability_tables(analysis: Analysis) -> Iterator[Table]:
    """One table per metric of the analysis that has at least two rows with a value."""
    for scores in analysis.scores:
        table = stability_table(analysis, scores.metric.name)
        if table is not None:
            yield table


def stability_table(analysis: Analysis, metric: str) -> Table | None:
    """The table of one metric; None where there is nothing to compare."""
    result = stability(analysis.section, analysis.dialect, metric)
    pairs = len(result.reported)
    if not pairs:
        return None
    rows = []
    for choice in result.choices:
        verdicts = len(result.changed_verdicts(choice))
        orders = len(result.changed_orders(choice))
        rows.append((choice.name, str(len(choice.comparisons)), str(verdicts), str(orders)))
    sentences = list(result.sentences())
    notes = [
        "pairs of rows in the mean over levels; verdicts: pairs in which one row is significantly better (Holm over "
        "all pairs) in one case and not in the other; order: pairs whose better row changes, significant or not",
    ]
    if len(analysis.section.seeds) == 2:
        notes.append("with one of two seeds left out, intervals do not cover the variance between trainings")
    if not result.choices:
        notes.append("one seed, one draw and one level: nothing can be left out")
    elif not sentences:
        notes.append(f"all verdicts and orders of {counted(pairs, 'pair')} are the same under every choice")
    notes += sentences[:SENTENCES]
    if len(sentences) > SENTENCES:
        notes.append(f"and {len(sentences) - SENTENCES} more pairs; --model shows fewer rows")
    head = ("choice", "pairs", "verdicts changed", "order changed")
    return Table(f"Stability of the comparisons in {metric}", head, tuple(rows), tuple(notes))
