"""What knowing the quality of a sample is worth, in a sentence above the table of the report."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.quality_value import QualityValue, quality_value
from qamoe_bench.registry.limits import ASSUMING_CLEAN, BLIND, INFERRING
from qamoe_bench.report.quality_value_table import table_of_value
from qamoe_bench.report.table import Table
from qamoe_bench.vocabulary import metric_label

AGAINST: Mapping[str, str] = {
    INFERRING: "inferring it from the frames",
    BLIND: "seeing no sign of quality",
    ASSUMING_CLEAN: "taking every frame for uncorrupted",
}
"""What a predictor does that is not told the corruption."""


@dataclass(frozen=True)
class ValueOfQuality:
    """The part of a chapter about the value of knowing quality: its finding in words, and the table by level."""

    sentence: str
    table: Table


def value_of_quality(analysis: Analysis) -> ValueOfQuality | None:
    """The part about the first metric; None without the rows, see `qamoe_bench.analysis.quality_value`."""
    value = quality_value(analysis.section, analysis.headline)
    if value is None:
        return None
    return ValueOfQuality(_sentence(value), table_of_value(value, analysis.section.levels))


def _sentence(value: QualityValue) -> str:
    """The mean over the sweep of each value."""
    parts = []
    for name, loss in value.losses.items():
        low, high = loss.interval()
        if np.isfinite(loss.value[-1]):
            remark = "" if low[-1] > 0 or high[-1] < 0 else " (not significant)"
            parts.append(f"{value.metric.show_change(float(loss.value[-1]))} against {AGAINST[name]}{remark}")
    label = metric_label(value.metric.name)
    if not parts:
        return f"The best predictors have no {label} under every condition."
    return f"Knowing the corruption of each sample is worth, in mean {label}, {', '.join(parts)}; above 0 it helps."
