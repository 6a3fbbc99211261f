"""Tables of audits: realised corruption, predicted variances, experts, and sizes of models.

Dimension legend: C conditions, L levels, K coverage levels, M metrics.
"""

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.audits import COVERAGE
from qamoe_bench.analysis.section import Row
from qamoe_bench.report.metric_tables import NOT_SIGNIFICANT, oracle_rows
from qamoe_bench.report.table import Table, fitted, shown, without_empty
from qamoe_bench.report.training_columns import HEADS, origin_notes, training_cells, training_notes
from qamoe_bench.statistics.intervals import Estimate, mean_of_defined
from qamoe_bench.store.store import StoredCell
from qamoe_bench.vocabulary import MODALITIES

SHARES = {"modalities": "modalities missing %", "frames": "frames missing %"}
"""Names of the realised rates that are shares, and their row names."""


def corruption_table(analysis: Analysis) -> Table:
    """Realised corruption by level: missing modalities and frames, and the standard deviation of the noise."""
    levels = analysis.section.levels
    rows = []
    for name, by_condition in analysis.realised.items():
        values = levels.means(by_condition)  # (C,) -> (L,)
        if name in SHARES:
            rows.append((SHARES[name], *(f"{100 * v:.1f}" for v in values)))
        elif values.any():  # protocols without noise need no row of zeros per modality
            modality = name.removeprefix("noise_")
            rows.append((f"{modality} noise σ/σ_ref", *(f"{v:.2f}" for v in values)))
    title = "Realised corruption (mean over samples and modalities)"
    return fitted(Table(title, ("", *levels.labels), tuple(rows), levels.notes))


def uncertainty_table(analysis: Analysis) -> Table:
    """Likelihood, ranking and calibration of the predicted variances, or of the probabilities of classes."""
    if not analysis.section.task.is_regression:
        return _confidence_table(analysis)
    levels = analysis.section.levels
    last = list(levels.members[-1])  # conditions of the last, most corrupted level
    rows = []
    for name, audit in analysis.uncertainty.items():
        coverage = audit.covered.mean(0)  # (C, K) -> (K,)
        coverage_at_last = audit.covered[last, -1].mean()
        numbers = (shown(audit.nll, ".2f"), shown(audit.rank, "+.2f"), shown(audit.ause, ".2f"))
        rows.append((name, *numbers, *(f"{100 * c:.0f}" for c in coverage), f"{100 * coverage_at_last:.0f}"))
    nominal = [f"{100 * c:.0f}" for c in COVERAGE]
    head = ("model", "NLL", "ρ", "AUSE", *nominal, f"95 at {levels.labels[-1]}")
    notes = (
        "σ² is read as the variance of a Gaussian; means over levels; ρ: Spearman correlation of σ² with |error|, 1 is "
        "best; AUSE: area under the sparsification error, 0 is best",
        "10 … 95: % of labels inside the central interval of that nominal coverage (last column: at the last level "
        "only); less than nominal: overconfident",
    )
    return Table("Calibration of the predicted variances", head, tuple(rows), notes)


def _confidence_table(analysis: Analysis) -> Table:
    levels = analysis.section.levels
    last = list(levels.members[-1])  # conditions of the last, most corrupted level
    rows = []
    for name, audit in analysis.uncertainty.items():
        numbers = (shown(audit.nll, ".2f"), shown(audit.rank, "+.2f"), shown(audit.ause, ".2f"))
        right = mean_of_defined(audit.covered)  # (C, K) -> (K,)
        right_at_last = float(mean_of_defined(audit.covered[last])[-1])
        shares = [shown(100 * float(share), ".0f") for share in (*right, right_at_last)]
        rows.append((name, *numbers, shown(100 * audit.risk, ".1f"), *shares))
    nominal = [f"{100 * c:.0f}" for c in COVERAGE]
    head = ("model", "NLL", "ρ", "AUSE", "risk %", *nominal, f"95 at {levels.labels[-1]}")
    notes = (
        "means over levels; ρ: Spearman correlation of the predictive entropy with the probability of what is wrong, 1 "
        "is best; AUSE: area under the sparsification error by entropy, 0 is best; risk: area under the risk–coverage "
        "curve, the mean error rate of the most certain samples over all shares of samples, 0 is best",
        "10 … 95: % of right decisions among those of about this probability (last column: at the last level only); "
        "less than the probability: overconfident; –: no decision has it",
    )
    return without_empty(fitted(Table("Calibration of the predicted probabilities", head, tuple(rows), notes)))


