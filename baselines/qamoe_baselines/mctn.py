"""MCTN: what translates text into vision and back, and then into audio, is the representation that predicts.

Re-implemented after
    Pham, Liang, Manzini, Morency, Póczos: Found in Translation: Learning Robust Joint Representations by Cyclic
    Translations Between Modalities (AAAI 2019; arXiv 1812.07809), code hainow/MCTN @ d75b916.

x_s is the source, x_t the first target and x_r the second one, each a sequence of S vectors. With bidirectional LSTMs E
and F whose two directions are added, and recurrent decoders D and G that read all of an encoding at every step,
    e = E(x_s),  x̂_t = D(e),  x̂_s = D(E(x̂_t)),  j = F(e),  x̂_r = G(j)
    D:  c_k = Σ_i softmax_i(v · tanh(A e_i + B s_{k−1})) e_i;   o_k, s_k = LSTM(c_k, o_{k−1}, s_{k−1});   W o_k + b
    h = LSTM(j),  ŷ = W Σ_i softmax_i(tanh(w · h_i + b)) h_i + b'
    L = |ŷ − y| + 0.1 · [mean (x̂_t − x_t)² + mean (x̂_s − x_s)² + mean (x̂_r − x_r)²] + 0.01 · ‖W‖²
s_k is the state of the cell. The same E and D work in both directions, so zeros pad x_s and x_t to one width.
Text is the source, then come vision and audio; `source` names another one. The prediction reads the source alone:
whatever happens to the others has no influence on it, and without the source it is a constant.

The paper leaves the loss of the prediction open: for classes |ŷ − y| is the cross-entropy, with a score for each.
Several labels have a sigmoid each, which is ours.

From the paper, of which the abstract, the introduction and third-party notes of the equations were read: translations,
their weighted losses, the cycle of the first one only, and the order of modalities.
From the authors' code: layers, sizes and weights, the prediction, and the sum of directions.
Inferred: translations aim at the clean frames, of which the source may have lost some; a segment without an observed
frame is no aim; with two modalities j = e, as in the authors' model of two, and with one nothing is translated.
Departs, and the variant `faithful` reverts the first five:
    attention     depends on the state, as in thuiar/MMSA @ a94e65d. The code has v · e_i + u · s_{k−1}, whose second
                  term drops out of the softmax, so that it attends in the same way at every step
    gates         of decoders: four. In the code the input gate is the forget gate too
    output        of decoders: linear; the code has tanh W o_k, which reaches no frame outside of (−1, 1)
    padding       to one width does not count in L, and E reads zeros there; in the code it counts, as do segments
                  without a frame, and E reads what D made of it. The code pads all three modalities to the widest one
    input         each dimension standardised with training statistics; the authors scale vision only, by its maximum
    time          S segments of equal duration (see `qamoe_baselines.segments`), so that modalities of different frame
                  rates can be translated back and forth; the authors have the first 20 words, the preset `paper` 20
    cells         ordinary LSTMs, with both of torch's biases; the authors' have piecewise linear gates
    training      the suite's loop; the authors have Adam at 1e-4 with batches of 32
Differences in parameters of `faithful`: torch has a second bias, 4 · H in each direction of an LSTM; u and a bias of
the scores, which drop out of the softmax, do not exist.

Dimension legend: B samples, S segments, D feature width, H hidden units.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_baselines.recurrence import recurrent_states
from qamoe_baselines.segments import segment_means
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.answers import Answers
from qamoe_bench.nn.two_stage import TwoStageModel

ORDER = ("text", "vision", "audio")
"""Source, first target and second target; paper."""

VARIANTS = {
    "faithful": {
        "state_attention": False, "tied_gates": True, "bounded": True, "padding_counts": True, "standardise": False,
    },
    "-cycle": {"cycle_weight": 0.0},
}  # fmt: skip
CARD = {
    "groups": ("robust",),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2019,
    "venue": "AAAI",
    "parameters": 64_946,
    "published": {"MCTN": ""},
    "presets": {"paper": {"segments": 20}},
    "stages": {"heads": ("recurrence", "attention", "out")},
}


@dataclass(frozen=True)
class MCTNConfig:
    """Hyperparameters; a comment names the source of each value."""

    source: Literal["first", "text", "audio", "vision"] = "first"  # paper: text; `first` of the data in that order
    segments: int = 8  # inferred; code: 20 words
    hidden: int = 32  # code; of encoders, decoders and the prediction
    translation_weight: float = 0.1  # code; of both targets
    cycle_weight: float = 0.1  # code
    weight_decay: float = 0.01  # code; of the last layer
    state_attention: bool = True  # MMSA; code: False
    tied_gates: bool = False  # code: True
    bounded: bool = False  # code: True; predicted frames
    padding_counts: bool = False  # code: True
    standardise: bool = True  # code: False

    def __post_init__(self) -> None:
        if self.segments < 1:
            raise BenchError(f"setting segments: expected at least 1, got {self.segments}; set 1 or more")

    def path(self, spec: DataSpec) -> tuple[str, ...]:
        """The modalities of the data in the order of their translation, the source first."""
        present = [m for m in ORDER if m in spec.modalities]
        if self.source == "first":
            return tuple(present)
        if self.source not in present:
            raise BenchError(
                f"setting source: expected a modality of the data ({', '.join(present)}), got {self.source!r}"
            )
        return (self.source, *(m for m in present if m != self.source))


class SummedStates(nn.Module):
    """The states of an LSTM in both directions, added."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)

    def forward(self, x: Float[Tensor, "B S D"]) -> Float[Tensor, "B S H"]:
        """One state per vector."""
        ahead, back = recurrent_states(self.rnn, x).chunk(2, dim=-1)
        return ahead + back


