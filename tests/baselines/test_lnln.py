"""LNLN against a transcription of its formulas, sample by sample."""

import pytest
import torch
from plainlayers import (
    Weights,
    attended,
    count_of,
    damaged,
    frame_tokens,
    linear,
    normed,
    token_block,
    token_states,
    token_transformer_count,
)  # fmt: skip
from qamoe_baselines.lnln import CARD, LNLN, build
from tinydata import make_dataset
from torch import Tensor

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.seeding import seeded

MODALITIES = ("text", "audio", "vision")
SIZES = {"width": 8, "hidden": 6, "heads": 2, "head_width": 3, "hyper_heads": 4, "depth": 2, "tokens": 3}


@pytest.fixture
def model(tiny: Dataset) -> LNLN:
    with seeded("lnln"):
        return build(tiny.spec, **SIZES).eval()


def two_layers(w: Weights, name: str, x: Tensor) -> Tensor:
    hidden = linear(w, f"{name}.0", x)
    return linear(w, f"{name}.2", torch.where(hidden > 0, hidden, 0.1 * hidden))


def corrected_of(w: Weights, h: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """The completeness and d⁰."""
    c = two_layers(w, "completeness", token_states(w, "check", h["text"], 2)[-1][0]).sigmoid()
    proxy = token_states(w, "proxy", torch.cat([w["proxy_start"][0], h["audio"], h["vision"]]), 2)[-1][:3]
    return c, (1 - c) * proxy + c * h["text"]


def predicted(w: Weights, h: dict[str, Tensor]) -> float:
    states = token_states(w, "language", corrected_of(w, h)[1], 2)
    hyper = w["hyper_start"][0]
    for i, state in enumerate(states):
        query = linear(w, f"hyper.{i}.query", normed(w, f"hyper.{i}.query_norm", state))
        total = torch.zeros(3, 8)
        for m in ("audio", "vision"):
            source = normed(w, f"hyper.{i}.source_norms.{m}", h[m])
            key, value = (linear(w, f"hyper.{i}.{kind}.{m}", source) for kind in ("keys", "values"))
            total = total + attended(query, key, value, 4)
        hyper = hyper + linear(w, f"hyper.{i}.out", total)
    source = torch.cat([w["cross.first"][0], hyper]) + w["cross.source_positions"][0]
    target = torch.cat([w["cross.first"][0], states[-1]]) + w["cross.target_positions"][0]
    for i in range(2):
        target = token_block(w, f"cross.blocks.{i}", target, source, 2)
    return linear(w, "head", target[1:].mean(0)).item()


def test_predictions_follow_the_formulas(model: LNLN, batch: TrainingBatch) -> None:
    incomplete = damaged(batch)
    w = model.state_dict()
    output = model(incomplete)
    for row, prediction in enumerate(output.prediction[:12].tolist()):
        h = {m: frame_tokens(w, m, incomplete, row, 2, clean=False) for m in MODALITIES}
        assert prediction == pytest.approx(predicted(w, h), abs=1e-5)
        assert output.parts["completeness"][row].item() == pytest.approx(corrected_of(w, h)[0].item(), abs=1e-5)


def test_the_loss_follows_the_formulas(model: LNLN, batch: TrainingBatch) -> None:
    few = damaged(batch).rows(slice(3, 8))
    w = model.state_dict()
    output = model(few)
    terms = torch.zeros(4)
    for i in range(5):
        h = {m: frame_tokens(w, m, few, i, 2, clean=False) for m in MODALITIES}
        clean = {m: frame_tokens(w, m, few, i, 2, clean=True) for m in MODALITIES}
        c, d = corrected_of(w, h)
        terms[0] += (predicted(w, h) - few.target[i]) ** 2 / 5
        terms[1] += (c[0] - few.signal["text"][i]) ** 2 / 5
        scores = [two_layers(w, "discriminator", x).log_softmax(-1) for x in (d, clean["text"])]
        terms[2] -= (scores[0][:, 1].sum() + scores[1][:, 0].sum()) / 30
        for m in MODALITIES:
            rebuilt = token_states(w, f"reconstructors.{m}", h[m], 2)[-1]
            terms[3] += (rebuilt - clean[m]).square().mean() / 15
    expected = terms @ torch.tensor([1.0, 0.9, 0.8, 0.1])
    torch.testing.assert_close(model.loss(output, few), expected, rtol=1e-5, atol=1e-5)


def test_only_the_faithful_variant_trains_the_proxy_against_the_prediction(tiny: Dataset, batch: TrainingBatch) -> None:
    gradients = []
    for faithful in (False, True):
        with seeded("lnln"):
            model = build(tiny.spec, **SIZES, reverse_prediction=faithful).eval()
        model(batch).prediction.sum().backward()
        assert model.proxy_start.grad is not None
        gradients.append(model.proxy_start.grad)
    torch.testing.assert_close(gradients[1], -gradients[0])
    # The discriminator's loss is reversed in both.
    model = build(tiny.spec, **SIZES).eval()
    model(batch).parts["corrected"].sum().backward()
    assert model.proxy_start.grad is not None


def test_a_single_modality_needs_no_hyper_modality() -> None:
    data = make_dataset(("audio",))
    model = build(data.spec)
    assert not len(model.hyper)
    assert model(data.splits["test"].batch()).prediction.shape == (20,)


def test_the_published_sizes_have_the_parameters_of_the_code(tiny: Dataset) -> None:
    model = build(tiny.spec, **CARD["presets"]["paper"])  # type: ignore[index]
    encoders = sum(width * 128 + 128 for width in (5, 3, 4))
    encoders += sum(token_transformer_count(frames, 8, 2) for frames in (4, 6, 5))
    small = (128 * 64 + 64) + 65 + (128 * 64 + 64) + 130  # completeness, discriminator
    check = token_transformer_count(8, 1, 2)
    proxy = token_transformer_count(24, 8, 2)
    language = token_transformer_count(8, 0, 2)
    # Three layers with norms of the dominant and two others (the code's fourth, of g, is unused), and six maps.
    hyper = 3 * (3 * 256 + 5 * 128 * 128 + 128 * 128 + 128)
    cross = token_transformer_count(0, 0, 2) + 2 * 9 * 128 + 128
    starts = 2 * 8 * 128
    expected = encoders + small + check + proxy + language + hyper + cross + starts + 129
    assert count_of(model) == expected + 3 * token_transformer_count(8, 0, 2)
