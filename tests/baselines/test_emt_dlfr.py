"""EMT-DLFR against a transcription of its formulas, sample by sample."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from plainlayers import Weights, attended, count_of, damaged, frames, linear, lstm, normed
from qamoe_baselines.emt_dlfr import CARD, EMTDLFR, build, interleaved_positions, lost_error
from tinylanguage import UNKNOWN, save_language_model
from torch import Tensor

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.seeding import seeded

MODALITIES = ("text", "audio", "vision")
SIZES: dict[str, Any] = {
    "text_hidden": 3, "text": 6, "audio_hidden": 4, "audio": 4, "vision_hidden": 2, "vision": 8, "width": 8, "heads": 2,
    "layers": 2, "hidden": 5,
}  # fmt: skip


@pytest.fixture
def model(tiny: Dataset) -> EMTDLFR:
    with seeded("emt-dlfr"):
        model = build(tiny.spec, **SIZES).eval()
        for name, buffer in model.named_buffers():  # as if it had been trained
            if "running" in name:
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return model


def unit(w: Weights, x: Tensor, source: Tensor) -> Tensor:
    at = "fusion.unit"
    for att, xs, sources in (("cross", "query_norm", "source_norm"), ("own", "own_norm", "own_norm")):
        q = linear(w, f"{at}.{att}.query", normed(w, f"{at}.{xs}", x))
        context = source if att == "cross" else x
        k, v = linear(w, f"{at}.{att}.key_value", normed(w, f"{at}.{sources}", context)).chunk(2, dim=1)
        x = x + linear(w, f"{at}.{att}.out", attended(q, k, v, 2))
    value, gate = linear(w, f"{at}.layers.inner", normed(w, f"{at}.last_norm", x)).chunk(2, dim=1)
    gelu = 0.5 * gate * (1 + torch.erf(gate / 2**0.5))
    return x + linear(w, f"{at}.layers.out", value * gelu)


def positions(length: int, width: int) -> Tensor:
    rows = []
    for t in range(length):
        angles = [torch.tensor(t / 10_000 ** (2 * (i // 2) / width)) for i in range(width)]
        rows.append(torch.stack([a.cos() if i % 2 else a.sin() for i, a in enumerate(angles)]))
    return torch.stack(rows)


def fused(w: Weights, states: dict[str, Tensor]) -> tuple[float, dict[str, Tensor], dict[str, Tensor]]:
    """The prediction, the vectors that attract, and the fused frames; states have the utterance in their first row."""
    mapped = {m: linear(w, f"maps.{m}", states[m]) for m in MODALITIES}
    g = torch.stack([mapped[m][0] for m in MODALITIES])
    x = {m: mapped[m][1:] + positions(len(mapped[m]) - 1, 8) for m in MODALITIES}
    for _ in range(2):
        views = [unit(w, g, x[m]) for m in MODALITIES]
        x = {m: unit(w, x[m], g) for m in MODALITIES}
        scores = [linear(w, "fusion.score.2", linear(w, "fusion.score.0", view.flatten()).tanh()) for view in views]
        weights = torch.cat(scores).softmax(0)
        g = sum((weight * view for weight, view in zip(weights, views, strict=True)), torch.zeros(3, 8))
    vectors = {m: states[m][0] for m in MODALITIES} | {"global": g.flatten()}
    hidden = linear(w, "head.1", torch.cat([*vectors.values()])).clamp(min=0)
    return linear(w, "head.5", linear(w, "head.3", hidden).clamp(min=0)).item(), vectors, x


def encoded(w: Weights, x: Tensor, m: str) -> Tensor:
    names = {key.replace(f"encoders.{m}.lstm.rnn.0", m): value for key, value in w.items()}
    states = lstm(names, m, x)
    return linear(w, f"encoders.{m}.linear", torch.cat([states[-1:], states]))


def batch_norm(w: Weights, name: str, x: Tensor) -> Tensor:
    y = (x - w[f"{name}.running_mean"]) / (w[f"{name}.running_var"] + 1e-5).sqrt()
    return y * w[f"{name}.weight"] + w[f"{name}.bias"] if f"{name}.weight" in w else y


def attraction(w: Weights, name: str, one: Tensor, other: Tensor) -> Tensor:
    """One of the two terms of a vector: the prediction of the first is compared with the projection of the other."""
    at = f"attractions.{name}"
    z, aim = (batch_norm(w, f"{at}.project.1", linear(w, f"{at}.project.0", x)) for x in (one, other))
    p = linear(w, f"{at}.predict.3", batch_norm(w, f"{at}.predict.1", linear(w, f"{at}.predict.0", z)).clamp(min=0))
    cosine: Tensor = (p @ aim) / (p.norm() * aim.norm())
    return -cosine / 2


def test_predictions_and_loss_follow_the_formulas(model: EMTDLFR, batch: TrainingBatch) -> None:
    few = damaged(batch).rows(slice(3, 8))
    w = model.state_dict()
    predictions: dict[bool, list[float]] = {True: [], False: []}
    attract = torch.zeros(())
    errors, entries = dict.fromkeys(MODALITIES, torch.zeros(())), dict.fromkeys(MODALITIES, 0)
    for i in range(5):
        x, vectors, local = {}, {}, {}
        for clean in (True, False):
            x[clean] = {m: frames(w, f"inputs.{m}", few, m, i, clean=clean)[: few.lengths[m][i]] for m in MODALITIES}
            states = {m: encoded(w, x[clean][m], m) for m in MODALITIES}
            prediction, vectors[clean], local[clean] = fused(w, states)
            predictions[clean].append(prediction)
        for name in vectors[True]:
            for one, other in ((True, False), (False, True)):
                attract = attract + attraction(w, name, vectors[one][name], vectors[other][name]) / 5
        for m in MODALITIES:
            lost = (x[True][m].abs().sum(1) > 0) & (x[False][m].abs().sum(1) == 0)
            d = (linear(w, f"rebuild.{m}", local[False][m]) - x[True][m])[lost].abs()
            errors[m] = errors[m] + torch.where(d < 1, d * d / 2, d - 0.5).sum()
            entries[m] += d.numel()
    output = model(few)
    torch.testing.assert_close(output.prediction, torch.tensor(predictions[False]), rtol=1e-5, atol=1e-5)
    error = sum((torch.tensor(p) - few.target).abs().mean() for p in predictions.values())
    rebuilt = sum(errors[m] / (entries[m] + 1e-6) for m in MODALITIES)
    assert all(entries.values())
    torch.testing.assert_close(model.loss(output, few), error + attract + rebuilt, rtol=1e-5, atol=1e-5)


def test_the_projections_that_are_aimed_at_have_no_gradient(model: EMTDLFR) -> None:
    attract: Any = model.attractions["audio"]
    incomplete, whole = (torch.randn(7, 4, requires_grad=True) for _ in range(2))
    gradient = torch.autograd.grad(attract(incomplete, whole), incomplete)[0]
    one = torch.nn.functional.cosine_similarity(
        attract.predict(attract.project(incomplete)),
        attract.project(whole).detach(),
    )
    torch.testing.assert_close(gradient, torch.autograd.grad(-one.mean() / 2, incomplete)[0])


def test_where_nothing_is_lost_nothing_is_rebuilt(model: EMTDLFR, batch: TrainingBatch) -> None:
    aim = torch.randn(2, 3, 4)
    assert lost_error(torch.zeros(2, 3, 4), aim, torch.zeros(2, 3, dtype=torch.bool)) == 0
    before = model.loss(model(batch), batch)
    torch.nn.init.constant_(model.rebuild["audio"].bias, 9.0)  # type: ignore[arg-type]
    assert model.loss(model(batch), batch) == before


def test_a_batch_of_one_sample_trains(model: EMTDLFR, batch: TrainingBatch) -> None:
    one = damaged(batch).rows(slice(3, 4))
    loss = model.train().loss(model(one), one)
    assert loss.isfinite()


def test_positions_are_those_of_the_code() -> None:
    torch.testing.assert_close(interleaved_positions(torch.zeros(1, 9, 5)), positions(9, 5))


def test_of_tokens_the_utterance_is_the_first_state_and_the_words_are_the_frames(
    tiny: Dataset, batch: TrainingBatch, tmp_path: Path
) -> None:
    language = str(save_language_model(tmp_path / "language"))
    model = build(replace(tiny.spec, token_ids={"text": UNKNOWN}, pretrained={"text": language}), **SIZES).eval()
    length = batch.lengths["text"].clamp(min=3)
    ids = 5 + torch.arange(4) % 3 * (torch.arange(4) < length[:, None])
    tokens = {**batch.features, "text": ids[..., None].float()}
    batch = replace(batch, features=tokens, clean=tokens, lengths={**batch.lengths, "text": length})
    encoded = model.encode_modality(batch, "text")
    torch.testing.assert_close(encoded[..., :-1], model.inputs["text"](batch)[0])
    words = torch.arange(4)
    assert torch.equal(encoded[..., -1] > 0, (words == 0) | (words < length[:, None] - 1))
    assert model.loss(model(batch), batch).isfinite()
    lost = replace(batch, features={**tokens, "text": tokens["text"].clone()})
    lost.features["text"][:, 1] = UNKNOWN
    changed = model._changed(lost, "text")
    assert changed[:, 1].all()
    assert not changed[:, 2:].any()


def test_the_published_sizes_have_the_parameters_of_the_code(tiny: Dataset) -> None:
    model = build(tiny.spec, **CARD["presets"]["paper"])  # type: ignore[index]
    widths = {"text": (5, 32, 32), "audio": (3, 32, 16), "vision": (4, 64, 32)}
    encoders = sum(4 * hidden * (d + hidden + 2) + (hidden + 1) * e for d, hidden, e in widths.values())
    maps = 128 * (32 + 16 + 32)
    unit = 4 * 2 * 128 + 2 * (4 * 128 * 128 + 128) + 129 * 1024 + 513 * 128
    pool = 384 * 384 + 384 + 385
    head = (32 + 16 + 32 + 384 + 1) * 256 + 257 * 256 + 257
    attract = 0
    for e, hidden in ((384, 128), (32, 10), (16, 8), (32, 16)):
        attract += e * e + e * hidden + 2 * hidden + (hidden + 1) * e  # of the code, less a bias of width e
    rebuild = 129 * (5 + 3 + 4)
    assert count_of(model) == encoders + maps + unit + pool + head + attract + rebuild
