"""Labels of metrics and of their differences for the axes of figures, with units and directions."""

from qamoe_bench.metrics.catalogue import Metric
from qamoe_bench.vocabulary import metric_label


def metric_name(metric: Metric) -> str:
    """A metric as people write it."""
    return metric_label(metric.name)


def unit_label(metric: Metric) -> str:
    """The unit of a metric; empty for correlations, which have none."""
    return metric.unit


def metric_axis_label(metric: Metric) -> str:
    """Name, unit and direction of a metric."""
    better = f"{metric.better} is better"
    return f"{metric_name(metric)} ({f'{metric.unit}, {better}' if metric.unit else better})"


def difference_label(metric: Metric, other: str) -> str:
    """A difference from another row."""
    unit = change_unit(metric)
    return f"{metric_name(metric)} (difference from {other}{f', {unit}' if unit else ''})"


def change_unit(metric: Metric) -> str:
    """The unit of a difference; differences of percentages are in points."""
    return "points" if metric.unit == "%" else unit_label(metric)
