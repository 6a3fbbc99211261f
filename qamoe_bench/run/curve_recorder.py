"""Recording the test metrics of a training, epoch by epoch, without touching the training.

Each epoch's weights are loaded into another model of the same builder, which predicts the test samples as a sweep does.
The trained model is only read, and no random number of the training is drawn.

Dimension legend: E epochs, V draws, C conditions, N samples.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray
from torch import nn

from qamoe_bench.evaluation.plain_predictions import predict_conditions
from qamoe_bench.evaluation.precision import Precision
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.metrics.definitions import Definition
from qamoe_bench.metrics.dialects import dialects_for
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.seeding import global_randomness_restored
from qamoe_bench.store.cell import Cell
from qamoe_bench.store.selection import Name, SelectionCurve
from qamoe_bench.vocabulary import REGRESSION, Task


@dataclass
class CurveInProgress:
    """The curve of a cell, of which the conditions come from one training or from several.

    Attributes:
        cell: The cell.
        protocol: Its protocol.
        precision: Of the evaluation of the cell.
        epochs: By condition, the metrics after each epoch so far.
        selected: By condition, the epoch that the validation split selected.
    """

    cell: Cell
    protocol: Protocol
    precision: Precision
    epochs: dict[str, list[dict[Name, float]]] = field(default_factory=dict)
    selected: dict[str, int] = field(default_factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether the trainings of all conditions are over."""
        return len(self.selected) == len(self.protocol.conditions)

    def finished(self) -> SelectionCurve:
        """The curve, of a cell whose trainings are over."""
        names = [condition.name for condition in self.protocol.conditions]
        first = self.epochs.get(names[0], [])
        values = {}
        for name in first[0] if first else ():  # a model without parameters has no epochs
            by_condition = [[metrics[name] for metrics in self.epochs[condition]] for condition in names]
            values[name] = np.array(by_condition).T  # (E, C)
        return SelectionCurve(tuple(names), tuple(self.selected[name] for name in names), values)


@dataclass(frozen=True)
class Watched:
    """The part of a curve that one training adds to: some or all conditions of a cell."""

    curve: CurveInProgress
    conditions: Sequence[Condition]


class CurveRecorder:
    """Adds to the curves of some cells after each epoch of one training.

    Attributes:
        seconds: Time that this took so far.
    """

    def __init__(self, build: Callable[[], nn.Module], test: TestSet, watched: Sequence[Watched]) -> None:
        self.seconds = 0.0
        self._watched = watched
        self._test = test
        with global_randomness_restored():
            self._model = build().eval()  # on the device of the test set
        for part in watched:  # an earlier attempt at this training may have failed
            part.curve.epochs |= {condition.name: [] for condition in part.conditions}

    def record(self, model: nn.Module) -> None:
        """Add the test metrics of a model after an epoch."""
        start = time.perf_counter()
        self._model.load_state_dict(model.state_dict())
        label = self._test.target.astype(np.float64)
        for part in self._watched:
            curve = part.curve
            with global_randomness_restored():
                predictions = predict_conditions(
                    self._model, self._test, part.conditions, curve.protocol.draws, curve.precision
                )
            metrics = all_metrics(predictions.astype(np.float64), label, self._test.data.task)
            for place, condition in enumerate(part.conditions):
                of_condition = {name: float(values[place]) for name, values in metrics.items()}
                curve.epochs[condition.name].append(of_condition)
        self.seconds += time.perf_counter() - start

    def finish(self, selected: int) -> None:
        """Note the epoch that the validation split selected, when the training is over."""
        for part in self._watched:
            part.curve.selected |= {condition.name: selected for condition in part.conditions}


def all_metrics(
    predictions: Float[NDArray[np.float64], "V C N ..."],
    label: Float[NDArray[np.float64], " N"],
    task: Task = REGRESSION,
) -> dict[Name, Float[NDArray[np.float64], " C"]]:
    """Every metric of every dialect under each condition, mean over draws; NaN where a prediction is not finite.

    Args:
        predictions: Predictions, or log-probabilities (V, C, N, K) of classes or labels.
        label: Labels.
        task: What they say.
    """
    within = tuple(range(2, predictions.ndim))  # the axes of samples and of classes
    is_finite = np.asarray(np.isfinite(predictions).all(within))  # (V, C)
    places = np.expand_dims(is_finite, within)
    known = np.where(places, predictions, 0.0)
    computed: list[tuple[Definition, NDArray[np.float64]]] = []  # dialects have definitions in common
    metrics = {}
    for dialect in dialects_for(task):
        for name, definition in dialect.on_scale(label).definitions.items():
            values = next((values for other, values in computed if other is definition), None)
            if values is None:
                values = np.where(is_finite, definition(known, label), np.nan).mean(0)
                computed.append((definition, values))
            metrics[dialect.name, name] = values
    return metrics
