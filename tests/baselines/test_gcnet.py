"""GCNet against a transcription of its formulas, node by node."""

import pytest
import torch
from plainlayers import Weights, bilstm, count_of, damaged, frames, linear
from qamoe_baselines.gcnet import CARD, build, window_relations
from qamoe_baselines.segments import segment_means
from torch import Tensor

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.seeding import seeded

MODALITIES = ("text", "audio", "vision")
SIZES = {"segments": 5, "width": 3, "graph_width": 4, "past": 2, "future": 1}


def segments_of(x: Tensor, length: int) -> tuple[Tensor, list[bool]]:
    """Means of the frames that are not zero, and which segments have one, of five segments."""
    means, present = [], []
    for s in range(5):
        part = x[s * length // 5 : -(-(s + 1) * length // 5)]
        kept = part[part.abs().sum(1) > 0]
        means.append(kept.mean(0) if len(kept) else torch.zeros(x.shape[1]))
        present.append(len(kept) > 0)
    return torch.stack(means), present


def relation(target: int, source: int, speaker: bool) -> int | None:
    """Number of the relation of an edge from a node to another; None without an edge."""
    if not source - 2 <= target <= source + 1:
        return None
    if speaker:
        return 0
    return 0 if source < target else 1 if source == target else 2


def graph_states(w: Weights, name: str, h: Tensor, *, speaker: bool, attention: bool) -> Tensor:
    edges = {(i, j): relation(i, j, speaker) for i in range(5) for j in range(5)}
    g = []
    for i in range(5):
        node = linear(w, f"{name}.layers.own", h[i])
        for r in range(1 if speaker else 3):
            sources = [j for j in range(5) if edges[i, j] == r]
            if sources:
                node = node + torch.stack([linear(w, f"{name}.layers.related.{r}", h[j]) for j in sources]).mean(0)
        g.append(node)
    second = []
    for i in range(5):
        total = sum((g[j] for j in range(5) if edges[i, j] is not None), torch.zeros(4))
        second.append(linear(w, f"{name}.layers.neighbour", total) + linear(w, f"{name}.layers.own_second", g[i]))
    states = bilstm(w, f"{name}.lstm", torch.cat([h, torch.stack(second)], dim=1), 2)
    if attention:
        queries = linear(w, f"{name}.match", states)
        states = torch.stack([torch.softmax(torch.tanh(states @ q), 0) @ states for q in queries])
    return linear(w, f"{name}.linear", states).clamp(min=0)


@pytest.mark.parametrize("attention", [False, True])
def test_predictions_and_loss_follow_the_formulas(tiny: Dataset, batch: TrainingBatch, attention: bool) -> None:
    with seeded("gcnet"):
        model = build(tiny.spec, **SIZES, attention=attention).eval()
    few = damaged(batch).rows(slice(3, 8))
    w = model.state_dict()
    predictions, error, rebuilt = [], torch.zeros(()), torch.zeros(())
    for i in range(5):
        lengths = {m: int(few.lengths[m][i]) for m in MODALITIES}
        seen = {m: segments_of(frames(w, f"inputs.{m}", few, m, i), lengths[m]) for m in MODALITIES}
        clean = {m: segments_of(frames(w, f"inputs.{m}", few, m, i, clean=True), lengths[m]) for m in MODALITIES}
        h = bilstm(w, "lstm", torch.cat([seen[m][0] for m in MODALITIES], dim=1), 2)
        e = graph_states(w, "temporal", h, speaker=False, attention=attention)
        e = e + graph_states(w, "speaker", h, speaker=True, attention=attention)
        predictions.append(linear(w, "head", e).mean())
        error += (predictions[-1] - few.target[i]) ** 2 / 5
        for m, x_hat in zip(MODALITIES, torch.split(linear(w, "rebuild", e), [5, 3, 4], dim=1), strict=True):
            for s in range(5):
                if clean[m][1][s] and not seen[m][1][s]:
                    rebuilt += (x_hat[s] - clean[m][0][s]).square().sum() / x_hat.shape[1] / 25
    output = model(few)
    torch.testing.assert_close(output.prediction, torch.stack(predictions), rtol=1e-5, atol=1e-5)
    assert rebuilt > 0
    torch.testing.assert_close(model.loss(output, few), error + rebuilt, rtol=1e-5, atol=1e-5)


def test_a_window_of_one_node_before_and_two_after() -> None:
    past, present, future = window_relations(4, past=1, future=2)
    # Each node has edges to one node before it and two after it; rows are where the edges end.
    assert past.tolist() == [[0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0]]
    assert torch.equal(present, torch.eye(4))
    assert future.tolist() == [[0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [0, 0, 0, 0]]


def test_segments_of_short_and_long_samples() -> None:
    x = torch.arange(1.0, 7.0).expand(3, 6)[..., None]
    observed = torch.ones(3, 6, dtype=torch.bool)
    observed[2, :3] = False
    means, present = segment_means(x, observed, torch.tensor([6, 1, 6]), 3)
    assert means[..., 0].tolist() == [[1.5, 3.5, 5.5], [1, 1, 1], [0, 4, 5.5]]
    assert present.tolist() == [[True] * 3, [True] * 3, [False, True, True]]
    assert not segment_means(x, observed, torch.zeros(3, dtype=torch.long), 3)[1].any()


def test_nothing_is_rebuilt_where_nothing_is_missing(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, **SIZES).eval()
    output = model(batch)
    torch.testing.assert_close(model.loss(output, batch), (output.prediction - batch.target).square().mean())


def test_the_published_sizes_have_the_parameters_of_the_code(tiny: Dataset) -> None:
    model = build(tiny.spec, **CARD["presets"]["paper"])  # type: ignore[index]

    def recurrent(inputs: int, width: int) -> int:
        """Both directions of two layers."""
        return sum(2 * 4 * width * (n + width + 2) for n in (inputs, 2 * width))

    graphs = 0
    for relations in (3, 1):
        convolutions = (relations + 1) * 400 * 100 + 100 + 2 * 100 * 100 + 100
        graphs += convolutions + recurrent(500, 500) + 1000 * 500 + 500
    # The code has a GRU beside the first LSTM and matching attention in both graphs, all unused.
    assert count_of(model) == recurrent(12, 200) + graphs + 501 + 500 * 12 + 12
