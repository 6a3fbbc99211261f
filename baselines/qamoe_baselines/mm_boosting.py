"""MM-Boosting: parallel unimodal and multimodal learners, weighted by their expected error.

Re-implemented from the abstract and notes on
    Mai, Sun, Xiong, Zeng, Hu: Multimodal Boosting: Addressing Noisy Modalities and Identifying Modality Contribution
    (IEEE Transactions on Multimedia 26, 2024, 3018-3033; doi 10.1109/TMM.2023.3306489);
the design choices are ours, because neither its equations nor its code were available to us.

A learner k for each modality and one, m, for all together; sg stops the gradient:
    h_m = tanh(W [h_t; h_a; h_v] + b)
    ŷ_k = W_k h_k + b_k,   ℓ_k = |ŷ_k − y|
    c_k = sigmoid(MLP_k(sg h_k)),   α = softmax_k(c_k / T),   ŷ = Σ_k α_k ŷ_k
    o_k = mean_{j≠k} sg ℓ_j,   w_k = B · softmax(o_k / T_w) over the batch
    L   = mean |ŷ − y| + Σ_k mean(w_k ℓ_k) + mean Σ_k (c_k − exp(−sg ℓ_k / τ))²
For classes and several labels ŷ_k are probabilities, as is their sum weighted by α, and an error is the negative
log-likelihood; exp(−ℓ_k) is then the probability of the true class, as in the notes. Class weights apply to the first
term alone, because the other terms compare errors.
During the first epochs of training α is uniform, because contributions carry no information yet. This applies in
training mode only: the validation after such an epoch evaluates the deployed model, which uses the contributions.

From the abstract: parallel base learners of which one is multimodal, contributions learnt from a transformation of each
learner's loss, a prediction combined by contributions, more weight on samples that the other learners got wrong.
From the notes (an adaptation to another task): the form of the contribution network, a softmax over contributions, h_m,
a warm-up of 5 epochs, squared error as the contributions' loss.
Inferred: exp(−ℓ / τ) as the transformation, which the notes have for classes only (there the probability of the true
class); mean over the others and softmax over the batch in w_k; equal weights of the three losses, in one backward pass,
so that the error of ŷ teaches the contributions too; all sizes.
Departs: T = 0.1 instead of the notes' 1, because with c in (0, 1) and T = 1 no learner can weigh e times as much as
another, and the validation error was higher; the encoders are the suite's own (see `qamoe_bench.nn.encoder`);
predictions start at the training mean and are scaled by the training standard deviation. A missing modality's learner
is not switched off but predicts from zeros.

A contribution estimates the accuracy of one learner's prediction, not the integrity of its modality, so it is not
reported as a quality.

Dimension legend: B samples, W width, K learners.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from qamoe_bench.config import configure
from qamoe_bench.contract import DataSpec, Output, TrainingBatch
from qamoe_bench.nn.answers import Answers, label_losses, log_probabilities_of, probable_output
from qamoe_bench.nn.encoder import Summary, UtteranceEncoders, UtteranceModel

MULTIMODAL = "multimodal"
"""Name of learner m; each other learner has the name of its modality."""

VARIANTS = {
    "-contribution": {"contribution": False},
    "-complementary": {"complementary": False},
    "-multimodal": {"multimodal": False},
}
CARD = {
    "groups": ("paper",),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2024,
    "venue": "IEEE Transactions on Multimedia",
    "parameters": 63_368,
    "published": {"MM-Boosting": ""},
    "style": 5,
}


@dataclass(frozen=True)
class MMBoostingConfig:
    """Hyperparameters; a comment names the source of each value."""

    width: int = 64  # of encodings and of h_m; not stated
    encoder: Summary = "statistics"  # how an encoder summarises frames, see `qamoe_bench.nn.encoder`
    encoder_dropout: float = 0.3  # inside the encoders, which are not the paper's
    contribution: bool = True  # abstract; without it α is uniform and there is no contribution network
    complementary: bool = True  # abstract; without it w = 1
    multimodal: bool = True  # abstract; without it only the learners of single modalities remain
    tau: float = 1.0  # τ of the contributions' targets, in label units or nats; not stated
    temperature: float = 0.1  # T of α, less is sharper; departs from the notes' 1, see above
    weight_temperature: float = 1.0  # T_w of the complementary weights, in label units or nats; not stated
    warm_up: int = 5  # epochs of training with uniform α; notes


class MMBoosting(UtteranceModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: MMBoostingConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        self.learners = (*self.modalities, MULTIMODAL) if config.multimodal else self.modalities
        self.warming_up = False  # set by `start_epoch`; not part of the weights
        width = config.width
        self.encoders = UtteranceEncoders(spec, width, config.encoder_dropout, config.encoder)
        self.joint = nn.Sequential()
        if config.multimodal:
            self.joint = nn.Sequential(nn.Linear(len(self.modalities) * width, width), nn.Tanh())
        self.predict = nn.ModuleDict({k: nn.Linear(width, spec.task.outputs) for k in self.learners})
        rated = self.learners if config.contribution else ()
        self.contribution = nn.ModuleDict({k: contribution_network(width) for k in rated})
        self.answers = Answers(spec)

    def start_epoch(self, epoch: int) -> None:
        """Begin or end the warm-up; epochs count from 1."""
        self.warming_up = epoch <= self.config.warm_up

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B W"]]) -> Output:
        """The prediction; `parts` has ŷ_k, α and, if there are contributions, c, each (B, K).

        Of classes or labels `parts` has the logarithms of the probabilities of each learner, (B, K, C).
        """
        h = self._features(encoded)
        values = torch.stack([self.predict[k](h[k]) for k in self.learners], dim=1)  # (B, K, C)
        parts = {"predictions": self._predictions(values)}
        parts["weights"] = torch.full_like(values[..., 0], 1 / len(self.learners))
        if self.config.contribution:
            c = torch.cat([self.contribution[k](h[k].detach()) for k in self.learners], dim=1)  # (B, K)
            parts["contributions"] = c
            if not (self.training and self.warming_up):
                parts["weights"] = (c / self.config.temperature).softmax(1)
        if self.answers.task.is_regression:
            return Output((parts["weights"] * parts["predictions"]).sum(1), parts=parts)
        mixture = torch.logsumexp(parts["weights"].log()[..., None] + parts["predictions"], dim=1)  # (B, C)
        # Rounding may take the sum of probabilities above 1.
        return probable_output(mixture.clamp(max=0), self.answers.task, parts=parts)

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L of the module docstring, in label units (except the contributions' term, which has no unit)."""
        config = self.config
        losses = self._errors(output.parts["predictions"], batch.target)  # (B, K)
        total = self.answers.loss(output, batch)
        weights = complementary_weights(losses, config.weight_temperature) if config.complementary else 1
        total = total + (weights * losses).mean(0).sum()
        if config.contribution:
            total = total + contribution_loss(output.parts["contributions"], losses, config.tau)
        return total

    def _predictions(self, values: Float[Tensor, "B K C"]) -> Float[Tensor, "B K *C"]:
        """ŷ_k of each learner: in label units, or log-probabilities."""
        if self.answers.task.is_regression:
            return self.answers.mean + self.answers.std * values[..., 0]
        return log_probabilities_of(values, self.answers.task)

    def _errors(self, predictions: Float[Tensor, "B K *C"], target: Float[Tensor, " B"]) -> Float[Tensor, "B K"]:
        """ℓ_k of each learner."""
        if self.answers.task.is_regression:
            return (predictions - target[:, None]).abs()
        return label_losses(predictions, target, self.answers.task)

    def _features(self, encoded: Mapping[str, Float[Tensor, "B W"]]) -> dict[str, Float[Tensor, "B W"]]:
        """h_k of each learner."""
        if not self.config.multimodal:
            return dict(encoded)
        return {**encoded, MULTIMODAL: self.joint(torch.cat([encoded[m] for m in self.modalities], dim=1))}


