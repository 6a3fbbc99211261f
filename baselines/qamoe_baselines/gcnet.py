"""GCNet: graph networks over a sequence of incomplete samples, which also reconstruct what is missing.

Re-implemented after
    Lian, Chen, Sun, Liu, Tao: GCNet: Graph Completion Network for Incomplete Multimodal Learning in Conversation
    (IEEE TPAMI 45(7), 2023; arXiv 2203.02177), code zeroQiaoba/GCNet @ 8cce4a0.

Nodes i = 1 … S with features x_i = [x_i^t; x_i^a; x_i^v], zeros where missing:
    h = BiLSTM(x), two layers
    g_i = Σ_r mean_{j ∈ N_r(i)} W_r h_j + W_0 h_i + b;   g'_i = W_1 Σ_{j ∈ N(i)} g_j + b_1 + W_2 g_i       graph layers
    q = ReLU(W BiLSTM([h; g']) + b), two layers, and with `attention` of Σ_j α_ij BiLSTM(…)_j, see `matching_weights`
for a temporal graph (r: past, present, future) and a speaker graph (r: pairs of speakers); N(i) is a window of nodes.
    e = q_temporal + q_speaker;   ŷ_i = w e_i + b;   x̂ = W_x e + b_x
    L = mean (ŷ − y)² + Σ_m Σ_{i missing m} |x̂_i^m − x_i^m|² / D_m / (number of nodes)

For classes, such as the paper's emotions, ŷ_i are scores of the classes and (ŷ − y)² is the cross-entropy; several
labels have a sigmoid each, which is ours.

From paper and code: all of it but the nodes.
Departs: in the paper the nodes are the utterances of a conversation, which have one label each. The suite predicts each
utterance by itself, because a test sample may not depend on others. Here the nodes are S segments of one utterance (see
`qamoe_baselines.segments`), the prediction is the mean of ŷ_i, and there is one speaker, as in the authors' code on
CMU-MOSI; the speaker graph then has one relation. Frames are standardised with training statistics. A second recurrent
network that the code defines and never uses does not exist here. Sizes are an eighth of the published ones, to train
faster than C-MIB; the preset `paper` has the published sizes. Initialisation is torch's own.
Inferred: a segment misses a modality if none of its frames is observed though the clean sample has some; with token ids
the features are the states of a language model, trained by the prediction only.

Dimension legend: B samples, S segments or nodes, D feature width of all modalities, W width, R relations.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_baselines.recurrence import recurrent_states
from qamoe_baselines.segments import segment_means
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.nn.answers import Answers
from qamoe_bench.nn.two_stage import TwoStageModel

VARIANTS = {
    "attention": {"attention": True},
    "-reconstruction": {"reconstruction": False},
}
CARD = {
    "groups": ("robust",),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2023,
    "venue": "IEEE TPAMI",
    "parameters": 345_893,
    "published": {"GCNet": ""},
    "presets": {"paper": {"width": 200, "graph_width": 100}},
    "stages": {"text encoder": ("inputs.text",), "other encoders": ("inputs",), "heads": ("head", "rebuild")},
}


@dataclass(frozen=True)
class GCNetConfig:
    """Hyperparameters; a comment names the source of each value."""

    segments: int = 8  # ours; S
    width: int = 24  # code: 200; of each direction of the first BiLSTM
    graph_width: int = 12  # code: half the width; of the graph layers
    past: int = 2  # code; nodes before a node that it has an edge to
    future: int = 2  # code; nodes after it
    dropout: float = 0.5  # code; between the two layers of a BiLSTM
    attention: bool = False  # code; the paper describes it, the authors' commands leave it out
    reconstruction: bool = True  # paper


class RelationLayers(nn.Module):
    """The two graph layers; `relations` (R, S, S) has a 1 where a node (row) has an edge from another (column)."""

    relations: Tensor
    neighbours: Tensor

    def __init__(self, relations: Float[Tensor, "R S S"], inputs: int, width: int) -> None:
        super().__init__()
        means = relations / relations.sum(2, keepdim=True).clamp(min=1)
        # The graph is the same for all samples, so that messages are products with constant matrices.
        self.register_buffer("relations", means, persistent=False)
        self.register_buffer("neighbours", relations.sum(0), persistent=False)
        self.related = nn.ModuleList(nn.Linear(inputs, width, bias=False) for _ in relations)
        self.own = nn.Linear(inputs, width)
        self.neighbour = nn.Linear(width, width)
        self.own_second = nn.Linear(width, width, bias=False)

    def forward(self, h: Float[Tensor, "B S I"]) -> Float[Tensor, "B S W"]:
        """The result of the second layer, g'."""
        g = self.own(h)
        for mean, linear in zip(self.relations, self.related, strict=True):
            g = g + linear(mean @ h)
        second: Tensor = self.neighbour(self.neighbours @ g) + self.own_second(g)
        return second