class AttentionDecoder(nn.Module):
    """D of the module docstring: as many vectors as the encoding has."""

    def __init__(self, outputs: int, config: MCTNConfig) -> None:
        super().__init__()
        hidden = config.hidden
        self.config = config
        self.key = nn.Linear(hidden, hidden, bias=False) if config.state_attention else None
        self.query = nn.Linear(hidden, hidden, bias=False) if config.state_attention else None
        self.score = nn.Linear(hidden, 1, bias=False)
        self.input = nn.Linear(hidden, 4 * hidden)
        self.recurrent = nn.Linear(hidden, 4 * hidden)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, encoding: Float[Tensor, "B S H"]) -> Float[Tensor, "B S D"]:
        """The translation."""
        output = encoding.new_zeros(len(encoding), self.config.hidden)
        cell = torch.zeros_like(output)
        keys = encoding if self.key is None else self.key(encoding)
        outputs = []
        for _ in range(encoding.shape[1]):
            # Without a query every step attends in the same way.
            energy = keys if self.query is None else (keys + self.query(cell)[:, None]).tanh()
            weights = self.score(energy).softmax(1)  # (B, S, 1)
            context = torch.bmm(weights.transpose(1, 2), encoding)[:, 0]
            gates = self.input(context) + self.recurrent(output)
            output, cell = self._step(gates, cell)
            outputs.append(output)
        frames: Tensor = self.out(torch.stack(outputs, dim=1))
        return frames.tanh() if self.config.bounded else frames

    def _step(self, gates: Float[Tensor, "B _"], cell: Float[Tensor, "B H"]) -> tuple[Tensor, Tensor]:
        """The next output and state of an LSTM."""
        accept, keep, update, emit = gates.chunk(4, dim=1)
        if self.config.tied_gates:
            keep = accept
        cell = keep.sigmoid() * cell + accept.sigmoid() * update.tanh()
        return emit.sigmoid() * cell.tanh(), cell


