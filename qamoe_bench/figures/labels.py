"""Names and units of axes."""

from qamoe_bench.metrics.catalogue import Metric

METRIC_NAMES = {
    "acc2_has0": "ACC2, all labels", "acc2_non0": "ACC2, labels ≠ 0", "f1_has0": "F1, all labels",
    "f1_non0": "F1, labels ≠ 0", "acc3": "ACC3", "acc5": "ACC5", "acc7": "ACC7", "mae": "MAE",
    "corr": "Pearson correlation",
}  # fmt: skip
LEVEL_NAMES = {
    "eta": "nominal missing rate η (share)",
    "lambda": "nominal corruption level λ (no unit)",
    "s": "shift s (share of the length)",
}


def metric_name(metric: Metric) -> str:
    """A metric as people call it."""
    return METRIC_NAMES.get(metric.name, metric.name)


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


def level_label(axis: str) -> str:
    """The axis of a sweep."""
    return LEVEL_NAMES.get(axis, f"{axis} (level, no unit)")