class GraphNetwork(nn.Module):
    """From h to q, of width 2·width + graph_width."""

    def __init__(self, relations: Float[Tensor, "R S S"], config: GCNetConfig) -> None:
        super().__init__()
        inputs = 2 * config.width
        both = inputs + config.graph_width
        self.layers = RelationLayers(relations, inputs, config.graph_width)
        self.lstm = nn.LSTM(both, both, 2, bidirectional=True, batch_first=True, dropout=config.dropout)
        self.match = nn.Linear(2 * both, 2 * both) if config.attention else None
        self.linear = nn.Linear(2 * both, both)

    def forward(self, h: Float[Tensor, "B S I"]) -> Float[Tensor, "B S Q"]:
        """The states of the nodes, q."""
        states = recurrent_states(self.lstm, torch.cat([h, self.layers(h)], dim=-1))
        if self.match is not None:
            states = torch.bmm(matching_weights(self.match(states), states), states)
        q: Tensor = F.relu(self.linear(states))
        return q


def matching_weights(queries: Float[Tensor, "B S W"], states: Float[Tensor, "B S W"]) -> Float[Tensor, "B S S"]:
    """α = softmax_j(tanh(q_i · s_j))."""
    return torch.bmm(queries, states.transpose(1, 2)).tanh().softmax(-1)


def window_relations(nodes: int, past: int, future: int) -> Float[Tensor, "3 S S"]:
    """Edges to each node (row) from an earlier node, itself and a later node (column) in whose window it lies."""
    position = torch.arange(nodes)
    ahead = position[:, None] - position  # how far the row lies after the column
    linked = (ahead <= future) & (ahead >= -past)
    return torch.stack([linked & (ahead > 0), linked & (ahead == 0), linked & (ahead < 0)]).float()


class GCNet(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: GCNetConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        inputs = {m: MaskedFrames(m, spec) for m in self.modalities}
        self.inputs = nn.ModuleDict(inputs)
        self.widths = [x.width for x in inputs.values()]
        self.lstm = nn.LSTM(
            sum(self.widths), config.width, 2, bidirectional=True, batch_first=True, dropout=config.dropout
        )
        temporal = window_relations(config.segments, config.past, config.future)
        self.temporal = GraphNetwork(temporal, config)
        self.speaker = GraphNetwork(temporal.sum(0, keepdim=True), config)
        hidden = 2 * config.width + config.graph_width
        self.head = nn.Linear(hidden, spec.task.outputs)
        self.answers = Answers(spec, standardised=False)
        self.rebuild = nn.Linear(hidden, sum(self.widths)) if config.reconstruction else None

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B S D"]:
        """x^m."""
        return self._segments(batch, modality)[0]

    def _segments(self, batch: Batch, modality: str) -> tuple[Float[Tensor, "B S D"], Bool[Tensor, "B S"]]:
        x, observed = self.inputs[modality](batch)
        return segment_means(x, observed, batch.lengths[modality], self.config.segments)

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B S D"]]) -> Output:
        """The prediction, with neither variance nor quality; `parts` has x̂ if there is a reconstruction."""
        h = recurrent_states(self.lstm, torch.cat([encoded[m] for m in self.modalities], dim=-1))
        e = self.temporal(h) + self.speaker(h)  # (B, S, 2·width + graph_width)
        parts = {} if self.rebuild is None else {"rebuilt": self.rebuild(e)}
        return self.answers(self.head(e).mean(1), parts=parts)

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L of the module docstring."""
        total = self.answers.loss(output, batch, F.mse_loss)
        if self.rebuild is None:
            return total
        rebuilt = torch.split(output.parts["rebuilt"], self.widths, dim=-1)
        for m, x_hat in zip(self.modalities, rebuilt, strict=True):
            with torch.no_grad():  # the features are given, and a language model must not make them easy to rebuild
                x, present = self._segments(batch.uncorrupted(), m)
                missing = present & ~self._segments(batch, m)[1]
            errors = (x_hat - x).square().mean(-1)  # (B, S)
            total = total + (errors * missing).sum() / missing.numel()
        return total


def build(spec: DataSpec, **overrides: Any) -> GCNet:
    """A GCNet for data of this specification, with fields of `GCNetConfig` set as given."""
    return GCNet(spec, configure(GCNetConfig, overrides))
