"""Phrases that the captions of several kinds of figures share."""

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.report.table import counted


def seed_count(analysis: Analysis) -> str:
    """The number of seeds, in words."""
    return counted(len(analysis.section.seeds), "seed")


def interval_scope(analysis: Analysis) -> str:
    """The sources of variation that 95 % intervals cover."""
    return "seeds and test samples" if len(analysis.section.seeds) > 1 else "test samples only"


def place(analysis: Analysis) -> str:
    """Protocol and data set."""
    return f"{analysis.section.protocol} on {analysis.section.dataset}"