def evaluation_table(analysis: Analysis) -> Table:
    """Change of every metric and of the run time under non-default evaluation settings."""
    section = analysis.section
    rows = []
    for (index, default_index), effect in analysis.evaluation_effects.items():
        row = section.rows[index]
        rows.append((row.name, *changes_of_metrics(analysis, effect), _relative_time(row, section.rows[default_index])))
    notes = (
        "change of the mean over levels from the same checkpoint under default settings; ≈: not significant, the 95 % "
        "interval includes 0",
        "time: duration of a forward pass relative to default settings; meaningful if both ran on one machine",
    )
    head = ("model", *(s.metric.name for s in analysis.scores), "time")
    return fitted(Table("Effect of evaluation settings", head, tuple(rows), notes))


def changes_of_metrics(analysis: Analysis, effect: Estimate) -> list[str]:
    """A signed change per metric, marked if its 95 % interval includes 0."""
    low, high = effect.interval()  # (M,) each
    cells = []
    for k, scores in enumerate(analysis.scores):
        is_significant = low[k] > 0 or high[k] < 0  # False for NaN
        change = scores.metric.show_change(float(effect.value[k]))
        cells.append(change if is_significant else f"{change} {NOT_SIGNIFICANT}")
    return cells


def _relative_time(row: Row, default: Row) -> str:
    seconds = statistics.median(c.facts.seconds_per_sample for c in row.cells)
    default_seconds = statistics.median(c.facts.seconds_per_sample for c in default.cells)
    # A stored time of 0 means that it was not measured.
    return f"{seconds / default_seconds:.2f}" if seconds and default_seconds else "–"


def expert_table(analysis: Analysis) -> Table:
    """Effective number of experts per modality."""
    usage = analysis.experts
    modalities = modalities_of(usage)
    rows = []
    for name, by_modality in usage.items():
        rows.append((name, *(shown(by_modality.get(m, np.nan), ".1f") for m in modalities)))
    title = "Effective number of experts: exp of the entropy of their mean weights, mean over conditions and seeds"
    note = "1: one expert serves all samples; equal to the number of experts: all are used equally"
    return Table(title, ("model", *modalities), tuple(rows), (note,))


def modalities_of(by_row: Mapping[str, Mapping[str, object]]) -> list[str]:
    """The modalities that any row has a value for, in the usual order."""
    present = set[str]().union(*by_row.values())
    return [m for m in MODALITIES if m in present]


def model_table(analysis: Analysis) -> Table:
    """Size and training of each row."""
    rows = []
    section = analysis.section
    for row in section.rows:
        parameters = parameters_in_short(row.cells[0].facts.parameters)  # the same for all seeds
        training = (row.regime or "–", *training_cells(row))
        rows.append((row.name, *training, parameters, _best_epochs(row.cells), str(len(row.cells))))
    head = ("model", "regime", *HEADS, "parameters", "best epoch", "seeds")
    # Cells of older stores do not say what they have seen.
    notes = (*training_notes(section), *origin_notes(section))
    return without_empty(Table("Models", head, tuple(rows), notes, oracle_rows(section)))


def _best_epochs(cells: Sequence[StoredCell]) -> str:
    """The selected epoch of each seed; regime `matched` trains one specialist per condition instead."""
    specialists = cells[0].facts.training.get("specialists")
    if specialists is not None:
        return f"{len(specialists)} specialists"
    epochs = [cell.facts.training.get("best_epoch") for cell in cells]
    return ", ".join(str(epoch) for epoch in epochs if epoch) or "–"


def parameters_in_short(parameters: int) -> str:
    """A number of parameters in three digits, such as 54.7k; – for none."""
    if not parameters:
        return "–"
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if parameters >= size:
            return f"{parameters / size:.3g}{unit}"
    return str(parameters)
