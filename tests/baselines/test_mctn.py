"""MCTN against a transcription of its formulas, sample by sample and step by step."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from mmsamodels import SmallBert, token_dataset
from plainlayers import Weights, count_of, damaged, frames, linear, lstm
from qamoe_baselines import masked_frames
from qamoe_baselines.mctn import CARD, MCTN, build
from tinydata import make_dataset, training_batch
from torch import Tensor

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.cost.counter import count
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.registry import find_model
from qamoe_bench.seeding import seeded

FAITHFUL = find_model("mctn:faithful").settings
SEGMENTS = 3
HIDDEN = 4


def made(data: Dataset, **settings: Any) -> MCTN:
    with seeded("mctn"):
        return build(data.spec, segments=SEGMENTS, hidden=HIDDEN, **settings).eval()


def segmented(w: Weights, batch: TrainingBatch, m: str, row: int, *, clean: bool = False) -> tuple[Tensor, list[bool]]:
    """Means of three parts, and which of them have a frame that is not zero."""
    x = frames(w, f"inputs.{m}", batch, m, row, clean=clean)
    n = int(batch.lengths[m][row])
    means, present = [], []
    for s in range(SEGMENTS):
        part = x[s * n // SEGMENTS : -(-(s + 1) * n // SEGMENTS)]
        part = part[part.abs().sum(1) > 0]
        means.append(part.mean(0) if len(part) else torch.zeros(x.shape[1]))
        present.append(len(part) > 0)
    return torch.stack(means), present


def padded(x: Tensor, width: int) -> Tensor:
    return torch.cat([x, torch.zeros(len(x), width - x.shape[1])], dim=1)


def both_ways(w: Weights, name: str, x: Tensor) -> Tensor:
    return lstm(w, f"{name}.rnn", x) + lstm(w, f"{name}.rnn", x, backward=True)


def decoded(w: Weights, name: str, e: Tensor, *, faithful: bool) -> Tensor:
    output, cell = torch.zeros(HIDDEN), torch.zeros(HIDDEN)
    rows = []
    for _ in range(len(e)):
        energies = []
        for e_i in e:
            if not faithful:
                e_i = (w[f"{name}.key.weight"] @ e_i + w[f"{name}.query.weight"] @ cell).tanh()
            energies.append(w[f"{name}.score.weight"][0] @ e_i)
        context = (torch.stack(energies).softmax(0)[:, None] * e).sum(0)
        i, f, g, o = (linear(w, f"{name}.input", context) + linear(w, f"{name}.recurrent", output)).chunk(4)
        cell = (i if faithful else f).sigmoid() * cell + i.sigmoid() * g.tanh()
        output = o.sigmoid() * cell.tanh()
        row = linear(w, f"{name}.out", output)
        rows.append(row.tanh() if faithful else row)
    return torch.stack(rows)


def predicted(w: Weights, joint: Tensor) -> Tensor:
    h = lstm(w, "recurrence", joint)
    weights = torch.stack([linear(w, "attention", row).tanh() for row in h]).softmax(0)
    return linear(w, "out", (weights * h).sum(0))[0]


class Errors:
    """The mean squared error over entries that count, of all samples."""

    def __init__(self) -> None:
        self.squares = torch.zeros(())
        self.entries = 0

    def add(self, predicted: Tensor, aim: Tensor, present: list[bool], width: int, *, faithful: bool) -> None:
        if faithful:
            aim, present = padded(aim, width), [True] * len(aim)
        for x_hat, x, counts in zip(predicted, aim, present, strict=True):
            if counts:
                self.squares = self.squares + (x_hat[: len(x)] - x).square().sum()
                self.entries += len(x)

    def mean(self) -> Tensor:
        return self.squares / self.entries


@pytest.mark.parametrize("faithful", [False, True])
@pytest.mark.parametrize("modalities", [("text", "audio", "vision"), ("audio", "vision"), ("text", "vision")])
def test_predictions_and_the_loss_follow_the_formulas(modalities: tuple[str, ...], faithful: bool) -> None:
    data = make_dataset(modalities)
    model = made(data, **FAITHFUL) if faithful else made(data)
    w = model.state_dict()
    batch = training_batch(data.splits["test"])
    few = damaged(batch).rows(slice(3, 8)) if len(modalities) == 3 else batch.rows(slice(3, 8))
    few.clean["vision"][1] = 0  # the data themselves lack some
    few.clean[modalities[0]][2:4, 1:3] = 0
    source, target, *last = [m for m in ("text", "vision", "audio") if m in modalities]
    width = max(data.spec.widths[m] for m in (modalities if faithful else (source, target)))
    errors = {part: Errors() for part in ("target", "cycle", "last")}
    predictions = []
    for row in range(5):
        x_s = segmented(w, few, source, row)[0]
        e = both_ways(w, f"encoders.{source}", padded(x_s, width))
        x_t = decoded(w, "decoder", e, faithful=faithful)
        aim, present = segmented(w, few, target, row, clean=True)
        errors["target"].add(x_t, aim, present, width, faithful=faithful)
        again = x_t if faithful else padded(x_t[:, : data.spec.widths[target]], width)
        back = decoded(w, "decoder", both_ways(w, f"encoders.{source}", again), faithful=faithful)
        errors["cycle"].add(back, *segmented(w, few, source, row, clean=True), width, faithful=faithful)
        joint = e
        if last:
            joint = both_ways(w, "joint", e)
            x_r = decoded(w, "last_decoder", joint, faithful=faithful)
            errors["last"].add(x_r, *segmented(w, few, last[0], row, clean=True), width, faithful=faithful)
        predictions.append(predicted(w, joint))
    expected = torch.stack(predictions)
    output = model(few)
    torch.testing.assert_close(output.prediction, expected, rtol=1e-5, atol=1e-5)
    loss = (expected - few.target).abs().mean() + 0.01 * w["out.weight"].square().sum()
    for part in ("target", "cycle", "last") if last else ("target", "cycle"):
        loss = loss + 0.1 * errors[part].mean()
    torch.testing.assert_close(model.loss(output, few), loss, rtol=1e-5, atol=1e-5)


def test_one_modality_is_translated_into_nothing() -> None:
    data = make_dataset(("vision",))
    batch = training_batch(data.splits["test"]).rows(slice(0, 4))
    model = made(data)
    w = model.state_dict()
    assert not [name for name in w if "decoder" in name or name.startswith("joint")]
    rows = [predicted(w, both_ways(w, "encoders.vision", segmented(w, batch, "vision", row)[0])) for row in range(4)]
    output = model(batch)
    torch.testing.assert_close(output.prediction, torch.stack(rows), rtol=1e-5, atol=1e-5)
    expected = (output.prediction - batch.target).abs().mean() + 0.01 * w["out.weight"].square().sum()
    torch.testing.assert_close(model.loss(output, batch), expected)


def test_the_prediction_reads_the_source_alone(tiny: Dataset, batch: TrainingBatch) -> None:
    without = replace(batch, features={m: x * (m == "text") for m, x in batch.features.items()})
    assert torch.equal(made(tiny)(without).prediction, made(tiny)(batch).prediction)
    nothing = replace(batch, features={**batch.features, "text": torch.zeros_like(batch.features["text"])})
    constant = made(tiny)(nothing).prediction
    torch.testing.assert_close(constant, constant[:1].expand(20))
    other = made(tiny, source="audio")
    assert other.path == ("audio", "text", "vision")
    assert (other(nothing).prediction - other(without).prediction).abs().max() > 1e-4


def test_the_attention_of_the_code_is_the_same_at_every_step(tiny: Dataset) -> None:
    """Constant over time, its term of the state drops out of the softmax; that of the state moves."""
    encoding = torch.randn(2, SEGMENTS, HIDDEN)
    for faithful in (True, False):
        decoder = made(tiny, state_attention=not faithful).decoder
        assert decoder is not None
        contexts: list[Tensor] = []
        decoder.input.register_forward_pre_hook(lambda _, inputs, seen=contexts: seen.append(inputs[0]))
        decoder(encoding)
        moved = torch.stack(contexts).std(0).max()
        assert moved < 1e-7 if faithful else moved > 1e-5


def test_decoders_of_the_code_stay_within_one(tiny: Dataset, batch: TrainingBatch) -> None:
    decoder = made(tiny, bounded=True).decoder
    assert decoder is not None
    decoder.out.weight.data *= 100
    assert decoder(torch.randn(4, SEGMENTS, HIDDEN)).abs().max() <= 1


def test_a_language_model_learns_as_the_source_and_not_as_an_aim(
    monkeypatch: pytest.MonkeyPatch, make_batch: Callable[[Dataset], TrainingBatch]
) -> None:
    monkeypatch.setattr(masked_frames, "TokenStates", SmallBert)
    data = token_dataset()
    batch = make_batch(data)
    model = made(data)
    assert model.width == 8
    states: Any = model.inputs["text"]
    aims, _ = model._segments(batch, "text")
    error = model._error(torch.zeros(20, SEGMENTS, 8), batch, "text")
    assert not error.requires_grad
    torch.testing.assert_close(error, aims.detach().square().mean())
    model.loss(model(batch), batch).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.any() for p in states.language.model.encoder.layer[0].output.parameters())


def test_a_source_that_the_data_lack_is_refused() -> None:
    with pytest.raises(BenchError, match=r"source: expected a modality of the data \(text, vision\), got 'audio'"):
        build(make_dataset(("text", "vision")).spec, source="audio")
    with pytest.raises(BenchError, match="segments: expected at least 1, got 0"):
        build(make_dataset().spec, segments=0)


def test_the_published_sizes_have_the_parameters_of_the_code(tiny: Dataset) -> None:
    ours = build(tiny.spec, **CARD["presets"]["paper"], **FAITHFUL)  # type: ignore[index]
    h, widest = 32, 5
    cell = 4 * h * h + 4 * h  # of keras: one bias
    encoders = 2 * (4 * h * widest + cell) + 2 * (4 * h * h + cell)
    decoder = 2 * cell + (h + 1) * widest + 2 * h + 1
    prediction = 4 * h * h + cell + 2 * (h + 1)
    code = encoders + 2 * decoder + prediction
    # Torch has a second bias in five LSTMs; the term of the state and the bias of the scores have no effect.
    assert count_of(ours) == code + 5 * 4 * h - 2 * (h + 1)


def test_multiply_adds_are_those_of_the_source_and_the_prediction(tiny: Dataset, batch: TrainingBatch) -> None:
    width, longest = 5, 4  # of text
    means = SEGMENTS * longest * width
    encoder = 2 * SEGMENTS * 4 * HIDDEN * (width + HIDDEN)
    joint = 2 * SEGMENTS * 4 * HIDDEN * 2 * HIDDEN
    prediction = SEGMENTS * (4 * HIDDEN * 2 * HIDDEN + HIDDEN) + HIDDEN
    assert sum(count(made(tiny), batch)[0].values()) == 20 * (means + encoder + joint + prediction)
