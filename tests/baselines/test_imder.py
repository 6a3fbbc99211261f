"""IMDer, its score network and its sampler against transcriptions of their formulas, sample by sample."""

import math
from typing import Any

import pytest
import torch
from plainlayers import Weights, attended, count_of, damaged, frames, linear, normed
from qamoe_baselines.imder import CARD, IMDer, build, hidden_pattern
from qamoe_baselines.score_network import noise_std, sample_score, sampling_steps, score_loss
from torch import Tensor

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.seeding import seeded

MODALITIES = ("text", "audio", "vision")
SIZES: dict[str, Any] = {
    "width": 4, "heads": 2, "segments": 8, "levels": 3, "score_layers": 1, "time": 6, "blocks": 2, "steps": 3
}  # fmt: skip


@pytest.fixture
def model(tiny: Dataset) -> IMDer:
    with seeded("imder"):
        return build(tiny.spec, **SIZES).eval()


def transformed(w: Weights, name: str, x: Tensor, source: Tensor | None = None) -> Tensor:
    """A Transformer of one layer with two heads; a frame sees the source up to its own place."""
    x = positioned(x)
    block = f"{name}.blocks.0"
    queries = normed(w, f"{block}.norm", x)
    context = queries if source is None else normed(w, f"{block}.norm", positioned(source))
    key, value = linear(w, f"{block}.key_value", context).chunk(2, dim=1)
    query = linear(w, f"{block}.query", queries)
    rows = [attended(query[[t]], key[: t + 1], value[: t + 1], 2) for t in range(len(x))]
    x = x + linear(w, f"{block}.out", torch.cat(rows))
    hidden = linear(w, f"{block}.feed_forward.1", normed(w, f"{block}.feed_forward.0", x)).clamp(min=0)
    return normed(w, f"{name}.norm", x + linear(w, f"{block}.feed_forward.4", hidden))


def positioned(x: Tensor) -> Tensor:
    rows = []
    for t, row in enumerate(x):
        half = len(row) // 2
        angle = torch.tensor([(t + 1) * 10_000 ** (-i / max(half - 1, 1)) for i in range(half)])
        position = torch.cat([angle.sin(), angle.cos()])
        rows.append(len(row) ** 0.5 * row + (position if row[0] != 0 else 0))
    return torch.stack(rows)


