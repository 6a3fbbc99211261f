"""The result of an inspection as tables."""

from qamoe_bench.curation.audit import Audit
from qamoe_bench.report.table import Chapter, Table
from qamoe_bench.vocabulary import MODALITIES


def audit_chapter(audit: Audit) -> Chapter:
    """All results of an inspection, for a reader."""
    raw_text = "yes" if audit.raw_text else "no"
    lines = [
        f"format: {audit.format}",
        f"known as: {audit.known or 'none of the files whose hash is published'}",
        f"{_modalities_in_words(audit)}; {_labels_in_words(audit)}; raw text: {raw_text}; digest "
        f"{audit.digest[:12] or 'none'}",
        *([f"error: {audit.defect}"] if audit.defect else ()),
        *(f"reading: {note}" for note in audit.notes),
        *(f"warning: {warning}" for warning in audit.warnings),
    ]
    if not audit.notes and not audit.warnings and not audit.defect:
        lines.append("reading repairs nothing, and there are no warnings")
    tables = [_stored_table(audit), _lengths_table(audit)]
    if audit.labels:
        is_scale = audit.task.is_regression or audit.defect
        tables.append(_labels_table(audit) if is_scale else _classes_table(audit))
    return Chapter(f"{audit.name} ({audit.path})", tuple(lines), tuple(tables))


def _modalities_in_words(audit: Audit) -> str:
    stored = {f.modality for f in audit.features}
    missing = [m for m in MODALITIES if m not in stored]
    present = ", ".join(m for m in MODALITIES if m in stored) or "no modality"
    return f"{present}; without {' and '.join(missing)}" if missing and stored else present


def _labels_in_words(audit: Audit) -> str:
    if audit.labels and not (audit.task.is_regression or audit.defect):
        kind = "classes, one per sample" if audit.task.kind == "classes" else "labels, any number per sample"
        return f"{len(audit.task.names)} {kind}"
    if audit.label_range is None:
        return "labels: not readable"
    low, high = audit.label_range
    return f"labels as stored from {low:g} to {high:g}" if audit.defect else f"labels from {low:g} to {high:g}"


def _stored_table(audit: Audit) -> Table:
    rows = []
    for f in audit.features:
        shape = "×".join(map(str, f.shape))
        shares = (_percent(f.nan), _percent(f.infinite), _percent(f.zero))
        rows.append((f"{f.split} {f.modality}", shape, f.dtype, *shares, f.padding))
    header = ("", "shape", "dtype", "NaN %", "inf %", "zero %", "padding")
    note = "shares of frames with NaN, with infinities, and of frames of zeros only, padding included"
    return Table("Features as stored", header, tuple(rows), (note,))


def _lengths_table(audit: Audit) -> Table:
    rows = []
    for f in audit.features:
        rows.append((f"{f.split} {f.modality}", f"{f.shortest}", f"{f.median:g}", f"{f.longest}", f"{f.absent}"))
    note = "valid frames of samples that have the modality, after reading; absent: samples that lack it"
    return Table("Lengths in frames", ("", "shortest", "median", "longest", "absent"), tuple(rows), (note,))


def _labels_table(audit: Audit) -> Table:
    points = tuple(audit.labels[0].histogram)  # the same for all splits
    rows = []
    for part in audit.labels:
        counts = map(str, part.histogram.values())
        rows.append((part.split, str(part.samples), f"{part.mean or 0.0:.3f}", str(part.zero), *counts))
    note = "a column per point of the scale: labels that are nearest to it; =0: labels that are exactly 0"
    return Table("Labels", ("", "samples", "mean", "=0", *points), tuple(rows), (note,))


def _classes_table(audit: Audit) -> Table:
    """A row per class, since names are long and may be many."""
    rows = []
    for name in audit.task.names:
        cells = []
        for part in audit.labels:
            count = part.histogram[name]
            cells += [str(count), _percent(count / part.samples)]
        rows.append((name, *cells))
    header = ["", *(head for part in audit.labels for head in (part.split, "%"))]
    one = audit.task.kind == "classes"
    note = "samples of each class" if one else "samples for which each label holds; several may hold, or none"
    return Table("Classes" if one else "Labels", tuple(header), tuple(rows), (note,))


def _percent(share: float) -> str:
    return f"{100 * share:.1f}" if share else "–"