class MCTN(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: MCTNConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        self.path = config.path(spec)
        inputs = {m: MaskedFrames(m, spec, standardise=config.standardise) for m in self.path}
        self.inputs = nn.ModuleDict(inputs)
        hidden = config.hidden
        source, *targets = self.path
        self.target = targets[0] if targets else ""
        self.last_target = targets[1] if len(targets) > 1 else ""
        cycled = self.path if config.padding_counts else self.path[:2]
        self.width = max(inputs[m].width for m in cycled)
        self.encoders = nn.ModuleDict({source: SummedStates(self.width, hidden)})
        self.decoder = AttentionDecoder(self.width, config) if self.target else None
        self.joint = SummedStates(hidden, hidden) if self.last_target else None
        last = self.width if config.padding_counts or not self.last_target else inputs[self.last_target].width
        self.last_decoder = AttentionDecoder(last, config) if self.last_target else None
        self.recurrence = nn.LSTM(hidden, hidden, batch_first=True)
        self.attention = nn.Linear(hidden, 1)
        self.out = nn.Linear(hidden, spec.task.outputs)
        self.answers = Answers(spec, standardised=False)

    def _segments(self, batch: Batch, modality: str) -> tuple[Float[Tensor, "B S D"], Bool[Tensor, "B S"]]:
        """The sequence of a modality, and which of its segments have an observed frame."""
        x, observed = self.inputs[modality](batch)
        return segment_means(x, observed, batch.lengths[modality], self.config.segments)

    def _widened(self, x: Float[Tensor, "B S _"]) -> Float[Tensor, "B S D"]:
        return F.pad(x, (0, self.width - x.shape[2]))

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B S _"]:
        """E of the source; nothing of any other modality."""
        if modality != self.path[0]:
            return batch.features[modality].new_zeros(batch.size, self.config.segments, 0)
        x, _ = self._segments(batch, modality)
        encoded: Tensor = self.encoders[modality](self._widened(x))
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B S _"]]) -> Output:
        """The prediction, with neither variance nor quality; `parts` has e and j."""
        encoding = encoded[self.path[0]]
        joint = encoding if self.joint is None else self.joint(encoding)
        h = recurrent_states(self.recurrence, joint)
        weights = self.attention(h).tanh().softmax(1)  # (B, S, 1)
        values = self.out((weights * h).sum(1))
        return self.answers(values, parts={"encoding": encoding, "joint": joint})

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L of the module docstring."""
        config = self.config
        total = self.answers.loss(output, batch) + config.weight_decay * self.out.weight.square().sum()
        if self.decoder is None:
            return total
        source = self.path[0]
        clean = batch.uncorrupted()
        translated = self.decoder(output.parts["encoding"])
        total = total + config.translation_weight * self._error(translated, clean, self.target)
        if config.cycle_weight:
            if not config.padding_counts:
                translated = self._widened(translated[..., : self.inputs[self.target].width])
            back = self.decoder(self.encoders[source](translated))
            total = total + config.cycle_weight * self._error(back, clean, source)
        if self.last_decoder is not None:
            last = self.last_decoder(output.parts["joint"])
            total = total + config.translation_weight * self._error(last, clean, self.last_target)
        return total

    def _error(self, predicted: Float[Tensor, "B S _"], clean: Batch, modality: str) -> Float[Tensor, ""]:
        """The mean squared error of a translation."""
        with torch.no_grad():  # the frames are given, and a language model must not make them easy to translate
            aim, present = self._segments(clean, modality)
        if self.config.padding_counts:
            return F.mse_loss(predicted, self._widened(aim))
        width = aim.shape[2]
        error = (predicted[..., :width] - aim).square() * present[..., None]
        return error.sum() / (width * present.sum()).clamp(min=1)


def build(spec: DataSpec, **overrides: Any) -> MCTN:
    """An MCTN for data of this specification, with fields of `MCTNConfig` set as given."""
    return MCTN(spec, configure(MCTNConfig, overrides))
