"""What an audit found, as tables."""

from qamoe_bench.curation.audit import Audit
from qamoe_bench.report.table import Chapter, Table


def audit_chapter(found: Audit) -> Chapter:
    """All of it, for a reader."""
    low, high = found.label_range
    lines = [
        f"format: {found.format}",
        f"known as: {found.known or 'none of the files whose hash is published'}",
        f"labels from {low:g} to {high:g}; raw text: {'yes' if found.raw_text else 'no'}; digest {found.digest[:12]}",
        *(f"reading: {note}" for note in found.notes),
        *(f"left as it is: {warning}" for warning in found.warnings),
    ]
    if not found.notes and not found.warnings:
        lines.append("reading mends nothing, and there is nothing to warn of")
    return Chapter(f"{found.name} ({found.path})", tuple(lines), (_features(found), _labels(found)))


def _features(found: Audit) -> Table:
    rows = tuple(
        (
            f"{f.split} {f.modality}", "×".join(map(str, f.shape)), f.dtype, f"{f.shortest}", f"{f.median:g}",
            f"{f.longest}", f"{f.absent}", _percent(f.nan), _percent(f.infinite), _percent(f.zero), f.padding,
        )
        for f in found.features
    )  # fmt: skip
    head = (
        "", "shape", "dtype", "shortest", "median", "longest", "absent", "NaN %", "inf %", "zero %", "padding",
    )  # fmt: skip
    notes = (
        "shape, dtype, padding and the shares of frames with NaN, with infinities and of nothing but zeros are the "
        "file's, padding counted; lengths in frames are those that reading finds, absent counts samples that lack the "
        "modality",
    )
    return Table("Features", head, rows, notes)


def _labels(found: Audit) -> Table:
    points = tuple(found.labels[0].histogram)
    rows = tuple(
        (part.split, str(part.samples), f"{part.mean:.3f}", str(part.zero), *map(str, part.histogram.values()))
        for part in found.labels
    )
    notes = ("a column per point of the scale: how many labels are nearest to it; =0: how many are exactly 0",)
    return Table("Labels", ("", "samples", "mean", "=0", *points), rows, notes)


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share else "–"
