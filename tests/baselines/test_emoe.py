"""EMOE against a transcription of its formulas, sample by sample."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from mmsamodels import SmallBert, token_dataset
from plainlayers import Weights, attended, count_of, damaged, frames, linear, normed
from qamoe_baselines import masked_frames
from qamoe_baselines.emoe import CARD, EMOE, ModalityRouter, build
from tinydata import make_dataset, training_batch
from torch import Tensor

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.cost.counter import count
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.registry import find_model
from qamoe_bench.seeding import seeded

SIZES: dict[str, Any] = {"width": 4, "heads": 2, "layers": 2, "kernel": 3, "segments": 2}
FAITHFUL = find_model("emoe:faithful").settings


def made(data: Dataset, **settings: Any) -> EMOE:
    with seeded("emoe"):
        return build(data.spec, **SIZES, **settings).eval()


def transformed(w: Weights, name: str, x: Tensor) -> Tensor:
    """Two layers with two heads; a frame sees those up to its own place, and zeros have no position."""
    rows = []
    for t, row in enumerate(x):
        angle = torch.tensor([(t + 1) * 10_000 ** (-i / 1) for i in range(2)])
        position = torch.cat([angle.sin(), angle.cos()])
        rows.append(2 * row + (position if row[0] != 0 else 0))
    x = torch.stack(rows)
    for i in range(2):
        at = f"{name}.blocks.{i}"
        normal = normed(w, f"{at}.norm", x)
        query = linear(w, f"{at}.query", normal)
        key, value = linear(w, f"{at}.key_value", normal).chunk(2, dim=1)
        seen = [attended(query[[t]], key[: t + 1], value[: t + 1], 2) for t in range(len(x))]
        x = x + linear(w, f"{at}.out", torch.cat(seen))
        hidden = linear(w, f"{at}.feed_forward.1", normed(w, f"{at}.feed_forward.0", x)).clamp(min=0)
        x = x + linear(w, f"{at}.feed_forward.4", hidden)
    return normed(w, f"{name}.norm", x)


def expert(w: Weights, m: str, x: Tensor, length: int, *, faithful: bool) -> Tensor:
    """The frame that is read."""
    kernel = w[f"convolutions.{m}.weight"]
    around = torch.cat([torch.zeros(1, x.shape[1]), x, torch.zeros(1, x.shape[1])])
    convolved = torch.stack([(kernel * around[t : t + 3].T).sum((1, 2)) for t in range(len(x))])
    states = transformed(w, f"transformers.{m}", convolved @ w["shared.weight"].T)
    return states[-1] if faithful else states[length - 1]


def halves(x: Tensor, length: int) -> Tensor:
    """Means of the frames that are not zero of two segments, as one vector."""
    means = []
    for part in (x[: -(-length // 2)], x[length // 2 : length]):
        kept = part[part.abs().sum(1) > 0]
        means.append(kept.mean(0) if len(kept) else torch.zeros(x.shape[1]))
    return torch.cat(means)


def headed(w: Weights, name: str, f: Tensor) -> tuple[Tensor, Tensor]:
    u = f + linear(w, f"{name}.outer", linear(w, f"{name}.inner", f).clamp(min=0))
    return u, linear(w, f"{name}.out", u)[0]


def routed(w: Weights, z: Tensor) -> Tensor:
    n = linear(w, "router.hidden", z)
    return (linear(w, "router.out", (n / n.square().sum().sqrt()).clamp(min=0)) / 0.1).softmax(0)


def squares(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().mean()


@pytest.mark.parametrize("variant", ["", "concat", "faithful"])
@pytest.mark.parametrize("modalities", [("text", "audio", "vision"), ("audio", "vision"), ("text",)])
def test_predictions_and_the_loss_follow_the_formulas(modalities: tuple[str, ...], variant: str) -> None:
    data = make_dataset(modalities)
    model = made(data, **find_model(f"emoe:{variant}" if variant else "emoe").settings)
    w = model.state_dict()
    batch = training_batch(data.splits["test"])
    few = (damaged(batch) if len(modalities) == 3 else batch).rows(slice(3, 8))
    count = len(modalities)
    predictions = []
    losses = torch.zeros(())
    for row in range(5):
        h, z = {}, []
        for m in modalities:
            x = frames(w, f"inputs.{m}", few, m, row)
            length = int(few.lengths[m][row])
            h[m] = expert(w, m, x, length, faithful=variant == "faithful")
            z.append(halves(x, length))
        weights = routed(w, torch.cat(z)) if count > 1 else torch.ones(1)
        alone = {m: headed(w, f"unimodal.{m}", h[m]) for m in modalities}
        weighted = [weights[i] * h[m] for i, m in enumerate(modalities)]
        teachers = [weights[i] * alone[m][0] for i, m in enumerate(modalities)]
        if variant == "concat":
            fused, teacher = count * torch.cat(weighted), torch.cat(teachers)
        else:
            fused, teacher = torch.stack(weighted).sum(0), torch.stack(teachers).sum(0)
        u, prediction = headed(w, "head", fused)
        predictions.append(prediction)
        y = few.target[row]
        closeness = torch.stack([1 / ((alone[m][1] - y) ** 2 + 0.1) for m in modalities])
        loss = (prediction - y).abs() + sum((alone[m][1] - y).abs() for m in modalities) / count
        loss = loss + 0.1 * squares(u.softmax(0), teacher.softmax(0))
        entropy = count * (weights * weights.log()).sum()
        losses = losses + loss + 0.1 * (entropy + 0.1 * squares(weights, closeness / closeness.sum()))
    output = model(few)
    torch.testing.assert_close(output.prediction, torch.stack(predictions), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.loss(output, few), losses / 5, rtol=1e-5, atol=1e-5)


def test_teachers_and_aims_have_no_gradient(tiny: Dataset, batch: TrainingBatch) -> None:
    """The errors and vectors of single modalities are learnt by the errors of single modalities alone."""
    names = ("distillation", "similarity", "spread")
    gradients = []
    for value in (0.0, 50.0):
        model = made(tiny, **dict.fromkeys(names, value))
        model.loss(model(batch), batch).backward()  # type: ignore[no-untyped-call]
        gradients.append([p.grad for p in model.unimodal.parameters()])
    for without, with_all in zip(*gradients, strict=True):
        assert without is not None
        assert with_all is not None
        torch.testing.assert_close(without, with_all)


def test_a_weight_that_is_rounded_to_zero_has_a_finite_loss(tiny: Dataset, batch: TrainingBatch) -> None:
    model = made(tiny)
    assert isinstance(model.router, ModalityRouter)
    model.router.out.bias.data = torch.tensor([100.0, 0.0, 0.0])
    output = model(batch)
    assert (output.parts["weights"] == 0).any()
    model.loss(output, batch).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_later_frames_and_padding_do_not_move_what_is_read(tiny: Dataset, batch: TrainingBatch) -> None:
    """Attention sees the past only, so that only the width of the convolution reaches beyond the last valid frame."""
    longer = {m: torch.cat([x, torch.zeros_like(x)], dim=1) for m, x in batch.features.items()}
    padded = replace(batch, features=longer, clean=longer)
    torch.testing.assert_close(made(tiny)(padded).prediction, made(tiny)(batch).prediction)
    faithful = made(tiny, **FAITHFUL)
    assert (faithful(padded).prediction - faithful(batch).prediction).abs().max() > 1e-4


def test_states_of_token_ids_are_convolved_and_routed(
    monkeypatch: pytest.MonkeyPatch, make_batch: Callable[[Dataset], TrainingBatch]
) -> None:
    monkeypatch.setattr(masked_frames, "TokenStates", SmallBert)
    data = token_dataset()
    batch = make_batch(data)
    model = made(data)
    assert model.convolutions["text"].weight.shape == (4, 8, 3)
    states: Any = model.inputs["text"]
    row = states(batch)[0][7, : batch.lengths["text"][7]]
    torch.testing.assert_close(model.encode_modality(batch, "text")[7, 4:], halves(row, len(row)))
    model.loss(model(batch), batch).backward()  # type: ignore[no-untyped-call]
    assert all(p.grad is not None and p.grad.any() for p in states.language.model.encoder.layer[0].output.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kernel": 4}, "setting kernel: expected an odd number of frames, got 4; add 1"),
        ({"segments": 0}, "setting segments: expected at least 1, got 0"),
        ({"temperature": 0.0}, "setting temperature: expected more than 0, got 0.0"),
    ],
)
def test_settings_that_cannot_be_are_refused(settings: dict[str, Any], message: str, tiny: Dataset) -> None:
    with pytest.raises(BenchError, match=message):
        build(tiny.spec, **settings)


def test_the_published_sizes_have_the_parameters_of_the_code(tiny: Dataset) -> None:
    ours = build(tiny.spec, **CARD["presets"]["paper"])  # type: ignore[index]
    widths, width = 5 + 3 + 4, 256
    square = width * width
    convolutions = 5 * widths * width
    transformers = 3 * (4 * (12 * square + 13 * width) + 2 * width)
    heads = 4 * (2 * (square + width) + width + 1)
    routed = 50 * widths
    router = (routed + 1) * (routed // 8) + 3 * (routed // 8 + 1)
    unused = 3 * square  # maps of each modality
    code = convolutions + square + unused + transformers + heads + router
    assert count_of(ours) == code - unused


def test_multiply_adds_leave_out_the_predictions_of_single_modalities(tiny: Dataset, batch: TrainingBatch) -> None:
    total = 0
    for width, longest in ((5, 4), (3, 6), (4, 5)):
        total += 2 * longest * width  # means of segments
        total += longest * (3 * width * 4 + 4 * 4)
        total += 2 * longest * (12 * 4 * 4 + 2 * longest * 4)  # layers
    routed = 2 * (5 + 3 + 4)
    total += routed * (routed // 8) + routed // 8 * 3 + 2 * 4 * 4 + 4
    assert sum(count(made(tiny), batch)[0].values()) == 20 * total
