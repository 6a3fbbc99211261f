"""Self-MM: multimodal and unimodal tasks, with unimodal labels that the model generates itself.

Re-implementation of
    Yu, Xu, Yuan, Wu: Learning Modality-Specific Representations with Self-Supervised Multi-Task Learning for Multimodal
    Sentiment Analysis (AAAI 2021; arXiv 2102.04830),
after the paper and thuiar/MMSA @ a94e65d, to whose outputs and labels it is equal.

Vectors x_m (see `qamoe_baselines.lstm_encoder`) and their concatenation x_M have heads of the same form, k = M or m:
    h_k = ReLU(W₁ dropout(x_k)),   ŷ_k = W₃ ReLU(W₂ h_k)
    L   = Σ_k mean(w_k |ŷ_k − y_k|),   w_M = 1,   w_m = tanh |y_m − y_M|
The prediction is ŷ_M. y_M is the label, y_m starts there and is generated from the second epoch n on, in each step:
    δ_k = (‖h_k − c_k⁻‖ − ‖h_k − c_k⁺‖) / ‖h_k − c_k⁺‖,  c_k^± the mean of all remembered h_k with y_k above, below 0
    y_m ← (n−1)/(n+1) · y_m + 2/(n+1) · clamp(½ δ_m/δ_M · y_M + ½ (y_M + δ_m − δ_M))
so a modality is taught to differ from the label where it lies differently between the centres of both signs.

From the paper: all of it but the halves, the clamp at the ends of the scale and excluding labels of 0, which are of
MMSA, as are sizes, rates and the order: loss, then labels, then memory, then centres. In the variant `-generation` each
modality learns the label itself (w_m = 1).
Inferred: an LSTM for features of text (the paper has BERT only), a scale whose middle is not 0 is moved there.
Departs, and `faithful` reverts the first:
    input       each dimension standardised with training statistics, zeros stay zeros; MMSA feeds raw features
    lengths     of each modality; MMSA takes those of the text where data are aligned
    training    the suite's loop; MMSA has Adam at 5e-5 (BERT), 5e-3 (audio and vision, here five times the loop's
                rate) and 1e-3, steps of four batches of 16
Parameters equal MMSA's for token ids.

Dimension legend: B samples, W width of x_m, H width of h_k, N training samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.lstm_encoder import LSTMEncoder
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, ParameterGroup, Phase, TrainingBatch
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.two_stage import TwoStageModel

JOINT = "multimodal"
"""Name of task M; each other task has the name of its modality."""

VARIANTS = {"faithful": {"standardise": False}, "-generation": {"generation": False}}
CARD = {
    "groups": ("clean",),
    "tasks": ("regression",),
    "year": 2021,
    "venue": "AAAI",
    "parameters": 76_132,
    "published": {"Self-MM": ""},
    "stages": {"heads": ("heads",)},
}


@dataclass(frozen=True)
class SelfMMConfig:
    """Hyperparameters; a comment names the source of each value. Pairs are those of text, audio and vision."""

    text_hidden: int = 64  # inferred; of the LSTM, for features only
    text: int = 64  # inferred; x_t of features (BERT: 768)
    audio_hidden: int = 16  # MMSA
    audio: int = 16  # MMSA
    vision_hidden: int = 32  # MMSA
    vision: int = 32  # MMSA
    joint_head: int = 128  # MMSA; H of task M
    text_head: int = 32  # MMSA
    audio_head: int = 16  # MMSA
    vision_head: int = 32  # MMSA
    joint_dropout: float = 0.0  # MMSA
    text_dropout: float = 0.1  # MMSA
    audio_dropout: float = 0.1  # MMSA
    vision_dropout: float = 0.0  # MMSA
    encoder_rate: float = 5.0  # MMSA; of audio's and vision's encoders, as a factor of the loop's rate
    generation: bool = True  # paper; without it y_m = y_M and w_m = 1
    standardise: bool = True  # MMSA: False


class TaskHead(nn.Module):
    """h_k and ŷ_k."""

    def __init__(self, width: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.layer_1 = nn.Linear(width, hidden)
        self.layer_2 = nn.Linear(hidden, hidden)
        self.layer_3 = nn.Linear(hidden, 1)

    def forward(self, x: Float[Tensor, "B W"]) -> tuple[Float[Tensor, "B H"], Float[Tensor, " B"]]:
        """h_k and ŷ_k."""
        h = F.relu(self.layer_1(self.dropout(x)))
        return h, self.layer_3(F.relu(self.layer_2(h)))[:, 0]


class LabelMemory:
    """Labels y_k and features h_k of all samples that were seen, and the centres c_k of both signs.

    Not part of a checkpoint, since only training needs it. It grows to the largest index that it was shown.
    """

    def __init__(self, tasks: Sequence[str], limit: float) -> None:
        self.tasks = tasks
        self.limit = limit
        self.labels: dict[str, Tensor] = {}  # (N,)
        self._features: dict[str, Tensor] = {}  # (N, H)
        self._centres: dict[str, tuple[Tensor, Tensor]] = {}  # above and below 0, (H,) each
        self._seen = torch.zeros(0, dtype=torch.bool)  # (N,)

    def start(self, index: Int[Tensor, " B"], label: Float[Tensor, " B"]) -> None:
        """Give samples that were not seen before their label for all tasks."""
        missing = int(index.max()) + 1 - len(self._seen)
        if missing > 0:
            self._seen = F.pad(self._seen.to(index.device), (0, missing))
            for k in self.tasks:
                known = self.labels.get(k, label[:0])
                self.labels[k] = F.pad(known, (0, missing))
        unseen = index[~self._seen[index]]
        for k in self.tasks:
            self.labels[k][unseen] = label[~self._seen[index]]
        self._seen[unseen] = True

    def generate(self, index: Int[Tensor, " B"], features: Mapping[str, Float[Tensor, "B _"]], epoch: int) -> None:
        """Move y_m of these samples towards what their places between the centres say, from epoch 2 on."""
        if epoch < 2 or not self._centres:
            return
        joint = self._place(JOINT, features[JOINT])
        label = self.labels[JOINT][index]
        for m in self.tasks:
            if m == JOINT:
                continue
            place = self._place(m, features[m])
            generated = 0.5 * place / (joint + 1e-8) * label + 0.5 * (label + place - joint)
            generated = generated.clamp(-self.limit, self.limit)
            kept = (epoch - 1) / (epoch + 1)
            self.labels[m][index] = kept * self.labels[m][index] + (1 - kept) * generated

    def remember(self, index: Int[Tensor, " B"], features: Mapping[str, Float[Tensor, "B _"]]) -> None:
        """Store h_k of these samples, and compute all centres."""
        for k in self.tasks:
            size, width = len(self._seen), features[k].shape[1]
            stored = self._features.get(k, features[k].new_zeros(0, width))
            stored = F.pad(stored, (0, 0, 0, size - len(stored)))
            stored[index] = features[k]
            self._features[k] = stored
            signs = (self.labels[k] > 0, self.labels[k] < 0)
            above, below = (_mean_of(stored, sign) for sign in signs)
            self._centres[k] = (above, below)

    def _place(self, task: str, h: Float[Tensor, "B H"]) -> Float[Tensor, " B"]:
        """δ_k, positive nearer to the centre of positive labels."""
        above, below = self._centres[task]
        to_above: Tensor = torch.linalg.vector_norm(h - above, dim=1)
        to_below: Tensor = torch.linalg.vector_norm(h - below, dim=1)
        return (to_below - to_above) / (to_above + 1e-8)


class SelfMM(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: SelfMMConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        self.epoch = 1  # set by `start_epoch`
        encoders = {m: self._encoder(m, spec) for m in self.modalities}
        self.encoders = nn.ModuleDict(encoders)
        widths = {m: encoder.width for m, encoder in encoders.items()}
        heads = {JOINT: TaskHead(sum(widths.values()), config.joint_head, config.joint_dropout)}
        for m in self.modalities:
            heads[m] = TaskHead(widths[m], getattr(config, f"{m}_head"), getattr(config, f"{m}_dropout"))
        self.heads = nn.ModuleDict(heads)
        low, high = spec.label_range
        self.middle = (low + high) / 2
        self.memory = LabelMemory(tuple(heads), (high - low) / 2)

    def start_epoch(self, epoch: int) -> None:
        """Take note of n."""
        self.epoch = epoch

    def phases(self) -> Sequence[Phase]:
        """One phase, in which the encoders of audio and vision learn at a higher rate."""
        fast = [p for m in ("audio", "vision") if m in self.encoders for p in self.encoders[m].parameters()]
        rest = [p for p in self.parameters() if all(p is not q for q in fast)]
        groups = [ParameterGroup(rest), ParameterGroup(fast, self.config.encoder_rate)]
        return [Phase("tasks", lambda batch: self.loss(self(batch), batch), groups)]

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B W"]:
        """x_m."""
        encoded: Tensor = self.encoders[modality](batch)
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B _"]]) -> Output:
        """ŷ_M; `parts` has ŷ_k and h_k of every task."""
        inputs = {JOINT: torch.cat([encoded[m] for m in self.modalities], dim=1), **encoded}
        parts: dict[str, Tensor] = {}
        for k, head in self.heads.items():
            parts[f"features_{k}"], parts[f"prediction_{k}"] = head(inputs[k])
        return Output(self.middle + parts[f"prediction_{JOINT}"], parts=parts)

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L with the labels so far; then generates the samples' next ones."""
        memory = self.memory
        memory.start(batch.index, batch.target - self.middle)
        total = torch.zeros_like(output.prediction[0])
        label = memory.labels[JOINT][batch.index]
        for k in self.heads:
            own = memory.labels[k][batch.index]
            weight = torch.ones_like(own) if k == JOINT or not self.config.generation else (own - label).abs().tanh()
            total = total + (weight * (output.parts[f"prediction_{k}"] - own).abs()).mean()
        if self.config.generation:
            features = {k: output.parts[f"features_{k}"].detach() for k in self.heads}
            memory.generate(batch.index, features, self.epoch)
            memory.remember(batch.index, features)
        return total

    def _encoder(self, modality: str, spec: DataSpec) -> LSTMEncoder:
        hidden = getattr(self.config, f"{modality}_hidden")
        width = getattr(self.config, modality)
        return LSTMEncoder(modality, spec, hidden, width, bidirectional=False, standardise=self.config.standardise)


def _mean_of(features: Float[Tensor, "N H"], rows: Tensor) -> Float[Tensor, " H"]:
    """The mean of some rows; zeros without any."""
    return features[rows].sum(0) / rows.sum().clamp(min=1)


def build(spec: DataSpec, **overrides: Any) -> SelfMM:
    """A Self-MM for data of this specification, with fields of `SelfMMConfig` set as given."""
    return SelfMM(spec, configure(SelfMMConfig, overrides))