def contribution_network(width: int) -> nn.Sequential:
    """From a learner's features to its c in (0, 1)."""
    hidden = max(1, width // 2)
    return nn.Sequential(nn.Linear(width, hidden), nn.ReLU(), nn.Linear(hidden, 1), nn.Sigmoid())


def contribution_loss(
    contributions: Float[Tensor, "B K"], losses: Float[Tensor, "B K"], tau: float
) -> Float[Tensor, ""]:
    """Mean over samples of Σ_k (c_k − exp(−ℓ_k / τ))²: a learner without error should contribute 1."""
    targets = (-losses.detach() / tau).exp()
    return (contributions - targets).square().sum(1).mean()


def complementary_weights(losses: Float[Tensor, "B K"], temperature: float) -> Float[Tensor, "B K"]:
    """w_k, higher where the other learners err more; mean 1 over the batch, and 1 for a single learner."""
    losses = losses.detach()
    samples, learners = losses.shape
    others = (losses.sum(1, keepdim=True) - losses) / max(1, learners - 1)  # (B, K)
    return samples * (others / temperature).softmax(0)


def build(spec: DataSpec, **overrides: Any) -> MMBoosting:
    """An MM-Boosting network for data of this specification, with fields of `MMBoostingConfig` set as given."""
    return MMBoosting(spec, configure(MMBoostingConfig, overrides))
