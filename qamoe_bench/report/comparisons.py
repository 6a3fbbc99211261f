"""Tables of differences: models against the control on the same samples, one checkpoint against specialists."""

from collections.abc import Mapping, Sequence

import pandas as pd

from qamoe_bench.metrics import Metric
from qamoe_bench.record import ORACLE, Cell
from qamoe_bench.report.scores import Section, by_seed
from qamoe_bench.report.table import Table, axis_of, fitted, level_cells
from qamoe_bench.statistics import two_level_interval
from qamoe_bench.store import StoredCell

CONTROL, MEAN = "late-fusion", "mean"


def comparison_table(section: Section) -> Table | None:
    """Each row's absolute error minus the control's, trained in the same regime, on the same corrupted samples.

    The share of the reachable gain is (error of `mean` − error of the row) / (error of `mean` − error of the oracle);
    it is there where the other two are.
    """
    rows = [(row, cells[0].cell, _errors(cells)) for row, cells in section.groups()]
    controls = {cell.regime: errors for _, cell, errors in rows if cell.model == CONTROL}
    differences = {row: _difference(errors, _control(cell, controls)) for row, cell, errors in rows}
    ends = _ends({cell.model: errors for _, cell, errors in rows if cell.model in (MEAN, ORACLE)})
    if ends is None and all(value == "–" for value, _ in differences.values()):
        return None
    head = ["model", f"MAE − {CONTROL}", "95 % interval"]
    notes = [
        f"over all levels and draws; negative: better than {CONTROL} of the same regime; the interval resamples seeds "
        "and test samples, ≈ where it holds zero"
    ]
    table = [[row, *differences[row]] for row, _, _ in rows]
    if ends is not None:
        head.append("reached %")
        notes.append("reached: share of the way in MAE from predicting the mean to the oracle")
        for cells, (_, _, errors) in zip(table, rows, strict=True):
            cells.append(_reached(errors, *ends))
    limit = tuple(row for row, cell, _ in rows if cell.model == ORACLE)
    title = "Differences that are paired, sample by sample"
    return Table(title, tuple(head), tuple(map(tuple, table)), tuple(notes), limit)


def _control(cell: Cell, controls: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """The control that a row is compared with: of its own regime; for the oracle, which has none, any."""
    if cell.model == CONTROL:
        return None
    return next(iter(controls.values()), None) if cell.model == ORACLE else controls.get(cell.regime)


def _ends(errors: Mapping[str, pd.DataFrame]) -> tuple[float, float] | None:
    """The mean errors of `mean` and of the oracle, where there are both."""
    if errors.keys() != {MEAN, ORACLE}:
        return None
    return float(errors[MEAN].to_numpy().mean()), float(errors[ORACLE].to_numpy().mean())


def _reached(errors: pd.DataFrame, floor: float, limit: float) -> str:
    return f"{100 * (floor - float(errors.to_numpy().mean())) / (floor - limit):.1f}"


def _errors(cells: Sequence[StoredCell]) -> pd.DataFrame:
    """Mean absolute error over levels and draws: a row per seed, a column per sample."""
    return pd.DataFrame({c.cell.seed: _errors_of(c.predictions) for c in cells}).T


def _errors_of(predictions: pd.DataFrame) -> pd.Series:
    answer = predictions["prediction_mae" if "prediction_mae" in predictions else "prediction"]
    return (answer.astype(float) - predictions["target"]).abs().groupby(predictions["id"].astype(str)).mean()


def _difference(errors: pd.DataFrame, control: pd.DataFrame | None) -> tuple[str, str]:
    seeds = errors.index.intersection(control.index if control is not None else [])
    if control is None or not len(seeds):
        return "–", "–"
    paired = (errors.loc[seeds] - control.loc[seeds]).to_numpy()
    found = two_level_interval(paired)
    mark = "" if found.excludes_zero else " ≈"
    return f"{found.value:+.3f}{mark}", f"{found.low:+.3f} … {found.high:+.3f}"


def specialist_table(section: Section, values: pd.DataFrame, metric: Metric) -> Table | None:
    """One checkpoint minus specialists: regime spectrum minus matched per level, for models trained in both."""
    rows_of: dict[str, dict[str, str]] = {}
    for row, cells in section.groups():
        rows_of.setdefault(cells[0].cell.model, {})[cells[0].cell.regime] = row
    both = {model: rows for model, rows in rows_of.items() if {"spectrum", "matched"} <= rows.keys()}
    if not both:
        return None
    heads, members, note = axis_of(section)
    values = values[values["metric"] == metric.name]
    gaps = {model: by_seed(values, rows["spectrum"]) - by_seed(values, rows["matched"]) for model, rows in both.items()}
    table = tuple((model, *level_cells(gap, members, metric, metric.show_change)) for model, gap in gaps.items())
    better = "positive" if metric.better == "higher" else "negative"
    notes = (f"{better}: one checkpoint is better than a specialist for each level; ± is over seeds", *note)
    unit = ", points" if metric.percent else ""
    return fitted(Table(f"{metric.name}{unit}: spectrum minus matched", ("model", *heads, "mean"), table, notes))
