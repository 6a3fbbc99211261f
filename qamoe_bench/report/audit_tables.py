"""Tables of audits: what the corruption did, what quality scores and predicted variances are worth."""

import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from qamoe_bench.analysis.analyse import Analysis
from qamoe_bench.analysis.audits import COVERAGE, INTERVENTIONS
from qamoe_bench.analysis.section import Row
from qamoe_bench.report.metric_tables import oracle_rows
from qamoe_bench.report.table import Table, fitted, shown, without_empty
from qamoe_bench.store.store import StoredCell
from qamoe_bench.vocabulary import MODALITIES


def corruption_table(found: Analysis) -> Table:
    """What the corruption really did."""
    levels, titles = found.section.levels, {"modalities": "modalities missing %", "frames": "frames missing %"}
    rows = []
    for name, of_conditions in found.realised.items():
        values = levels.means(of_conditions)
        if name in titles:
            rows.append((titles[name], *(f"{100 * v:.1f}" for v in values)))
        elif values.any():
            rows.append((f"{name.removeprefix('noise_')} noise σ/σ_ref", *(f"{v:.2f}" for v in values)))
    title = "What the corruption really did (mean over samples and modalities)"
    return fitted(Table(title, ("", *levels.labels), tuple(rows), levels.notes))


def uncertainty_table(found: Analysis) -> Table:
    """Likelihood, ranking and calibration of the predicted variances."""
    last = found.section.levels.members[-1]
    rows = []
    for name, u in found.uncertainty.items():
        overall, at_last = u.covered.mean(0), u.covered[list(last), -1].mean()
        numbers = (shown(u.nll, ".2f"), shown(u.rank, "+.2f"), shown(u.ause, ".2f"))
        rows.append((name, *numbers, *(f"{100 * c:.0f}" for c in overall), f"{100 * at_last:.0f}"))
    head = (
        "model",
        "NLL",
        "ρ",
        "AUSE",
        *(f"{100 * c:.0f}" for c in COVERAGE),
        f"95 at {found.section.levels.labels[-1]}",
    )
    notes = (
        "σ² read as a normal variance; means over levels; ρ: Spearman's of σ² with |error| (1: large errors are "
        "foreseen); AUSE: 0 is perfect",
        "10 … 95: % of labels inside the central interval of so many %: the calibration curve; less is overconfident",
    )
    return Table("Are the predicted variances worth anything?", head, tuple(rows), notes)


def quality_table(found: Analysis) -> Table:
    """Rank correlation of quality scores with what they should know."""
    modalities = [m for m in MODALITIES if any(m in q for q in found.quality.values())]
    rows = []
    for name, of in found.quality.items():
        corruption = [shown(of[m].corruption, "+.2f") if m in of else "–" for m in modalities]
        scatter = [shown(of[m].scatter, "+.2f") if m in of else "–" for m in modalities]
        rows.append((name, *corruption, *scatter))
    head = ("model", *modalities, *(f"τ {m}" for m in modalities))
    note = "−1: the score falls with every bit of corruption; 0: it knows nothing; –: nothing to rank"
    table = without_empty(
        Table(
            "Do the quality scores know? Spearman's ρ of r_m with the corruption of modality m",
            head,
            tuple(rows),
            (note,),
        )
    )
    if len(table.header) > 1 + len(modalities):
        more = "τ: with the true scatter of a sample's frames where nothing is corrupted; −1: it knows the sample"
        return Table(table.title, table.header, table.rows, (note, more))
    return table


def intervention_table(found: Analysis) -> Table:
    """What happens to every metric when the scores are another sample's, or all the same."""
    metrics = [s.metric for s in found.scores]
    words = {"shuffled": "shuffled", "averaged": "mean"}
    rows, idle = [], []
    for name, of in found.intervention_effects.items():
        cells, sure = [name], False
        for intervention in INTERVENTIONS:
            low, high = of[intervention].interval()
            for k, metric in enumerate(metrics):
                clear = bool(low[k] > 0 or high[k] < 0)
                sure |= clear
                cells.append(f"{metric.show_change(float(of[intervention].value[k]))}{'' if clear else ' ≈'}")
        rows.append(tuple(cells))
        idle += [] if sure else [name]
    head = (
        "model",
        *(f"{m.name} {words[i]}" if k == 0 else m.name for i in INTERVENTIONS for k, m in enumerate(metrics)),
    )
    notes = ["change of the mean over levels when r_m is another sample's, or its mean; ≈: the 95 % interval holds 0"]
    if idle:
        notes.append(f"the score does not matter: no metric of {', '.join(idle)} changes for certain")
    return fitted(Table("Do the quality scores matter?", head, tuple(rows), tuple(notes)))


def evaluation_table(found: Analysis) -> Table:
    """What settings of the evaluation change in every metric, and in time."""
    rows, metrics = [], [s.metric for s in found.scores]
    for (row, usual), change in found.evaluation_effects.items():
        low, high = change.interval()
        marks = ["" if low[k] > 0 or high[k] < 0 else " ≈" for k in range(len(metrics))]
        changes = [f"{m.show_change(float(change.value[k]))}{marks[k]}" for k, m in enumerate(metrics)]
        asked, as_usual = found.section.rows[row], found.section.rows[usual]
        rows.append((asked.name, *changes, _times(asked, as_usual)))
    note = "change of the mean over levels from the same weights without these settings; ≈: the 95 % interval holds 0"
    more = "time: of a forward pass, as a multiple of theirs; only of cells that one machine ran"
    head = ("model", *(m.name for m in metrics), "time")
    return fitted(Table("What do settings of the evaluation change?", head, tuple(rows), (note, more)))


def _times(row: Row, usual: Row) -> str:
    spent = [statistics.median(c.facts.seconds_per_sample for c in r.cells) for r in (row, usual)]
    return f"{spent[0] / spent[1]:.2f}" if all(spent) else "–"


def expert_table(found: Analysis) -> Table:
    """How many experts are in use."""
    title = "How many experts are in use? exp of the entropy of their mean weights, mean over conditions and seeds"
    return _by_modality(
        title, found.experts, "1: one expert answers every sample; as many as there are: all are used alike"
    )


def _by_modality(title: str, values: Mapping[str, Mapping[str, float]], note: str) -> Table:
    modalities = [m for m in MODALITIES if any(m in of for of in values.values())]
    rows = tuple((name, *(shown(of.get(m, np.nan), ".1f") for m in modalities)) for name, of in values.items())
    return Table(title, ("model", *modalities), rows, (note,))


def model_table(found: Analysis) -> Table:
    """Size and training of each row."""
    rows = tuple(
        (row.name, row.regime or "–", _count(row.cells[0].facts.parameters), _epochs(row.cells), str(len(row.cells)))
        for row in found.section.rows
    )
    return Table(
        "Models", ("model", "regime", "parameters", "best epoch", "seeds"), rows, reference=oracle_rows(found.section)
    )


def _epochs(cells: Sequence[StoredCell]) -> str:
    if "specialists" in cells[0].facts.training:
        return f"{len(cells[0].facts.training['specialists'])} specialists"
    epochs = [str(c.facts.training["best_epoch"]) for c in cells if c.facts.training.get("best_epoch")]
    return ", ".join(epochs) or "–"


def _count(parameters: int) -> str:
    if not parameters:
        return "–"
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if parameters >= size:
            return f"{parameters / size:.3g}{unit}"
    return str(parameters)
