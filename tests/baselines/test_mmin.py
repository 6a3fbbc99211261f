"""MMIN against a transcription of its formulas, sample by sample."""

import pytest
import torch
from plainlayers import Weights, count_of, damaged, frames, linear, lstm
from qamoe_baselines.mmin import CARD, MMIN, build
from torch import Tensor

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.seeding import seeded

MODALITIES = ("text", "audio", "vision")
SIZES = {"width": 4, "blocks": 2, "hidden": 5}


@pytest.fixture
def model(tiny: Dataset) -> MMIN:
    with seeded("mmin"):
        model = build(tiny.spec, **SIZES).eval()
    model.copied = True
    return model


def embedding(w: Weights, part: str, x: dict[str, Tensor], length: dict[str, int]) -> Tensor:
    """U of one sample, from frames by modality."""
    pooled = []
    for i, size in enumerate((3, 4, 5)):
        text = torch.cat([x["text"], torch.zeros(4, 5)])
        kernel = w[f"{part}.text.convolutions.{i}.weight"]  # (W, D, size)
        windows = [(kernel * text[t : t + size].T).sum((1, 2)) for t in range(len(text) - size + 1)]
        convolved = torch.stack(windows) + w[f"{part}.text.convolutions.{i}.bias"]
        pooled.append(convolved.clamp(min=0).amax(0))
    u = [linear(w, f"{part}.text.map.1", torch.cat(pooled)).clamp(min=0)]
    u += [lstm(w, f"{part}.{m}.lstm", x[m])[: length[m]].amax(0) for m in ("audio", "vision")]
    return torch.cat(u)


def cascade(w: Weights, name: str, u: Tensor) -> tuple[Tensor, Tensor]:
    """U' and the codes."""
    v, s, codes = u, torch.zeros_like(u), []
    for i in range(2):
        v = v + s
        hidden = linear(w, f"{name}.encoders.{i}.0", v)
        hidden = linear(w, f"{name}.encoders.{i}.2", torch.where(hidden > 0, hidden, 0.01 * hidden))
        codes.append(linear(w, f"{name}.encoders.{i}.4", torch.where(hidden > 0, hidden, 0.01 * hidden)))
        s = linear(w, f"{name}.decoders.{i}.2", linear(w, f"{name}.decoders.{i}.0", codes[-1]).clamp(min=0)).clamp(
            min=0
        )
        s = linear(w, f"{name}.decoders.{i}.4", s)
    last = linear(w, f"{name}.transition.0", v + s).clamp(min=0)
    return linear(w, f"{name}.transition.2", last), torch.cat(codes)


def head(w: Weights, name: str, x: Tensor) -> Tensor:
    hidden = linear(w, f"{name}.3", linear(w, f"{name}.0", x).clamp(min=0)).clamp(min=0)
    return linear(w, f"{name}.6", hidden)[0]


def sample(w: Weights, batch: TrainingBatch, row: int, *, clean: bool = False) -> dict[str, Tensor]:
    return {m: frames(w, f"inputs.{m}", batch, m, row, clean=clean) for m in MODALITIES}


def lengths(batch: TrainingBatch, row: int) -> dict[str, int]:
    return {m: int(batch.lengths[m][row]) for m in MODALITIES}


def test_predictions_and_both_losses_follow_the_formulas(model: MMIN, batch: TrainingBatch) -> None:
    few = damaged(batch).rows(slice(3, 8))
    w = model.state_dict()
    terms, teacher, predictions = torch.zeros(3), torch.zeros(()), []
    for i in range(5):
        u = embedding(w, "encoders", sample(w, few, i), lengths(few, i))
        imagined, codes = cascade(w, "cascade", u)
        predictions.append(head(w, "head", codes))
        complete, seen = sample(w, few, i, clean=True), sample(w, few, i)
        # Frames that the clean sample has and the damaged one has lost; zeros elsewhere.
        gone = {m: complete[m] * (seen[m].abs().sum(1) == 0)[:, None] for m in MODALITIES}
        aim = embedding(w, "teacher", gone, lengths(few, i))
        terms[0] += (predictions[-1] - few.target[i]) ** 2 / 5
        terms[1] += (imagined - aim).square().mean() / 5
        terms[2] += (cascade(w, "cycle", imagined)[0] - u).square().mean() / 5
        taught = head(w, "teacher_head", embedding(w, "teacher", complete, lengths(few, i)))
        teacher += (taught - few.target[i]) ** 2 / 5
    torch.testing.assert_close(model(few).prediction, torch.stack(predictions), rtol=1e-5, atol=1e-5)
    expected = terms @ torch.tensor([1.0, 4.0, 2.0])
    torch.testing.assert_close(model.imagination_loss(few), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(model.teacher_loss(few), teacher, rtol=1e-5, atol=1e-5)


def test_the_encoders_start_as_the_teachers_once(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, **SIZES)
    model.imagination_loss(batch)
    for mine, teachers in zip(model.encoders.parameters(), model.teacher.parameters(), strict=True):
        assert torch.equal(mine, teachers)
    torch.nn.init.zeros_(model.encoders["audio"].lstm.weight_hh_l0)  # type: ignore[union-attr, arg-type]
    model.imagination_loss(batch)
    assert not model.encoders["audio"].lstm.weight_hh_l0.any()  # type: ignore[union-attr, operator]


def test_nothing_missing_means_that_the_teacher_sees_zeros(model: MMIN, batch: TrainingBatch) -> None:
    embedded = model.missing_embedding(batch)
    w = model.state_dict()
    zeros = {m: torch.zeros_like(x[0]) for m, x in batch.features.items()}
    torch.testing.assert_close(embedded[2], embedding(w, "teacher", zeros, lengths(batch, 2)))


def test_the_published_sizes_have_the_parameters_of_the_code(tiny: Dataset) -> None:
    model = build(tiny.spec, **CARD["presets"]["paper"])  # type: ignore[index]
    text = (3 + 4 + 5) * 5 * 128 + 3 * 128 + 384 * 128 + 128
    others = sum(4 * 128 * (width + 128 + 2) for width in (3, 4))
    sizes = (384, 256, 128, 64)
    coder = 384 * 256 + 256 * 128 + 128 * 64
    cascade_count = 5 * (2 * coder + sum(sizes[1:]) + sum(sizes[:-1])) + 2 * (384 * 384 + 384)
    heads = (384 + 320) * 128 + 2 * (128 + 128 * 128 + 128 + 129)
    assert count_of(model) == 2 * (text + others) + 2 * cascade_count + heads
