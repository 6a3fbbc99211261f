"""Tables of differences: models against the control on the same samples, one checkpoint against specialists."""

from collections.abc import Callable, Mapping, Sequence

import pandas as pd

from qamoe_bench.metrics import Metric
from qamoe_bench.record import ORACLE, Cell
from qamoe_bench.report.scores import Section
from qamoe_bench.report.table import Table, axis_of, fitted
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
    shares = _reached({cell.model: errors for _, cell, errors in rows if cell.model in (ORACLE, MEAN)})
    if not (shares or any(value != "–" for value, _ in differences.values())):
        return None
    table = [(row, *differences[row], *(f"{100 * share(errors):.1f}" for share in shares)) for row, _, errors in rows]
    notes = (
        f"over all levels and draws; negative: better than {CONTROL} of the same regime; the interval resamples seeds "
        "and test samples, ≈ where it holds zero",
        *("reached: share of the way in MAE from predicting the mean to the oracle" for _ in shares),
    )
    head = ("model", f"MAE − {CONTROL}", "95 % interval", *("reached %" for _ in shares))
    limit = tuple(row for row, cell, _ in rows if cell.model == ORACLE)
    return Table("Differences that are paired, sample by sample", head, tuple(table), notes, limit)


def _control(cell: Cell, controls: Mapping[str, pd.DataFrame]) -> pd.DataFrame | None:
    """The control that a row is compared with: of its own regime; for the oracle, which has none, any."""
    if cell.model == CONTROL:
        return None
    return next(iter(controls.values()), None) if cell.model == ORACLE else controls.get(cell.regime)


def _reached(ends: Mapping[str, pd.DataFrame]) -> list[Callable[[pd.DataFrame], float]]:
    """One function from a row's errors to its share of the way, where both ends are known; else none."""
    if ends.keys() != {ORACLE, MEAN}:
        return []
    floor, limit = (float(ends[name].to_numpy().mean()) for name in (MEAN, ORACLE))
    return [lambda errors: (floor - float(errors.to_numpy().mean())) / (floor - limit)]


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


def specialist_tables(section: Section, values: pd.DataFrame, metric: Metric) -> list[Table]:
    """One checkpoint minus specialists: regime spectrum minus matched per level, for models trained in both."""
    by_model: dict[str, dict[str, str]] = {}
    for row, cells in section.groups():
        by_model.setdefault(cells[0].cell.model, {})[cells[0].cell.regime] = row
    both = {model: rows for model, rows in by_model.items() if {"spectrum", "matched"} <= rows.keys()}
    if not both:
        return []
    heads, members, note = axis_of(section)
    of_metric = values[values["metric"] == metric.name]
    rows = [
        (model, *_gap(of_metric, rows["spectrum"], rows["matched"], members, metric)) for model, rows in both.items()
    ]
    better = "positive" if metric.better == "higher" else "negative"
    notes = (f"{better}: one checkpoint is better than a specialist for each level; ± is over seeds", *note)
    unit = ", points" if metric.percent else ""
    return [
        fitted(Table(f"{metric.name}{unit}: spectrum minus matched", ("model", *heads, "mean"), tuple(rows), notes))
    ]


def _gap(
    values: pd.DataFrame, one: str, many: str, members: Sequence[Sequence[str]], metric: Metric
) -> tuple[str, ...]:
    tables = [
        values[values["row"] == row].pivot_table(index="seed", columns="condition", values="value", aggfunc="mean")
        for row in (one, many)
    ]
    gap = (tables[0] - tables[1]) * (100 if metric.percent else 1)
    digits = 1 if metric.percent else 3
    levels = (f"{gap[list(names)].to_numpy().mean():+.{digits}f}" for names in members)
    per_seed = gap.mean(axis=1)
    spread = f"±{per_seed.std():.{digits}f}".replace("±0.", "±.") if len(per_seed) > 1 else ""
    return (*levels, f"{per_seed.mean():+.{digits}f}{spread}")
