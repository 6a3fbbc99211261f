"""Labels of metrics and of their differences, with units and directions."""

from qamoe_bench import vocabulary
from qamoe_bench.metrics.catalogue import Metric


def metric_name(metric: Metric) -> str:
    """A metric as people call it."""
    return vocabulary.metric_label(metric.name)


def unit(metric: Metric) -> str:
    """Its unit, in words where it has none."""
    return metric.unit or "no unit"


def metric_label(metric: Metric) -> str:
    """Name, unit and direction."""
    return f"{metric_name(metric)} ({unit(metric)}; {metric.better} is better)"


def difference_label(metric: Metric, other: str) -> str:
    """A difference from another row."""
    return f"Δ {metric_name(metric)} from {other} ({change_unit(metric)})"


def change_unit(metric: Metric) -> str:
    """The unit of a difference: of shares, points."""
    return "points" if metric.unit == "%" else unit(metric)
