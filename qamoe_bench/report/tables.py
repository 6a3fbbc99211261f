"""Everything that is known of some cells, as chapters of tables."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from qamoe_bench.errors import unknown_name
from qamoe_bench.metrics import METRICS, Dialect, Metric
from qamoe_bench.record import ORACLE
from qamoe_bench.report.comparisons import comparison_table, specialist_table
from qamoe_bench.report.scores import (
    Section,
    by_seed,
    corruption_frame,
    expert_frame,
    quality_frame,
    score_frame,
    sections,
)
from qamoe_bench.report.table import Chapter, Table, axis_of, fitted, level_cells
from qamoe_bench.store import StoredCell

DEFAULT_METRICS = ("acc2_non0", "acc7", "mae", "corr")


def chapters(
    cells: Sequence[StoredCell],
    manifests: Sequence[Mapping[str, Any]],
    dialect: Dialect,
    metrics: Sequence[str] = (),
) -> list[Chapter]:
    """Everything that is known of some cells, as tables.

    Args:
        cells: Finished cells, in any order.
        manifests: Manifests of the runs that hold them, for definitions.
        dialect: How metrics are computed.
        metrics: Which to show; the default four where empty.

    Raises:
        BenchError: for a metric that the dialect does not define.
    """
    for name in metrics:
        if name not in dialect.definitions:
            raise unknown_name(f"metric of dialect {dialect.name}", name, dialect.definitions)
    shown = [METRICS[name] for name in metrics or DEFAULT_METRICS]
    protocols = {(p["digest"], name): p for run in manifests for name, p in run["protocols"].items()}
    return [_chapter(s, protocols, dialect, shown) for s in sections(cells)]


def _chapter(
    section: Section, protocols: Mapping[tuple[str, str], Any], dialect: Dialect, metrics: Sequence[Metric]
) -> Chapter:
    about = protocols.get((section.cells[0].cell.protocol_digest, section.protocol), {})
    seeds = sorted({c.cell.seed for c in section.cells})
    regimes = sorted({c.cell.regime for c in section.cells} - {""})
    lines = (
        *filter(None, (about.get("title"), about.get("definition"))),
        f"{section.cells[0].predictions['id'].nunique()} test samples; trained in regime "
        f"{' and '.join(regimes) or 'none'}; seeds {', '.join(map(str, seeds))}; metric dialect {dialect.name}. "
        "Cells are means over seeds, ± is the standard deviation over seeds.",
    )
    values = score_frame(section, dialect)
    tables = [_model_table(section), _corruption_table(section), *(_metric_table(section, values, m) for m in metrics)]
    tables += filter(None, [*(specialist_table(section, values, m) for m in metrics), comparison_table(section)])
    quality = quality_frame(section)
    if quality.notna().to_numpy().any():
        tables.append(_quality_table(quality))
    use = expert_frame(section)
    if len(use):
        tables.append(_expert_table(use))
    return Chapter(f"{section.protocol} on {section.dataset}", lines, tuple(tables))


def _model_table(section: Section) -> Table:
    rows = tuple(
        (row, cells[0].cell.regime or "–", _count(cells[0].facts.parameters), _epochs(cells), str(len(cells)))
        for row, cells in section.groups()
    )
    return Table("Models", ("model", "regime", "parameters", "best epoch", "seeds"), rows, reference=_limits(section))


def _epochs(cells: Sequence[StoredCell]) -> str:
    if "specialists" in cells[0].facts.training:
        return f"{len(cells[0].facts.training['specialists'])} specialists"
    epochs = [str(c.facts.training["best_epoch"]) for c in cells if c.facts.training.get("best_epoch")]
    return ", ".join(epochs) or "–"


def _limits(section: Section) -> tuple[str, ...]:
    return tuple(row for row, cells in section.groups() if cells[0].cell.model == ORACLE)


def _corruption_table(section: Section) -> Table:
    heads, members, note = axis_of(section)
    frame = corruption_frame(section)
    titles = {"modalities": "modalities missing %", "frames": "frames missing %"}
    rows = []
    for name in frame.columns:
        values = [frame.loc[names, name].mean() for names in members]
        if name in titles:
            rows.append((titles[name], *(f"{100 * v:.1f}" for v in values)))
        elif any(values):
            rows.append((f"{name.removeprefix('noise_')} noise σ/σ_ref", *(f"{v:.2f}" for v in values)))
    title = "What the corruption really did (mean over samples and modalities)"
    return fitted(Table(title, ("", *heads), tuple(rows), note))


def _metric_table(section: Section, values: pd.DataFrame, metric: Metric) -> Table:
    heads, members, note = axis_of(section)
    values = values[values["metric"] == metric.name]
    rows = [(row, *level_cells(by_seed(values, row), members, metric, metric.show)) for row, _ in section.groups()]
    undefined = int(values["value"].isna().sum())
    if undefined:
        note += (f"{metric.name} is undefined in {undefined} of {len(values)} (model, seed, level); left out of means",)
    arrow = "higher is better" if metric.better == "higher" else "lower is better"
    unit = ", %" if metric.percent else ""
    return fitted(
        Table(
            f"{metric.name}{unit} ({arrow}): {metric.title}",
            ("model", *heads, "mean"),
            tuple(rows),
            note,
            reference=_limits(section),
        )
    )


def _quality_table(quality: pd.DataFrame) -> Table:
    title = "Do the quality scores know? Spearman's ρ of r_m with the corruption of modality m"
    note = "−1: the score falls with every bit of corruption; 0: it knows nothing; –: nothing to rank"
    return _frame_table(title, quality, "+.2f", note)


def _expert_table(use: pd.DataFrame) -> Table:
    title = "How many experts are in use? exp of the entropy of their mean weights, mean over conditions and seeds"
    note = "1: one expert answers every sample; as many as there are: all are used alike"
    return _frame_table(title, use, ".1f", note)


def _frame_table(title: str, frame: pd.DataFrame, digits: str, note: str) -> Table:
    """Numbers by model and modality; – where there is none."""
    shown = frame.map(lambda v: f"{v:{digits}}" if np.isfinite(v) else "–")
    return Table(title, ("model", *shown.columns), tuple((str(row), *shown.loc[row]) for row in shown.index), (note,))


def _count(parameters: int) -> str:
    if not parameters:
        return "–"
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if parameters >= size:
            return f"{parameters / size:.3g}{unit}"
    return str(parameters)
