"""From the values of a last layer to outputs, and their errors, in every task."""

import math
from dataclasses import replace

import pytest
import torch
from tinydata import CLASSES, LABELS, make_dataset, training_batch
from torch.nn import functional

from qamoe_bench.contract import Output
from qamoe_bench.nn.answers import Answers, balanced_weights, label_losses, prediction_loss, probable_output

LN2 = math.log(2)
REGRESSION_SPEC = make_dataset().spec


def test_numbers_are_standardised_or_in_label_units() -> None:
    values = torch.tensor([[0.0], [2.0]])
    spec = replace(REGRESSION_SPEC, label_mean=1.0, label_std=0.5)
    assert Answers(spec)(values).prediction.tolist() == [1.0, 2.0]
    assert Answers(spec, standardised=False)(values).prediction.tolist() == [0.0, 2.0]


def test_the_error_of_numbers_is_the_given_one() -> None:
    batch = training_batch(make_dataset().splits["test"])
    output = Output(batch.target + 2)
    answers = Answers(REGRESSION_SPEC)
    torch.testing.assert_close(answers.loss(output, batch), torch.tensor(2.0))
    torch.testing.assert_close(answers.loss(output, batch, functional.mse_loss), torch.tensor(4.0))


def test_hand_worked_likelihoods_of_classes_and_of_labels() -> None:
    half = probable_output(torch.tensor([[0.5, 0.25, 0.25], [0.25, 0.5, 0.25]]).log(), CLASSES)
    assert half.prediction.tolist() == [0.0, 1.0]
    target = torch.tensor([0.0, 2.0])
    torch.testing.assert_close(prediction_loss(half, target, CLASSES), torch.tensor(1.5 * LN2))
    weights = torch.tensor([3.0, 1.0, 1.0])
    torch.testing.assert_close(prediction_loss(half, target, CLASSES, weights), torch.tensor((3 + 2) / 4 * LN2))
    several = probable_output(torch.tensor([[0.75, 0.5, 0.25, 0.75]]).log(), LABELS)
    assert several.prediction.tolist() == [9.0]  # a probability of ½ is not more likely than not
    losses = [-math.log(0.75), LN2, -math.log(0.75), -math.log(0.25)]  # of labels that hold, hold, do not, do not
    torch.testing.assert_close(prediction_loss(several, torch.tensor([3.0]), LABELS), torch.tensor(sum(losses) / 4))


@pytest.mark.parametrize("task", [CLASSES, LABELS], ids=lambda task: task.kind)
def test_losses_of_several_predictions_average_to_the_loss_of_each(task: object) -> None:
    chosen = CLASSES if task is CLASSES else LABELS
    scores = torch.randn(20, 2, chosen.outputs, generator=torch.Generator().manual_seed(1))
    target = make_dataset(task=chosen).splits["test"].target
    log_probabilities = scores.log_softmax(-1) if chosen is CLASSES else functional.logsigmoid(scores)
    losses = label_losses(log_probabilities, target, chosen)
    for index in range(2):
        output = Answers(make_dataset(task=chosen).spec)(scores[:, index])
        torch.testing.assert_close(losses[:, index].mean(), prediction_loss(output, target, chosen))


def test_a_certain_and_wrong_label_has_a_finite_gradient() -> None:
    scores = torch.tensor([[200.0, -200.0, 0.0, 0.0]], requires_grad=True)
    output = Answers(make_dataset(task=LABELS).spec)(scores)
    torch.autograd.backward(prediction_loss(output, torch.tensor([2.0]), LABELS))
    assert scores.grad is not None
    assert scores.grad.isfinite().all()


def test_balanced_weights_are_inverse_shares_with_mean_one() -> None:
    spec = replace(make_dataset(task=CLASSES).spec, class_shares=(0.5, 0.25, 0.25))
    torch.testing.assert_close(balanced_weights(spec), torch.tensor([0.6, 1.2, 1.2]))


def test_an_output_without_probabilities_is_named() -> None:
    with pytest.raises(TypeError, match="make it with qamoe_bench.nn.answers.Answers"):
        prediction_loss(Output(torch.zeros(2)), torch.zeros(2), CLASSES)
