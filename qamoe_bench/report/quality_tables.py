"""Tables of quality scores: what they tell about corruption, what else they follow, and whether they matter.

Dimension legend: M metrics.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.quality_effects import INTERVENTIONS, PermutationTest
from qamoe_bench.analysis.quality_validity import CONFOUNDERS, QualityAudit
from qamoe_bench.analysis.section import Row
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.metrics.dialects import default_dialect
from qamoe_bench.report.audit_tables import changes_of_metrics, modalities_of
from qamoe_bench.report.metric_tables import NOT_SIGNIFICANT
from qamoe_bench.report.table import Table, fitted, shown, without_empty

LABELS = {"length": "length", "energy": "energy", "label": "|label|"}
"""Column headings of `CONFOUNDERS`."""
EFFECTS = {
    "shuffled": "of another sample, whether or not the modality is present",
    "averaged": "the mean over all samples",
    "constant": "the mean over the samples that have the modality, for these",
    "reversed": "in reversed order among the samples that have the modality",
    "true_order": "in the order of the signal that is truly left, among these",
}
"""What r_m is replaced by under each intervention."""


def quality_tables(analysis: Analysis) -> Iterator[Table]:
    """Every table of quality scores that has a row."""
    if analysis.quality:
        yield quality_table(analysis)
        yield separation_table(analysis)
        confounders = confounder_table(analysis)
        if len(confounders.header) > 1:  # all columns drop out where every score is constant
            yield confounders
    permutations = permutation_table(analysis)
    if permutations.rows:
        yield permutations
    if analysis.intervention_effects:
        yield intervention_table(analysis)


def quality_table(analysis: Analysis) -> Table:
    """Rank correlation of the quality scores with the corruption and with the scatter of clean frames."""
    audits = analysis.quality
    modalities = modalities_of(audits)
    rows = []
    for name, by_modality in audits.items():
        corruption = _numbers(by_modality, modalities, lambda audit: audit.corruption, "+.2f")
        scatter = _numbers(by_modality, modalities, lambda audit: audit.scatter, "+.2f")
        rows.append((name, *corruption, *scatter))
    head = ("model", *modalities, *(f"τ {m}" for m in modalities))
    notes = [
        "−1: the score falls monotonically with the corruption; 0: no association; –: undefined for constant values"
    ]
    title = "Quality scores against corruption: Spearman's ρ of r_m with the corruption of modality m"
    # Only synthetic data has a known scatter: elsewhere the τ columns are empty and drop out.
    table = without_empty(Table(title, head, tuple(rows)))
    if len(table.header) > 1 + len(modalities):
        notes.append("τ: the same with the true scatter of the sample's frames, without corruption; −1 is best")
    return Table(table.title, table.header, table.rows, tuple(notes))


def separation_table(analysis: Analysis) -> Table:
    """How well the scores separate uncorrupted from corrupted samples, with and without missing modalities."""
    audits = analysis.quality
    modalities = modalities_of(audits)
    rows = []
    for name, by_modality in audits.items():
        everything = _numbers(by_modality, modalities, lambda audit: audit.separation, ".2f")
        present = _numbers(by_modality, modalities, lambda audit: audit.separation_present, ".2f")
        rows.append((name, *everything, *present))
    head = ("model", *modalities, *(f"{m} if present" for m in modalities))
    notes = (
        "the probability that r_m is higher for an uncorrupted sample than for a corrupted one: 1 is best, 0.5 chance",
        "if present: only samples that have the modality, where presence alone is no clue; –: all these are of one "
        "kind, so that there is only presence to tell",
    )
    title = "Quality scores of uncorrupted and corrupted samples: AUROC"
    return fitted(Table(title, head, tuple(rows), notes))


def confounder_table(analysis: Analysis) -> Table:
    """Rank correlation of the scores with properties of uncorrupted samples."""
    audits = analysis.quality
    modalities = modalities_of(audits)
    rows = []
    for name, by_modality in audits.items():
        cells = []
        for confounder in CONFOUNDERS:
            cells += _numbers(by_modality, modalities, _confounder(confounder), "+.2f")
        rows.append((name, *cells))
    head = ["model"]
    for confounder in CONFOUNDERS:
        head += [f"{LABELS[confounder]} {m}" for m in modalities]
    notes = [
        "among the samples that have the modality, under the least corrupting condition; length: valid frames; energy: "
        "mean square of the features; 0: no association; –: undefined"
    ]
    missing = [name for name, by_modality in audits.items() if _lacks_length(by_modality)]
    if missing:
        notes.append(f"length and energy are not recorded for {', '.join(missing)}: run again")
    followed = "length, energy and |label|" if analysis.section.task.is_regression else "length and energy"
    title = f"What else quality scores follow: Spearman's ρ of r_m with {followed}"
    return fitted(without_empty(Table(title, tuple(head), tuple(rows), tuple(notes))))


def _confounder(name: str) -> Callable[[QualityAudit], float]:
    return lambda audit: audit.confounders.get(name, float("nan"))


def _lacks_length(by_modality: Mapping[str, QualityAudit]) -> bool:
    return any("length" not in audit.confounders for audit in by_modality.values())


def _numbers(
    by_modality: Mapping[str, QualityAudit],
    modalities: Sequence[str],
    number: Callable[[QualityAudit], float],
    style: str,
) -> list[str]:
    """One number per modality; a dash where there is no score, or where the number is undefined."""
    audits = [by_modality.get(m) for m in modalities]
    return [shown(number(audit), style) if audit else "–" for audit in audits]


def permutation_table(analysis: Analysis) -> Table:
    """Effects of presence and of quality among present samples, with a permutation test of the latter.

    Only of metrics that the report shows; without rows if it shows none that is tested.
    """
    shown_names = {s.metric.name for s in analysis.scores}
    rows = []
    for name, tests in analysis.permutation_tests.items():
        rows += [_permutation_row(name, test) for test in tests if test.metric in shown_names]
    notes = [
        "all: change when r_m is taken from another sample (the mean over levels, as in all columns)",
        "quality: change when the scores of each modality are permuted only among samples that have it, with the range "
        "of 95 % of the permutations; presence: all − quality, the effect of the score telling whether the modality is "
        "present",
        "p: of the hypothesis that the quality among present samples has no use, (1 + b) / (1 + n), where b of n "
        "permutations are as good as the model's own scores",
        *_missing_tests(analysis),
    ]
    tested = default_dialect(analysis.section.task)
    definitions = analysis.dialect.definitions
    if any(definitions[metric] != tested.definitions[metric] for _, metric, *_ in rows):
        notes.append(f"all metrics of this table are those of dialect {tested.name}")
    title = "Do the quality scores matter? Presence, and quality among present samples"
    head = ("model", "metric", "all", "presence", "quality", "95 %", "p", "n")
    return fitted(Table(title, head, tuple(rows), tuple(notes)))


def _permutation_row(name: str, test: PermutationTest) -> tuple[str, ...]:
    show = METRICS[test.metric].show_change
    if not test.count:
        return (name, test.metric, show(test.everything), "–", "–", "–", "–", "0")
    spread = f"{show(test.low)} … {show(test.high)}"
    changes = (show(test.everything), show(test.presence), show(test.quality))
    return (name, test.metric, *changes, spread, shown(test.p, ".3f"), str(test.count))


def _missing_tests(analysis: Analysis) -> Iterator[str]:
    """Why some rows have no test, and what to do."""
    tests = analysis.permutation_tests
    untested = [row for row in analysis.section.rows if any(not test.count for test in tests.get(row.name, ()))]
    old = [row.name for row in untested if not _is_recent(row)]
    if old:
        yield f"presence and quality are not recorded for {', '.join(old)}: run again"
    slow = [row.name for row in untested if _is_recent(row)]
    if slow:
        yield (
            f"no permutations for {', '.join(slow)}, each of which would take a whole forward pass: add the setting "
            "eval.permutations=200 to the model's name"
        )


def _is_recent(row: Row) -> bool:
    """Whether a row was stored by a version that permutes scores."""
    return row.has_intervention("constant")


def intervention_table(analysis: Analysis) -> Table:
    """Change of every metric when the quality scores are replaced."""
    effects = analysis.intervention_effects
    recorded = [name for name in INTERVENTIONS if any(name in of_row for of_row in effects.values())]
    metrics = [s.metric.name for s in analysis.scores]
    rows = []
    unaffected = []
    for name, of_row in effects.items():
        cells = []
        for intervention in recorded:
            is_recorded = intervention in of_row
            cells += changes_of_metrics(analysis, of_row[intervention]) if is_recorded else ["–"] * len(metrics)
        rows.append((name, *cells))
        if all(cell.endswith(NOT_SIGNIFICANT) for cell in cells):
            unaffected.append(name)
    head = ["model"]
    for intervention in recorded:
        head += [f"{metric} {intervention.replace('_', ' ')}" for metric in metrics]
    meanings = "; ".join(f"{name.replace('_', ' ')}: {EFFECTS[name]}" for name in recorded)
    notes = [
        f"change of the mean over levels when r_m is replaced by a score – {meanings}",
        "≈: not significant, the 95 % interval includes 0",
    ]
    # In a large table a row of nothing but ≈ is easily overlooked.
    if unaffected:
        notes.append(f"no significant change in any metric: {', '.join(unaffected)}")
    old = [name for name, of_row in effects.items() if len(of_row) < len(INTERVENTIONS)]
    if old:
        notes.append(f"constant, reversed and true order are not recorded for {', '.join(old)}: run again")
    return fitted(Table("Effect of replacing the quality scores", tuple(head), tuple(rows), tuple(notes)))
