"""From Python: what the command line does with a model that is already trained, for a notebook."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
import torch
from torch import nn

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.evaluation.sweep import sweep_model
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.metrics.dialects import find_dialect, scores
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.run.planner import check_tokens, find_device


@dataclass(frozen=True)
class Evaluation:
    """What a model answered under every condition of a protocol.

    Attributes:
        predictions: One row per seed, draw, condition and test sample; the columns of
            `qamoe_bench.evaluation.sweep.Sweep` with `seed` in front.
    """

    predictions: pd.DataFrame

    def scores(self, dialect: str = "mmsa") -> pd.DataFrame:
        """Every metric of a dialect (columns) under each condition (rows, in order), mean over seeds and draws.

        Raises:
            BenchError: for a dialect that does not exist.
        """
        definitions = find_dialect(dialect)
        found = {
            words: scores(
                definitions, {"prediction": block["prediction"].to_numpy(), "target": block["target"].to_numpy()}
            )
            for words, block in self.predictions.groupby(["seed", "draw", "condition"], sort=False, observed=True)
        }
        conditions = pd.Index([condition for _, _, condition in found], name="condition")
        return pd.DataFrame([*found.values()], conditions).astype(float).groupby(level=0, sort=False).mean()

    def _repr_html_(self) -> str:
        return str(self.scores().to_html(float_format="{:.3f}".format, na_rep="–"))


def evaluate(
    model: nn.Module, data: Dataset | str, protocol: Protocol | str, seeds: Sequence[int], device: str
) -> Evaluation:
    """See `qamoe_bench.evaluate`."""
    dataset = open_dataset(data) if isinstance(data, str) else data
    sweep = load_protocol(protocol) if isinstance(protocol, str) else protocol
    check_tokens(sweep, dataset)
    where, training = torch.device(find_device(device)), model.training
    parts = []
    for seed in seeds:
        columns = sweep_model(model.to(where), TestSet(dataset, seed, where), sweep).columns
        parts.append(pd.DataFrame({"seed": seed, **columns}))
    model.train(training)
    return Evaluation(pd.concat(parts, ignore_index=True))
