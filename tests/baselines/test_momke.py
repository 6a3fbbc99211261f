"""MoMKE against a transcription of its formulas, sample by sample."""

import pytest
import torch
from plainlayers import Weights, attended, count_of, damaged, frames, linear
from qamoe_baselines.momke import CARD, MoMKE, build
from torch import Tensor

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.seeding import seeded

MODALITIES = ("text", "audio", "vision")


@pytest.fixture
def model(tiny: Dataset) -> MoMKE:
    with seeded("momke"):
        return build(tiny.spec, segments=2, width=6, blocks=2, heads=2).eval()


def perceptron(w: Weights, name: str, x: Tensor) -> Tensor:
    hidden = linear(w, f"{name}.0", x)
    return linear(w, f"{name}.3", 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5)))


def halves(x: Tensor, length: int) -> tuple[Tensor, Tensor]:
    """Means of the frames that are not zero of two segments, and whether there are any."""
    parts = [x[: -(-length // 2)], x[length // 2 : length]]
    kept = [part[part.abs().sum(1) > 0] for part in parts]
    means = [part.mean(0) if len(part) else torch.zeros(x.shape[1]) for part in kept]
    return torch.stack(means), torch.tensor([len(part) > 0 for part in kept])


def expert(w: Weights, m: str, z: Tensor, present: Tensor) -> Tensor:
    for i in range(2):
        at = f"experts.{m}.blocks.{i}"
        a = torch.zeros_like(z)
        if present.any():
            q, k, v = (linear(w, f"{at}.{kind}", z) for kind in ("query", "key", "value"))
            a = attended(q, k, v, 2, present)
        z = z + a + perceptron(w, f"{at}.mlp", a)
    return z


def projected(w: Weights, batch: TrainingBatch, m: str, row: int, *, clean: bool) -> tuple[Tensor, Tensor]:
    x = frames(w, f"inputs.{m}", batch, m, row, clean=clean)
    means, present = halves(x, int(batch.lengths[m][row]))
    return linear(w, f"project.{m}.0", means), present


def predicted(w: Weights, batch: TrainingBatch, row: int) -> Tensor:
    z = []
    for m in MODALITIES:
        p, present = projected(w, batch, m, row, clean=False)
        weights = perceptron(w, f"routers.{m}", p).softmax(-1)
        mixed = sum((weights[:, [k]] * expert(w, e, p, present) for k, e in enumerate(MODALITIES)), torch.zeros(2, 6))
        z.append(mixed * present[:, None])
    o = torch.cat(z, dim=1)
    return linear(w, "head", linear(w, "joint.0", o).clamp(min=0) + o).mean()


def test_predictions_and_both_losses_follow_the_formulas(model: MoMKE, batch: TrainingBatch) -> None:
    few = damaged(batch).rows(slice(3, 8))
    w = model.state_dict()
    predictions = torch.stack([predicted(w, few, row) for row in range(5)])
    torch.testing.assert_close(model(few).prediction, predictions, rtol=1e-5, atol=1e-5)
    expected = (predictions - few.target).square().mean()
    torch.testing.assert_close(model.router_loss(few), expected, rtol=1e-5, atol=1e-5)
    alone = torch.zeros(())
    for row in range(5):
        for m in MODALITIES:
            z = expert(w, m, *projected(w, few, m, row, clean=True))
            alone += (linear(w, f"alone.{m}", z).mean() - few.target[row]) ** 2 / 5
    torch.testing.assert_close(model.expert_loss(few), alone, rtol=1e-5, atol=1e-5)


def test_missing_modalities_leave_nothing_behind(model: MoMKE, batch: TrainingBatch) -> None:
    assert not model.encode(damaged(batch))["text"][:5].any()


def test_the_published_sizes_have_the_parameters_of_the_code(tiny: Dataset) -> None:
    model = build(tiny.spec, **CARD["presets"]["paper"])  # type: ignore[index]
    square = 256 * 256 + 256
    project = sum(width * 256 + 256 for width in (5, 3, 4))
    routers = 3 * (square + 256 * 3 + 3)
    joint = 768 * 768 + 768
    assert count_of(model) == project + 3 * 4 * 5 * square + 3 * 257 + routers + joint + 769
