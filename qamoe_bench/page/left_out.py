"""Explanations for the parts of a chapter that cannot be drawn."""

from collections.abc import Iterable, Mapping

from qamoe_bench.page.figure import Figure

# By kind of figure
REASONS: Mapping[str, str] = {
    "landscape": "The landscape is omitted: it needs a protocol with two axes, such as mixed.",
    "modalities": "Sensitivity to each modality is omitted: it needs samples that lose whole modalities while the "
    "others stay uncorrupted, as under fixed-missing and random-missing.",
    "significance": "The matrix of differences is omitted: there is only one row to compare.",
    "cost": "Cost against quality is omitted: fewer than two models have a measured time or a number of parameters.",
    "quality": "Quality scores are omitted: no model of this protocol predicts any.",
    "calibration": "Calibration is omitted: no model of this protocol predicts a variance or probabilities.",
}
WITHOUT_SAMPLES = (
    "Individual samples are omitted: there is neither an uncorrupted condition nor a control to compare with."
)


def reasons_left_out(figures: Iterable[Figure], has_samples: bool) -> tuple[str, ...]:
    """One sentence for each part of a chapter that is missing.

    Args:
        figures: The figures that were drawn, in one dialect.
        has_samples: Whether individual samples are shown.
    """
    kinds = {figure.kind for figure in figures}
    reasons = [reason for kind, reason in REASONS.items() if kind not in kinds]
    if not has_samples:
        reasons.append(WITHOUT_SAMPLES)
    return tuple(reasons)
