"""The result of `qamoe_bench.evaluate`: predictions under every condition, to score, analyse or store."""

from __future__ import annotations  # keeps the signatures that help() shows short

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qamoe_bench.metrics.choice import chosen
from qamoe_bench.metrics.dialects import scores
from qamoe_bench.store.cell import run_name
from qamoe_bench.store.memory import MemoryCell
from qamoe_bench.store.store import Store
from qamoe_bench.store.verification import PREDICTED
from qamoe_bench.vocabulary import REGRESSION

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Evaluation:
    """Predictions of one model under every condition of a protocol.

    Attributes:
        predictions: One row per seed, draw, condition and test sample: `seed`, then the columns of
            `qamoe_bench.evaluation.sweep.Sweep`.
        cells: The same predictions as cells of a store, one per seed.
        manifest: Description of the data set and the protocol, as a store keeps it.
    """

    predictions: pd.DataFrame
    cells: tuple[MemoryCell, ...] = field(default=(), repr=False, compare=False)
    manifest: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def scores(self, dialect: str = "") -> pd.DataFrame:
        """Metrics under each condition, averaged over seeds and draws.

        Args:
            dialect: Name of the metric dialect; empty for the default one of the task.

        Returns:
            One row per condition, in order, and one column per metric of the dialect.

        Raises:
            BenchError: If the dialect does not exist, or is one for another task.

        Examples:
            >>> evaluation = qamoe_bench.evaluate(qamoe_bench.load_model("mean"))
            >>> round(float(evaluation.scores().loc["eta=0.3", "mae"]), 2)
            1.4
        """
        import pandas as pd  # here, because comparing stores starts without it

        task = self.cells[0].task if self.cells else REGRESSION
        choice = chosen(dialect)
        choice.check([task])
        definitions = choice.dialect_for(task).on_scale(self.predictions["target"].to_numpy())
        conditions = []
        rows = []
        # One block per seed, draw and condition; a metric of all samples together would not be the mean of its draws.
        groups = self.predictions.groupby(["seed", "draw", "condition"], sort=False, observed=True)
        for (_, _, condition), block in groups:
            # A metric may judge predictions of its own, `prediction_<metric>`.
            names = [name for name in block.columns if name == "target" or name.startswith(PREDICTED)]
            columns = {name: block[name].to_numpy() for name in names}
            conditions.append(condition)
            rows.append(scores(definitions, columns))
        table = pd.DataFrame(rows, pd.Index(conditions, name="condition")).astype(float)
        return table.groupby(level=0, sort=False).mean()

    def save(self, results: Path | str) -> Store:
        """Write the predictions to a results folder, for `qamoe_bench.compare` and the command line.

        Args:
            results: The folder; it may hold other runs.

        Returns:
            The store of that folder.

        Raises:
            BenchError: If the folder cannot be written to.

        Examples:
            >>> evaluation = qamoe_bench.evaluate(qamoe_bench.load_model("mean"))
            >>> store = evaluation.save("results")
            >>> [stored.cell.label for stored in store.cells()]
            ['Mean given 1111 random-missing']
        """
        from qamoe_bench.evaluation.columns import as_arrow  # needs torch, which reading an evaluation does not

        store = Store(results)
        # The run id depends on the content only, so saving twice writes the same files.
        keys = [stored.cell.key for stored in self.cells]
        run_id = run_name(self.manifest["data"]["name"], keys)
        store.prepare(run_id)
        store.write_manifest(run_id, {**self.manifest, "cells": keys})
        for stored in self.cells:
            store.write_cell(run_id, stored.cell, stored.facts, as_arrow(dict(stored.arrays)))
        return store

    def _repr_html_(self) -> str:
        # Notebooks call this to show an evaluation; an undefined metric, such as a correlation, is a dash.
        return str(self.scores().to_html(float_format="{:.3f}".format, na_rep="–"))
