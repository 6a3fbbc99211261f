"""From stored predictions to one tidy frame of scores, and to what the corruption really did."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

import numpy as np
import pandas as pd

from qamoe_bench.kinds import signal_left
from qamoe_bench.metrics import Dialect, scores, spearman
from qamoe_bench.modality import MODALITIES
from qamoe_bench.record import ORACLE
from qamoe_bench.store import StoredCell


@dataclass(frozen=True)
class Section:
    """All finished cells of one protocol on one data set: the unit in which numbers may be compared."""

    cells: tuple[StoredCell, ...]

    @property
    def dataset(self) -> str:
        """Name of the data set."""
        return self.cells[0].cell.dataset

    @property
    def protocol(self) -> str:
        """Name of the protocol."""
        return self.cells[0].cell.protocol

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """One row per condition, in order, with a column per axis."""
        conditions = self.cells[0].facts.conditions
        return pd.DataFrame([c["levels"] for c in conditions], index=[c["name"] for c in conditions])

    @cached_property
    def row_names(self) -> dict[tuple[str, str, str], str]:
        """What a table calls each (model, regime, recipe): as short as it can be without mixing two up."""
        identities = sorted({_identity(c) for c in self.cells}, key=_by_model)
        regimes = {regime for _, regime, _ in identities if regime}
        names = {}
        for model, regime, recipe in identities:
            name = f"{model} ({regime})" if regime and len(regimes) > 1 else model
            twins = [i for i in identities if i[:2] == (model, regime)]
            names[model, regime, recipe] = f"{name} #{recipe[:4]}" if len(twins) > 1 else name
        return names

    def groups(self) -> list[tuple[str, list[StoredCell]]]:
        """The cells of each row of a table, one per seed; the oracle last."""
        order = list(self.row_names)
        ordered = sorted(self.cells, key=lambda c: (c.cell.model == ORACLE, order.index(_identity(c)), c.cell.seed))
        return [(self.row_names[identity], list(cells)) for identity, cells in groupby(ordered, _identity)]


def _by_model(identity: tuple[str, str, str]) -> tuple[str, ...]:
    """Variants stand behind the model that they are of."""
    model, *rest = identity
    return (*model.partition(":"), *rest)


def _identity(cell: StoredCell) -> tuple[str, str, str]:
    return cell.cell.model, cell.cell.regime, cell.cell.recipe


def sections(cells: Iterable[StoredCell]) -> list[Section]:
    """Cells by data set and protocol; a changed file or definition makes another section."""
    found: dict[tuple[str, ...], list[StoredCell]] = {}
    for cell in cells:
        c = cell.cell
        found.setdefault((c.dataset, c.protocol, c.data_digest, c.protocol_digest), []).append(cell)
    return [Section(tuple(found[key])) for key in sorted(found)]


def score_frame(section: Section, dialect: Dialect) -> pd.DataFrame:
    """Every metric of the dialect: columns row, seed, draw, condition, metric, value."""
    records = [
        (row, cell.cell.seed, draw, condition, metric, value)
        for row, cells in section.groups()
        for cell in cells
        for draw, condition, columns in blocks(cell.predictions)
        for metric, value in scores(dialect, columns).items()
    ]
    return pd.DataFrame(records, columns=["row", "seed", "draw", "condition", "metric", "value"])


def blocks(predictions: pd.DataFrame) -> list[tuple[int, str, dict[str, np.ndarray]]]:
    """Draw, condition and columns of each pass over the samples, for the predictions of one seed."""
    return [
        (int(draw), str(condition), {str(column): part[column].to_numpy() for column in part.columns})
        for draw in predictions["draw"].unique()
        for condition, part in predictions[predictions["draw"] == draw].groupby("condition", sort=False, observed=True)
    ]


def by_seed(values: pd.DataFrame, row: str) -> pd.DataFrame:
    """One metric of one row: a line per seed, a column per condition, mean over draws; NaN where it is undefined."""
    return values[values["row"] == row].pivot_table(
        index="seed", columns="condition", values="value", aggfunc="mean", dropna=False
    )


def corruption_frame(section: Section) -> pd.DataFrame:
    """What happened to the samples, per condition: means over samples, modalities and seeds.

    Columns: `modalities` (share of modalities of which nothing is left), `frames` (share of valid frames taken away)
    and, where there is noise, `noise_<modality>` (standard deviation of the noise in units of σ_ref).
    """
    per_seed = {cell.cell.seed: _corruption_of(cell.predictions) for cell in section.cells}
    return pd.concat(per_seed.values()).groupby(level=0, sort=False).mean()


def _corruption_of(predictions: pd.DataFrame) -> pd.DataFrame:
    missing = [f"missing_{m}" for m in MODALITIES if f"missing_{m}" in predictions]
    noise = [f"noise_{m}" for m in MODALITIES if f"noise_{m}" in predictions]
    table = predictions[noise].assign(
        modalities=(predictions[missing] == 1).mean(axis=1), frames=predictions[missing].mean(axis=1)
    )
    means = table.groupby(predictions["condition"].astype(str), sort=False).mean()
    return means[["modalities", "frames", *noise]]


def quality_frame(section: Section) -> pd.DataFrame:
    """Spearman's ρ of r_m with the corruption of modality m, over all samples and conditions; mean over seeds.

    One row per model that gives quality scores, one column per modality. −1 would be a perfect score; NaN where the
    protocol does not corrupt the modality, or the score is constant.
    """
    rows = {row: _quality_of(cells) for row, cells in section.groups()}
    return pd.DataFrame({row: q for row, q in rows.items() if q}).T


def expert_frame(section: Section) -> pd.DataFrame:
    """Exp of the entropy of the experts' mean weights, mean over conditions and seeds.

    One row per model with experts, one column per modality: the number of experts in use if all were used alike.
    """
    rows = {row: _experts_in_use(cells) for row, cells in section.groups()}
    return pd.DataFrame({row: use for row, use in rows.items() if use}).T


def _experts_in_use(cells: Sequence[StoredCell]) -> dict[str, float]:
    conditions = [use for cell in cells for use in cell.facts.experts.values()]
    modalities = [m for m in MODALITIES if conditions and m in conditions[0]]
    return {m: float(np.mean([_perplexity(c[m]["weight"]) for c in conditions])) for m in modalities}


def _perplexity(weights: Sequence[float]) -> float:
    share = np.asarray(weights) / np.sum(weights)
    return float(np.exp(-np.sum(share * np.log(np.where(share > 0, share, 1)))))


def _quality_of(cells: Sequence[StoredCell]) -> dict[str, float]:
    modalities = [m for m in MODALITIES if f"quality_{m}" in cells[0].predictions]
    return {
        m: float(
            np.mean(
                [
                    spearman(c.predictions[f"quality_{m}"].to_numpy(), corruption(c.predictions, m).to_numpy())
                    for c in cells
                ]
            )
        )
        for m in modalities
    }


def corruption(predictions: pd.DataFrame, modality: str) -> pd.Series:
    """How corrupted a modality of a sample is, on [0, 1]: 1 − the share of its signal that is left."""
    left: pd.Series = signal_left(predictions[f"missing_{modality}"], predictions[f"noise_{modality}"])
    return 1 - left
