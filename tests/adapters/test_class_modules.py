"""Plain modules of other code on data of classes and of several labels."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from tinydata import make_dataset
from torch import Tensor, nn

from qamoe_bench.adapters.arrays import ArrayBatch
from qamoe_bench.adapters.building import adapt
from qamoe_bench.adapters.function import FunctionModel
from qamoe_bench.contract import Output, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.nn.answers import class_output, prediction_loss
from qamoe_bench.training.phases import loss_of
from qamoe_bench.vocabulary import Task

CLASSES = Task("classes", ("a", "b", "c"))
SEVERAL = Task("multi-label", ("a", "b", "c"))


class Plain(nn.Module):
    """Returns three values per sample, from the mean text."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, 3)

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor) -> Tensor:
        values: Tensor = self.head(text.mean(1))
        return values


class Softmax(Plain):
    """Returns probabilities of classes."""

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor) -> Tensor:
        return super().forward(text, audio, vision).softmax(1)


class Sigmoid(Plain):
    """Returns probabilities of labels."""

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor) -> Tensor:
        return super().forward(text, audio, vision).sigmoid()


class WithCrossEntropy(Plain):
    """Has a criterion of torch."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.loss = nn.CrossEntropyLoss(label_smoothing=0.1)


class WithBinaryLoss(Plain):
    """Has a criterion of torch for labels."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.loss = nn.BCEWithLogitsLoss()


class OneNumber(nn.Module):
    """Returns one number per sample."""

    def forward(self, text: Tensor, audio: Tensor, vision: Tensor) -> Tensor:
        return text.mean((1, 2))


@pytest.fixture(scope="module", params=[CLASSES, SEVERAL], ids=lambda task: task.kind)
def data(request: pytest.FixtureRequest) -> Dataset:
    """Tiny data of each task."""
    return make_dataset(task=request.param)


def adapted(model: nn.Module, data: Dataset) -> nn.Module:
    return adapt(model, data.examples, data.spec, "plain").eval()


def probabilities(output: Output) -> Tensor:
    assert output.log_probabilities is not None
    return output.log_probabilities.exp()


def test_scores_and_probabilities_are_told_apart(data: Dataset) -> None:
    samples = data.splits["test"].batch()
    width = data.spec.widths["text"]
    normalised = Softmax(width) if data.task.kind == "classes" else Sigmoid(width)
    scores = Plain(width)
    scores.load_state_dict(normalised.state_dict())
    with torch.no_grad():
        of_scores = adapted(scores, data)(samples)
        of_probabilities = adapted(normalised, data)(samples)
        expected = class_output(scores(*(samples.features[m] for m in samples.modalities)), data.task)
    torch.testing.assert_close(probabilities(of_scores), probabilities(expected))
    torch.testing.assert_close(probabilities(of_probabilities), probabilities(expected))
    torch.testing.assert_close(of_probabilities.prediction, expected.prediction)
    assert str(adapted(normalised, data)).count("probabilities") == 1
    assert str(adapted(scores, data)).count("scores") == 1


def test_criteria_of_torch_get_labels_as_they_take_them(data: Dataset) -> None:
    width = data.spec.widths["text"]
    is_classes = data.task.kind == "classes"
    torch.manual_seed(0)  # scores that all happen to lie between 0 and 1 would be taken as probabilities
    model = adapted(WithCrossEntropy(width) if is_classes else WithBinaryLoss(width), data).train()
    split = data.splits["train"]
    batch = TrainingBatch(split.features, split.lengths, split.target, split.features, {}, torch.arange(len(split)))
    output = model(batch)
    loss = loss_of(model, output, batch, data.task)
    loss.backward()  # type: ignore[no-untyped-call]
    if not is_classes:
        torch.testing.assert_close(loss, prediction_loss(output, batch.target, data.task), rtol=1e-4, atol=1e-5)
    assert loss.ndim == 0
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_one_number_per_sample_is_refused_in_one_line(data: Dataset) -> None:
    with pytest.raises(BenchError) as refused:
        adapted(OneNumber(), data)
    message = str(refused.value)
    assert "expected a prediction with 3 scores for each of" in message
    assert "return it as a tensor of shape (" in message
    model = adapted(Plain(data.spec.widths["text"]), data)
    with pytest.raises(RunFailed, match="expected 3 scores per sample"):
        model.as_output(torch.zeros(4), 4)  # type: ignore[operator]


def test_a_regression_still_wants_one_number(data: Dataset) -> None:
    with pytest.raises(BenchError, match="with one number for each of"):
        adapt(Plain(data.spec.widths["text"]), data.examples, replace(data.spec, task=Task()), "plain")


def test_a_function_of_arrays_returns_probabilities(data: Dataset) -> None:
    samples = data.splits["test"].batch()
    wanted = torch.tensor([[0.2, 0.5, 0.3]]).expand(samples.size, -1)

    def function(batch: ArrayBatch) -> Any:
        return wanted[: batch.size].numpy()

    output = FunctionModel(function, "mine", data.task)(samples)
    torch.testing.assert_close(probabilities(output), wanted)
    (predicted,) = set(output.prediction.tolist())
    assert predicted == (1 if data.task.kind == "classes" else 0)
    certain = FunctionModel(lambda batch: np.eye(3)[np.zeros(batch.size, int)], "sure", data.task)(samples)
    assert certain.log_probabilities is not None
    assert certain.log_probabilities.isfinite().all()
    for returned, expected in (
        (lambda batch: np.zeros(batch.size), "expected an array of shape"),
        (lambda batch: np.full((batch.size, 3), 1.5), "expected probabilities from 0 to 1"),
    ):
        with pytest.raises(BenchError, match=expected):
            FunctionModel(returned, "wrong", data.task)(samples)
