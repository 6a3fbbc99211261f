"""Predictions alone: no other outputs, no checks, no timing.

The computation is that of a sweep, so equal weights give equal predictions.

Dimension legend: V draws, C conditions, N samples, K classes or labels.
"""

from collections.abc import Callable, Sequence
from itertools import product

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from qamoe_bench.contract import Output
from qamoe_bench.evaluation.columns import answers_of
from qamoe_bench.evaluation.precision import Precision
from qamoe_bench.evaluation.sweep import BATCH_SIZE, make_predictor
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.evaluation.trial import Trial, batches_of, groups, trials_of
from qamoe_bench.protocol.spec import Condition
from qamoe_bench.seeding import seeded


@torch.inference_mode()
def predict_conditions(
    model: nn.Module, test: TestSet, conditions: Sequence[Condition], draws: int, precision: Precision
) -> NDArray[np.float32]:
    """Predictions of a model in evaluation mode, (V, C, N); they need not be finite.

    Of classes or labels, their log-probabilities, (V, C, N, K).

    Args:
        model: The model.
        test: The samples, and the draws of a seed.
        conditions: The conditions.
        draws: Number of independent draws of each condition.
        precision: Of the model's own arithmetic.
    """
    predictor = make_predictor(model, test, encode_once=True, precision=precision)
    predict: Callable[..., object] = predictor.predict  # each kind takes what its own `prepare` returns
    trials = trials_of(test, list(product(range(draws), conditions)), BATCH_SIZE)
    parts: dict[Trial, list[NDArray[np.float32]]] = {trial: [] for trial in trials}
    for group in groups(trials, model):
        for trial, rows, corrupted, later in batches_of(group):
            prepared = predictor.prepare(corrupted, rows.start, later, refresh=trial.first)
            with seeded("sweep", *trial.words, rows.start):  # for models that sample in evaluation
                output = predict(prepared)
            assert isinstance(output, Output)
            parts[trial].append(answers_of(output))
    joined = np.stack([np.concatenate(part) for part in parts.values()])
    return joined.reshape(draws, len(conditions), *joined.shape[1:])
