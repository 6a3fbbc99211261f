"""MMIM: hierarchical mutual information maximisation, between modalities and between fusion and modalities.

Re-implementation of
    Han, Chen, Poria: Improving Multimodal Fusion with Hierarchical Mutual Information Maximization for Multimodal
    Sentiment Analysis (EMNLP 2021; arXiv 2109.00412),
after the paper and thuiar/MMSA @ a94e65d (from declare-lab/Multimodal-Infomax), to whose outputs and bounds it is
equal.

Vectors x_m (see `qamoe_baselines.lstm_encoder`, in both directions) are fused by z = tanh(W₂ tanh(W₁ dropout [x_t; x_a;
x_v])), ŷ = W₃ z. With a first modality f (text) and each other m:
    bound      B = Σ_m mean Σ −(μ_m(x_f) − x_m)² / (2 exp s_m(x_f)), the log-likelihood of x_m up to its last term
    entropy    H = Σ_m ¼ (log det Σ⁺ + log det Σ⁻), the covariances of tanh(E_m x_m) with labels above and below 0, in
               this batch and the ones remembered
    contrast   C = Σ_m −mean(cos(x_m, G_m z) − log Σ_batch exp cos(x_m, G_m z_batch)), over all modalities
Each epoch has two passes: the first maximises B over the networks μ and s alone; the second minimises, over the rest,
    mean |ŷ − y| + .1 C − .1 B − .1 H

From the paper: all of it. From the code: sizes, weights, that B lacks s itself (paper: −½ s too), that one batch is
remembered and H begins when the memory is full.
Inferred: an LSTM for features of text (the paper has BERT only); without text f is the first modality that is there.
Departs, and `faithful` reverts the first:
    input       each dimension standardised with training statistics, zeros stay zeros; MMSA feeds raw features
    bound       without −½ s, as in the code and against the paper: with it (`paper-bound`) the encoders gain without
                limit by making x_m constant, and correlations on the embedded data fell to .16
    entropy     covariances have 1e-4 on their diagonal, because fewer samples of a sign than dimensions have no
                determinant. Nothing trains E: in the code it is with the bounds, whose pass does not use it
    training    the suite's loop; MMSA has Adam at 5e-5 (BERT) and 1e-3 with batches of 32; on MOSEI its first pass
                sees half of the split
Parameters equal MMSA's for token ids; E counts there as trained.

Dimension legend: B samples, W width of x_m, Z width of z.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.lstm_encoder import LSTMEncoder
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, ParameterGroup, Phase, TrainingBatch
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.two_stage import TwoStageModel

VARIANTS = {
    "faithful": {"standardise": False},
    "paper-bound": {"log_variance": True},
    "-bounds": {"bound_weight": 0.0},
    "-contrast": {"contrast_weight": 0.0},
}
CARD = {
    "groups": ("clean",),
    "tasks": ("regression",),
    "year": 2021,
    "venue": "EMNLP",
    "parameters": 77_505,
    "published": {"MMIM": ""},
    "stages": {"heads": ("predict",)},
}
JITTER = 1e-4
"""Variance that is added to every direction of a covariance before its determinant."""


@dataclass(frozen=True)
class MMIMConfig:
    """Hyperparameters; a comment names the source of each value."""

    text_hidden: int = 32  # inferred; of the LSTM in each direction, for features only
    text: int = 64  # inferred; x_t of features (BERT: 768)
    hidden: int = 16  # MMSA; of the LSTMs of audio and vision in each direction
    width: int = 16  # MMSA; x_m of audio and vision
    fusion: int = 128  # MMSA; of z
    dropout: float = 0.1  # MMSA; before the fusion
    contrast_weight: float = 0.1  # code: alpha
    bound_weight: float = 0.1  # code: beta; of B and H
    memory: int = 1  # code; remembered batches
    log_variance: bool = False  # code; paper: True, B with −½ s
    standardise: bool = True  # code: False


class LowerBound(nn.Module):
    """B of one pair of modalities, and the projection for H."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__()
        self.mean = nn.Sequential(nn.Linear(source, target), nn.ReLU(), nn.Linear(target, target))
        self.log_variance = nn.Sequential(nn.Linear(source, target), nn.ReLU(), nn.Linear(target, target))
        self.project = nn.Linear(target, max(1, target // 4))
        self.project.requires_grad_(False)  # see the module docstring

    def forward(self, x: Float[Tensor, "B _"], y: Float[Tensor, "B _"], *, normalised: bool) -> Float[Tensor, ""]:
        """The mean log-likelihood of y given x, without constants; with its own −½ s if normalised."""
        s = self.log_variance(x)
        likelihood = -(self.mean(x) - y).square() / 2 / s.exp()
        if normalised:
            likelihood = likelihood - s / 2
        mean: Tensor = likelihood.sum(1).mean()
        return mean


class EntropyMemory:
    """The projected vectors of the last batches, by sign of the label; H of a batch needs them."""

    def __init__(self, batches: int) -> None:
        self.batches = batches
        self._kept: list[tuple[Tensor, Tensor]] = []

    def forget(self) -> None:
        """Start with an empty memory, as each epoch does."""
        self._kept = []

    def entropy(self, projected: Float[Tensor, "B _"], label: Float[Tensor, " B"]) -> Tensor | None:
        """¼ (log det Σ⁺ + log det Σ⁻) with the batches remembered; None until the memory is full. Remembers them."""
        signs = (projected[label > 0], projected[label < 0])
        total = None
        if len(self._kept) == self.batches:
            total = torch.zeros_like(label[0])
            for side, rows in enumerate(signs):
                everything = torch.cat([*(kept[side] for kept in self._kept), rows])
                if len(everything):
                    total = total + 0.25 * log_determinant(everything)
        positive, negative = signs
        self._kept = [*self._kept, (positive.detach(), negative.detach())][-self.batches :]
        return total


class MMIM(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: MMIMConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        encoders = {m: self._encoder(m, spec) for m in self.modalities}
        self.encoders = nn.ModuleDict(encoders)
        widths = {m: encoder.width for m, encoder in encoders.items()}
        self.first, *others = self.modalities
        bounded = others if config.bound_weight else []
        self.bounds = nn.ModuleDict({m: LowerBound(widths[self.first], widths[m]) for m in bounded})
        contrasted = self.modalities if config.contrast_weight else ()
        self.contrast = nn.ModuleDict({m: nn.Linear(config.fusion, widths[m]) for m in contrasted})
        self.drop = Dropout(config.dropout)
        self.fusion_1 = nn.Linear(sum(widths.values()), config.fusion)
        self.fusion_2 = nn.Linear(config.fusion, config.fusion)
        self.predict = nn.Linear(config.fusion, 1)
        self.memories = {m: EntropyMemory(config.memory) for m in bounded}
        self.middle = sum(spec.label_range) / 2

    def start_epoch(self, epoch: int) -> None:
        """Empty the memories."""
        for memory in self.memories.values():
            memory.forget()

    def phases(self) -> Sequence[Phase]:
        """A pass for the bounds, then one for everything else."""
        bounds = [p for p in self.bounds.parameters() if p.requires_grad]
        rest = [p for p in self.parameters() if p.requires_grad and all(p is not q for q in bounds)]
        task = Phase("task", lambda batch: self.loss(self(batch), batch), [ParameterGroup(rest)])
        if not bounds:
            return [task]
        return [Phase("bounds", self._bound_loss, [ParameterGroup(bounds)]), task]

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B W"]:
        """x_m."""
        encoded: Tensor = self.encoders[modality](batch)
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B _"]]) -> Output:
        """The prediction; `parts` has x_m and z."""
        x = torch.cat([encoded[m] for m in self.modalities], dim=1)
        z = self.fusion_2(self.fusion_1(self.drop(x)).tanh()).tanh()
        parts = {**{f"encoded_{m}": encoded[m] for m in self.modalities}, "fused": z}
        return Output(self.middle + self.predict(z)[:, 0], parts=parts)

    def bound(self, output: Output) -> Float[Tensor, ""]:
        """B."""
        source = output.parts[f"encoded_{self.first}"]
        normalised = self.config.log_variance
        values = []
        for m, bound in self.bounds.items():
            values.append(bound(source, output.parts[f"encoded_{m}"], normalised=normalised))
        return torch.stack(values).sum()

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The objective of the second pass."""
        config = self.config
        total = (output.prediction - batch.target).abs().mean()
        for m, predict in self.contrast.items():
            total = total + config.contrast_weight * contrast(
                output.parts[f"encoded_{m}"], predict(output.parts["fused"])
            )
        if not self.bounds:
            return total
        total = total - config.bound_weight * self.bound(output)
        for m, bound in self.bounds.items():
            assert isinstance(bound, LowerBound)
            projected = bound.project(output.parts[f"encoded_{m}"]).tanh()
            entropy = self.memories[m].entropy(projected, batch.target - self.middle)
            if entropy is not None:
                total = total - config.bound_weight * entropy
        return total

    def _bound_loss(self, batch: TrainingBatch) -> Float[Tensor, ""]:
        """−B, for the networks of the bounds alone."""
        with torch.no_grad():  # of the encoders, which this pass leaves as they are
            encoded = self.encode(batch)
        return -self.bound(self.fuse(encoded))

    def _encoder(self, modality: str, spec: DataSpec) -> LSTMEncoder:
        config = self.config
        is_text = modality == "text"
        hidden = config.text_hidden if is_text else config.hidden
        width = config.text if is_text else config.width
        return LSTMEncoder(modality, spec, hidden, width, bidirectional=True, standardise=config.standardise)


def contrast(x: Float[Tensor, "B W"], predicted: Float[Tensor, "B W"]) -> Float[Tensor, ""]:
    """C of one modality: how much worse x is predicted than from the fusion of the other samples."""
    unit = F.normalize(x, dim=1)
    others = F.normalize(predicted, dim=1)
    return -((unit * others).sum(1) - (unit @ others.T).logsumexp(1)).mean()


def log_determinant(x: Float[Tensor, "B _"]) -> Float[Tensor, ""]:
    """The logarithm of the determinant of the covariance."""
    centred = x - x.mean(0)
    covariance = centred.T @ centred / len(x) + JITTER * torch.eye(x.shape[1], device=x.device)
    # The product of the diagonal of the factor is the root of the determinant.
    log_root: Tensor = torch.linalg.cholesky(covariance).diagonal().log().sum()
    return 2 * log_root


def build(spec: DataSpec, **overrides: Any) -> MMIM:
    """An MMIM for data of this specification, with fields of `MMIMConfig` set as given."""
    return MMIM(spec, configure(MMIMConfig, overrides))