def convolved(w: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """A convolution of three frames, of rows in time."""
    kernel = w[f"{name}.weight"]
    around = torch.cat([torch.zeros(1, x.shape[1]), x, torch.zeros(1, x.shape[1])])
    y = torch.stack([(kernel * around[t : t + 3].T).sum((1, 2)) for t in range(0, len(x), stride)])
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def spread(w: Weights, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """The transposed convolution: frame t adds to the frames around stride · t."""
    kernel = w[f"{name}.weight"]  # (inputs, outputs, 3)
    y = torch.zeros(stride * len(x) + 2, kernel.shape[1])
    for t, row in enumerate(x):
        for tap in range(3):
            y[stride * t + tap] += row @ kernel[..., tap]
    y = y[1:-1]
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def swish(x: Tensor) -> Tensor:
    return x / (1 + (-x).exp())


def level(w: Weights, name: str, y: Tensor, c: Tensor, e: Tensor, groups: int) -> Tensor:
    y = y + transformed(w, f"{name}.attention", y, c) + linear(w, f"{name}.time", e)
    parts = []
    for part in y.chunk(min(groups, y.shape[1]), dim=1):
        parts.append((part - part.mean()) / (part.var(correction=0) + 1e-5).sqrt())
    return swish(torch.cat(parts, dim=1) * w[f"{name}.norm.weight"] + w[f"{name}.norm.bias"])


def std(t: float) -> float:
    return math.sqrt((25 ** (2 * t) - 1) / (2 * math.log(25)))


def score(w: Weights, name: str, x: Tensor, t: float, c: Tensor) -> Tensor:
    angle = 2 * math.pi * t * w[f"{name}.embedding.frequencies"]
    e = swish(linear(w, f"{name}.embedding.linear", torch.cat([angle.sin(), angle.cos()])))
    h1 = level(w, f"{name}.down_levels.0", convolved(w, f"{name}.down.0", x), c, e, 4)
    c = convolved(w, f"{name}.down_condition.0", c, 2)
    h2 = level(w, f"{name}.down_levels.1", convolved(w, f"{name}.down.1", h1, 2), c, e, 32)
    c = convolved(w, f"{name}.down_condition.1", c, 2)
    h3 = level(w, f"{name}.down_levels.2", convolved(w, f"{name}.down.2", h2, 2), c, e, 32)
    c = spread(w, f"{name}.up_condition.0", c, 2)
    h = level(w, f"{name}.up_levels.0", spread(w, f"{name}.up.0", h3, 2), c, e, 32)
    c = spread(w, f"{name}.up_condition.1", c, 2)
    h = level(w, f"{name}.up_levels.1", spread(w, f"{name}.up.1", torch.cat([h, h2], dim=1), 2), c, e, 32)
    y = spread(w, f"{name}.last", torch.cat([h, h1], dim=1))
    return (y + transformed(w, f"{name}.last_attention", y, spread(w, f"{name}.last_condition", c))) / std(t)


def refined(w: Weights, name: str, x: Tensor) -> Tensor:
    start = h = linear(w, f"{name}.widen", x)
    for i in range(2):
        at = f"{name}.blocks.{i}"
        v = convolved(w, f"{at}.body.2", convolved(w, f"{at}.body.0", h).clamp(min=0))
        gate = linear(w, f"{at}.gate.2", linear(w, f"{at}.gate.0", v.mean(0)).clamp(min=0)).sigmoid()
        h = h + gate * v
    return linear(w, f"{name}.narrow", start + convolved(w, f"{name}.close", h))


def recovered(w: Weights, m: str, c: Tensor, noise: Tensor) -> Tensor:
    """Three ancestral steps at the times 1, ½ and 0.001."""
    levels = [std(1.0), std(0.5005), std(0.001), 0.0]
    x = noise[0] * levels[0]
    for i, t in enumerate((1.0, 0.5005, 0.001)):
        before, after = levels[i] ** 2, levels[i + 1] ** 2
        noisy = c + levels[i] * noise[1 + 2 * i]
        x = x + (before - after) * score(w, f"diffusion.{m}.score", x, t, noisy)
        x = x + math.sqrt(after * (before - after) / before) * noise[2 + 2 * i]
    return refined(w, f"diffusion.{m}.refine", x)


def segmented(w: Weights, m: str, x: Tensor, length: int) -> Tensor:
    means = []
    for s in range(8):
        part = x[s * length // 8 : -(-(s + 1) * length // 8)]
        part = part[part.abs().sum(1) > 0]
        means.append(part.mean(0) if len(part) else torch.zeros(x.shape[1]))
    return convolved(w, f"convolutions.{m}", torch.stack(means))


def predicted(w: Weights, x: dict[str, Tensor]) -> float:
    last = []
    for m in MODALITIES:
        streams = [transformed(w, f"cross.{m}_{k}", x[m], x[k]) for k in MODALITIES if k != m]
        last.append(transformed(w, f"memory.{m}", torch.cat(streams, dim=1))[-1])
    h = torch.cat(last)
    return linear(w, "out", h + linear(w, "project_2", linear(w, "project_1", h).clamp(min=0))).item()


def test_predictions_follow_the_formulas(model: IMDer, batch: TrainingBatch) -> None:
    few = damaged(batch).rows(torch.tensor([3, 6, 11]))
    few.features["vision"][0] = 0  # text and vision are missing, then vision, then audio
    few.features["audio"][2] = 0
    w = model.state_dict()
    expected = []
    for i in range(3):
        x, kept = {}, []
        for m in MODALITIES:
            standard = frames(w, f"inputs.{m}", few, m, i)
            x[m] = segmented(w, m, standard, int(few.lengths[m][i]))
            kept += [m] * bool(standard.any())
        whole = dict(x)
        for m in set(MODALITIES) - set(kept):
            c = x[kept[0]]
            if len(kept) == 2:
                c = linear(w, f"diffusion.{m}.join", torch.cat([x[k] for k in kept], dim=1))
            whole[m] = recovered(w, m, c, model.diffusion[m].noise)  # type: ignore[arg-type]
        expected.append(predicted(w, whole))
    output = model(few)
    torch.testing.assert_close(output.prediction, torch.tensor(expected), rtol=1e-4, atol=1e-4)


@pytest.mark.usefixtures("shapes_unchecked")
def test_an_evaluation_depends_neither_on_the_batch_nor_on_the_generator(model: IMDer, batch: TrainingBatch) -> None:
    incomplete = damaged(batch).rows(slice(0, 8))
    together = model(incomplete).prediction
    for size in (1, 7):
        torch.randn(size)
        parts = torch.cat([model(part).prediction for part in incomplete.split(size)])
        torch.testing.assert_close(parts, together)


def test_in_training_the_samples_of_a_batch_have_noise_of_their_own(model: IMDer) -> None:
    same = torch.ones(2, 8, 4)
    diffusion = model.diffusion["audio"]
    one, other = diffusion(same)
    torch.testing.assert_close(one, other)
    one, other = diffusion.train()(same)
    assert (one - other).abs().max() > 0.01


def test_the_losses_follow_the_formulas(model: IMDer, batch: TrainingBatch) -> None:
    few = batch.rows(slice(0, 6))
    with seeded("losses"):
        actual = model.recovery_loss(few)
    whole = {m: x[..., :-1] for m, x in model.encode(few).items()}
    expected = torch.zeros(())
    with seeded("losses"):
        kept = hidden_pattern(torch.Size((6, 3)), torch.device("cpu"))
        for i, m in enumerate(MODALITIES):
            rows = (~kept[:, i]).nonzero()[:, 0]
            others = [k for k in MODALITIES if k != m]
            columns = kept[rows][:, [MODALITIES.index(k) for k in others]]
            x = [whole[k][rows] * columns[:, j, None, None] for j, k in enumerate(others)]
            diffusion: Any = model.diffusion[m]
            both = torch.cat(x, dim=-1) @ diffusion.join.weight.T + diffusion.join.bias
            c = torch.where(columns.all(1)[:, None, None], both, x[0] + x[1])
            time = torch.rand(len(rows)) * (1 - 1e-5) + 1e-5
            z = torch.randn(len(rows), 8, 4)
            deviation = torch.tensor([std(float(t)) for t in time])[:, None, None]
            s = diffusion.score(whole[m][rows] + deviation * z, time, c + deviation * z)
            expected = expected + (deviation * s + z).square().sum() / len(rows)
            expected = expected + (diffusion(c) - whole[m][rows]).square().mean()
    torch.testing.assert_close(actual, 0.1 * expected, rtol=1e-4, atol=1e-4)


def test_the_recovery_error_teaches_the_refinement_alone(model: IMDer) -> None:
    diffusion = model.diffusion["text"].train()
    diffusion(torch.randn(3, 8, 4)).square().sum().backward()
    reached = {name.partition(".")[0] for name, p in diffusion.named_parameters() if p.grad is not None}
    assert reached == {"refine"}


@pytest.mark.usefixtures("shapes_unchecked")
@pytest.mark.parametrize("euler", [False, True])
def test_a_sampler_with_the_true_score_gives_the_data(euler: bool) -> None:
    """Of one data point: the score is (x₀ − x) / std(t)²; Euler–Maruyama needs many steps for it."""
    point = torch.randn(1, 3, 2)

    def exact(x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        return (point - x) / noise_std(time).square()[:, None, None]

    steps = sampling_steps(300 if euler else 3, euler=euler)
    with seeded("sampler"):
        samples = sample_score(exact, torch.zeros(200, 3, 2), steps)
    torch.testing.assert_close(samples.mean(0), point[0], rtol=0, atol=0.1 if euler else 1e-4)


def test_the_score_loss_of_the_true_score_is_zero() -> None:
    """Of data that are all zero."""

    def exact(x: Tensor, time: Tensor, condition: Tensor) -> Tensor:
        return -x / noise_std(time).square()[:, None, None]

    loss = score_loss(exact, torch.zeros(5, 3, 2), torch.zeros(5, 3, 2))
    torch.testing.assert_close(loss, torch.tensor(0.0), rtol=0, atol=1e-4)


def test_hidden_patterns_keep_some_and_not_all() -> None:
    with seeded("patterns"):
        kept = hidden_pattern(torch.Size((6000, 3)), torch.device("cpu"))
    codes = (kept * torch.tensor([1, 2, 4])).sum(1)
    counts = torch.bincount(codes, minlength=8)[1:7]
    assert counts.sum() == 6000
    assert ((counts - 1000).abs() < 150).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"segments": 10, "levels": 3}, "multiple of 4 from 8 on for 3 levels, got 10; set segments=8"),
        ({"segments": 4, "levels": 3}, "got 4; set segments=8"),
        ({"levels": 1}, "levels: expected at least 2"),
        ({"steps": 1}, "steps: expected at least 2"),
    ],
)
def test_sizes_that_cannot_be_are_refused(settings: dict[str, int], message: str, tiny: Dataset) -> None:
    with pytest.raises(BenchError, match=message):
        build(tiny.spec, **settings)


