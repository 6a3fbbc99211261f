"""SAM-LML: attention over intra- and inter-modal interactions, supervised by noise and by prediction errors.

Re-implemented from the abstract and notes on
    Mai, Han, Hu: Supervised Attention Mechanism for Low-quality Multimodal Data
    (EMNLP 2025, main 1084, 21366-21386; doi 10.18653/v1/2025.emnlp-main.1084);
the design choices are ours, because neither its equations nor its code were available to us.

With X_m the frames of modality m after a linear map, an interaction p = (m, n) is m attending to n, m = n included:
    Y_p = X_m + attention(LN X_m, LN X_n),   q_p = W_p LN [mean_t Y_p; std_t Y_p] + c_p,
    e_p = MLP(q_p),   a = softmax_p(e_p),   ŷ = MLP(Σ_p a_p q_p)
In training a modality n is drawn for each batch, and the interactions that use it see two more versions of its input,
x′ = x + ρ·std⊙ε with ρ ~ U(0, 1) per sample, and pure noise x″ = std⊙ε:
    L_rank   = mean max(0, μ − (e_p(x) − e_p(x′))) + max(0, μ − (e_p(x′) − e_p(x″)))
    L_anchor = mean a_p(x″)²
Each interaction also predicts alone, ŷ_p = w·q_p + b, the same w for all, learnt by L_own = mean |ŷ_p − y|, and
    L_task   = mean max(0, μ − (e_p − e_q)) over the pairs with |ŷ_p − y| + δ < |ŷ_q − y|, errors without gradient
Each modality's h_m = q_(m,m) splits into h_m = s_m + b_m, s_m an affine map of h_m, and over modalities and samples
    L_rec = mean (R_m [s_m; b_m] − mean_t standardised x_m)²,   L_orth = mean |cos(s_m, b_m)|,   L_var = mean Var(b_m)
    L = mean |ŷ − y| + .1 (L_rank + L_anchor + L_task + L_own + L_rec) + .01 (L_orth + L_var)

For classes and several labels an error is the negative log-likelihood, and δ is in nats.

From the abstract: a missing modality as the limit of a noisy one, supervision of attention weights in addition to the
task's, ranking of interactions instead of absolute labels. From the notes: intra-modal and directed inter-modal
attention over frame sequences, ranking of original, perturbed and pure noise, a decomposition, reconstruction and
variance terms.
Inferred: every formula above, all weights, margins and sizes; one ε for both versions; gradients of the rankings into
the whole network. Frames carry no positions. The notes pool by a mean alone; the additional standard deviation, as in
the shared encoder of `qamoe_bench.nn.encoder`, measures the spread of the frames and so their reliability.
Departs: no mutual-information term, because the notes do not define it; frames need not be aligned between modalities;
predictions start at the training mean and are scaled by the training standard deviation.

Frames that are zero are not observed: they are neither attended to nor pooled, and q_p = 0 if m has no other frame.
Samples that lack n are left out of rankings and anchor, and missing modalities out of the decomposition. With one
modality in the data there is one interaction, whose weight is always 1.

Dimension legend: B samples (K of them kept), T frames, D feature width, W width, M modalities, P = M² interactions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from qamoe_baselines.pooling import StatisticsPool
from qamoe_baselines.sam_lml_losses import Decomposition, anchor_loss, noisy_versions, ranking_loss, task_ranking_loss
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, TrainingBatch
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.answers import Answers, label_losses, log_probabilities_of
from qamoe_bench.nn.attention import MaskedAttention
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.frames import StandardisedLinear, blanked, masked_mean, observed_frames

VARIANTS = {
    "-ranking": {"ranking": 0.0},
    "-anchor": {"anchor": 0.0},
    "-task-ranking": {"task_ranking": 0.0},
    "-decomposition": {"reconstruction": 0.0, "orthogonality": 0.0, "variance": 0.0},
}
CARD = {
    "groups": ("paper",),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2025,
    "venue": "EMNLP",
    "parameters": 69_762,
    "published": {"SAM-LML": ""},
    "stages": {"text encoder": ("frame.text",), "other encoders": ("frame",)},
    "style": 6,
}


@dataclass(frozen=True)
class SAMLMLConfig:
    """Hyperparameters; none is stated in the abstract or the notes. A weight of 0 removes its term."""

    width: int = 32  # of frames and interactions
    heads: int = 4  # of each attention
    dropout: float = 0.1  # of Σ a_p q_p and inside the last perceptron; MOSI prefers more
    margin: float = 0.1  # μ of both rankings, in units of the score
    gap: float = (
        0.1  # δ, by which an interaction must err less to count as better, in label standard deviations or nats
    )
    ranking: float = 0.1  # weight of L_rank
    anchor: float = 0.1  # weight of L_anchor
    task_ranking: float = 0.1  # weight of L_task; without it there are no predictions of single interactions
    own: float = 0.1  # weight of L_own, where there is L_task
    reconstruction: float = 0.1  # weight of L_rec
    orthogonality: float = 0.01  # weight of L_orth
    variance: float = 0.01  # weight of L_var


class SAMLML(nn.Module):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: SAMLMLConfig) -> None:
        super().__init__()
        for m in spec.token_ids:
            raise BenchError(f"{m} holds token ids: sam-lml takes features; encode the tokens first")
        self.config = config
        self.modalities = spec.modalities
        self.pairs = tuple((m, n) for m in spec.modalities for n in spec.modalities)  # m attends to n
        width = config.width
        mean = spec.feature_mean
        std = spec.feature_std
        self.frame = nn.ModuleDict({m: StandardisedLinear(mean[m], std[m], width) for m in self.modalities})
        self.norm = nn.ModuleDict({m: nn.LayerNorm(width) for m in self.modalities})
        self.attention = nn.ModuleDict({f"{m}_{n}": MaskedAttention(width, config.heads) for m, n in self.pairs})
        self.pool = nn.ModuleDict({f"{m}_{n}": StatisticsPool(width) for m, n in self.pairs})
        # No last bias: it would raise all scores equally, and only their differences matter.
        self.score = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1, bias=False))
        self.head = nn.Sequential(
            Dropout(config.dropout),
            nn.Linear(width, width),
            nn.GELU(),
            Dropout(config.dropout),
            nn.Linear(width, spec.task.outputs),
        )
        if config.task_ranking:
            self.own = nn.Linear(width, spec.task.outputs)
        split = self.modalities if config.reconstruction or config.orthogonality or config.variance else ()
        self.decompose = nn.ModuleDict({m: Decomposition(width, spec.widths[m]) for m in split})
        self.answers = Answers(spec)

    def encode(self, batch: Batch) -> tuple[dict[str, Float[Tensor, "B _ W"]], dict[str, Bool[Tensor, "B _"]]]:
        """X_m of each modality, with unobserved frames set to zero, and the masks of observed frames."""
        observed = {m: observed_frames(batch, m) for m in self.modalities}
        return {m: self._frames(m, batch.features[m], observed[m]) for m in self.modalities}, observed

    def fuse(self, frames: Mapping[str, Float[Tensor, "B _ W"]], observed: Mapping[str, Bool[Tensor, "B _"]]) -> Output:
        """The prediction from mapped frames; `parts` has q, e, the frames and their masks."""
        q = self.interact(frames, observed, self.pairs)  # (B, P, W)
        scores = self.score(q)[..., 0]  # (B, P)
        h = torch.einsum("bp,bpw->bw", scores.softmax(1), q)
        parts = {"interactions": q, "scores": scores}
        parts |= {f"frames_{m}": frames[m] for m in self.modalities}
        parts |= {f"observed_{m}": observed[m] for m in self.modalities}
        return self.answers(self.head(h), parts=parts)

    def forward(self, batch: Batch) -> Output:
        """A prediction, with neither variance nor quality."""
        return self.fuse(*self.encode(batch))

    def interact(
        self,
        frames: Mapping[str, Float[Tensor, "B _ W"]],
        observed: Mapping[str, Bool[Tensor, "B _"]],
        pairs: Sequence[tuple[str, str]],
    ) -> Float[Tensor, "B P W"]:
        """q_p of some interactions (m, n); zeros for samples in which m has no observed frame."""
        normal = {m: self.norm[m](x) for m, x in frames.items()}
        pooled = []
        for m, n in pairs:
            attended = self.attention[f"{m}_{n}"](normal[m], normal[n], observed[n])  # (B, T, W)
            pooled.append(self.pool[f"{m}_{n}"](frames[m] + attended, observed[m]))  # (B, W)
        return torch.stack(pooled, dim=1)

    def loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """L of the module docstring, in label units where a term has a unit; draws from torch's global generator."""
        total = self.answers.loss(output, batch)
        if self.config.ranking or self.config.anchor:
            total = total + self._noise_loss(output, batch)
        if self.config.task_ranking:
            total = total + self._task_loss(output, batch.target)
        if self.decompose:
            total = total + self._decomposition_loss(output, batch)
        return total

    def _frames(
        self, modality: str, x: Float[Tensor, "B T D"], observed: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T W"]:
        return blanked(self.frame[modality](x), observed)

    def _noise_loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        """Rankings and anchor for one modality, over the samples that have it."""
        n = self.modalities[int(torch.randint(len(self.modalities), ()))]
        scores = output.parts["scores"]  # (B, P)
        rows = output.parts[f"observed_{n}"].any(1).nonzero()[:, 0]  # (K,)
        if not len(rows):
            return scores.new_zeros(())
        using = [i for i, pair in enumerate(self.pairs) if n in pair]
        perturbed, noise = self._noisy_scores(output, batch, n, rows, [self.pairs[i] for i in using])
        kept = scores[rows]  # (K, P)
        # Only the interactions that use n see noise; the others keep their scores in the softmax.
        mixed = kept.index_copy(1, torch.tensor(using, device=kept.device), noise)
        ranking = ranking_loss(kept[:, using], perturbed, noise, self.config.margin)
        anchor = anchor_loss(mixed.softmax(1)[:, using])
        return self.config.ranking * ranking + self.config.anchor * anchor

    def _noisy_scores(
        self, output: Output, batch: Batch, noisy: str, rows: Int[Tensor, " K"], pairs: Sequence[tuple[str, str]]
    ) -> tuple[Float[Tensor, "K P"], Float[Tensor, "K P"]]:
        """e_p(x′) and e_p(x″) for interactions that use the noisy modality, in one pass over twice the samples."""
        parts = output.parts
        layer = self.frame[noisy]
        assert isinstance(layer, StandardisedLinear)
        observed = {m: parts[f"observed_{m}"][rows].repeat(2, 1) for m in self.modalities}
        frames = {m: parts[f"frames_{m}"][rows].repeat(2, 1, 1) for m in self.modalities if m != noisy}
        versions = torch.cat(noisy_versions(batch.features[noisy][rows], parts[f"observed_{noisy}"][rows], layer.std))
        frames[noisy] = self._frames(noisy, versions, observed[noisy])
        scores: Tensor = self.score(self.interact(frames, observed, pairs))[..., 0]  # (2·K, P)
        return scores[: len(rows)], scores[len(rows) :]

    def _task_loss(self, output: Output, target: Float[Tensor, " B"]) -> Float[Tensor, ""]:
        answers = self.answers
        values: Tensor = self.own(output.parts["interactions"])  # (B, P, K)
        if answers.task.is_regression:
            predictions = answers.mean + answers.std * values[..., 0]
            errors = (predictions - target[:, None]).abs()  # (B, P)
            gap = self.config.gap * answers.std
        else:
            errors = label_losses(log_probabilities_of(values, answers.task), target, answers.task)
            gap = self.config.gap
        ranking = task_ranking_loss(output.parts["scores"], errors, gap, self.config.margin)
        return self.config.task_ranking * ranking + self.config.own * errors.mean()

    def _decomposition_loss(self, output: Output, batch: TrainingBatch) -> Float[Tensor, ""]:
        config = self.config
        total = output.prediction.new_zeros(())
        for m in self.modalities:
            layer = self.frame[m]
            decompose = self.decompose[m]
            observed = output.parts[f"observed_{m}"]  # (B, T)
            assert isinstance(layer, StandardisedLinear)
            assert isinstance(decompose, Decomposition)
            rows = observed.any(1)  # (B,), samples that have the modality
            if rows.any():
                h = output.parts["interactions"][rows, self.pairs.index((m, m))]  # (K, W)
                x = (masked_mean(batch.features[m], observed)[rows] - layer.mean) / layer.std  # (K, D)
                error, overlap, variance = decompose.losses(h, x)
                total = total + config.reconstruction * error
                total = total + config.orthogonality * overlap + config.variance * variance
        return total / len(self.modalities)


def build(spec: DataSpec, **overrides: Any) -> SAMLML:
    """A SAM-LML network for data of this specification, with fields of `SAMLMLConfig` set as given."""
    return SAMLML(spec, configure(SAMLMLConfig, overrides))