def transformer_count(width: int, layers: int) -> int:
    return layers * (12 * width * width + 9 * width + 4 * width) + 2 * width


def test_the_published_sizes_have_the_parameters_of_the_code(tiny: Dataset) -> None:
    model = build(tiny.spec, **{**CARD["presets"]["paper"], "steps": 2})  # type: ignore[index]
    channels = (32, 64, 128, 256)
    pairs = [32 * 64, 64 * 128, 128 * 256]
    network = 256 * 257 + 3 * 32 * 32 + 2 * 3 * sum(pairs)  # time, and down with the condition
    network += 3 * (256 * 128 + 256 * 64 + 128 * 32 + sum(pairs))  # up, with the way down from the second on
    for c in (*channels, *channels[:3]):
        network += transformer_count(c, 2) + 257 * c + 2 * c
    network += 3 * 64 * 32 + 32 + 3 * 32 * 32 + 32 + transformer_count(32, 2)
    block = 2 * (3 * 64 * 64 + 64) + 65 * 4 + 5 * 64
    refinement = 33 * 64 + 20 * block + 3 * 64 * 64 + 64 + 65 * 32
    fusion = 6 * transformer_count(32, 4) + 3 * transformer_count(64, 4) + 2 * 193 * 192 + 193
    frames = 3 * 32 * (5 + 3 + 4)
    assert count_of(model) == 3 * (network + refinement + 65 * 32) + fusion + frames
