"""IMDer: a missing modality is sampled by a diffusion model that the available ones condition, and then fused.

Re-implemented after
    Wang, Li, Cui: Incomplete Multimodality-Diffused Emotion Recognition (NeurIPS 2023),
    code mdswyz/IMDer @ 1901a92.

x_m are convolved frames, c what the available modalities say together: x_k of one, W [x_j; x_k] + b of two. For a
missing m, x_m = R_m(a sample of the score network s_m given c), R_m of `channel_attention`, s_m and the sampler of
`score_network`. With Transformers C, M of MulT's kind (see `causal_transformer`), then, as MulT does,
    h_m = the last of M_m([C_{m←k}(x_m, x_k) for each other k]),  h = [h_t; h_a; h_v];  ŷ = W₃(h + W₂ ReLU(W₁ h))
Training begins with complete samples, |ŷ − y|; then x_m stay fixed, and for missing modalities m
    L = |ŷ − y| + 0.1 · Σ_m [score loss of s_m given c + mean (x_m − x*_m)²]

From paper and code: all of it, with the authors' weights from complete samples as the first quarter of the training.
Inferred: that quarter. The score loss and the error of x_m are learnt on whole samples of which some modalities are
hidden, each nonempty subset of the available ones as often, in a pass of its own: the networks s_m and W share no
parameters with the rest, and a training without corruption has something to recover, too. Where no modality is left
there is no condition, and x_m stays zero. A modality is missing if it has no frame other than zero.
Departs, and `faithful` reverts the first two:
    sampler   ancestral steps, which stay finite however few; the authors have Euler–Maruyama
    input     each dimension standardised with training statistics; the authors feed raw features
    steps     4 of 100, so a sample is coarse; the preset `paper` has 100
    noise     in evaluation the same random numbers for every sample, so that a prediction depends neither on the batch
              nor on the order; the authors' predictions differ from pass to pass
    time      segments of equal duration (see `segments`), so that modalities of different frame rates fit together and
              the U-Net halves evenly; the authors expect 50 aligned frames, of which 48 are left
    missing   the suite draws it for each sample; the authors draw it for a whole batch, by a schedule of their own
    sizes     half of the width and one to two of the layers, to train in a few times the time of C-MIB; the preset
              `paper` has the published sizes
    training  the suite's loop; the authors clip each gradient and lower their rate on plateaus
A sample of one missing modality costs its number of steps passes of the U-Net. The costs that the suite counts are
those of complete samples, of which nothing is sampled.

Dimension legend: B samples, M modalities, S segments, W width, K samples of which a modality is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.causal_transformer import CausalSizes, CausalTransformer
from qamoe_baselines.channel_attention import ChannelRefinement
from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_baselines.score_network import ScoreNetwork, ScoreSizes, sample_score, sampling_steps, score_loss
from qamoe_baselines.segments import segment_means
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output, ParameterGroup, Phase, TrainingBatch
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.two_stage import TwoStageModel

NOISE_SEED = 25  # of the random numbers of an evaluation
SOURCE_DROPOUT = {"text": 0.0, "audio": 0.2, "vision": 0.0}
"""Dropout of attention weights, by the modality that is attended to; code, for CMU-MOSI."""

VARIANTS = {"faithful": {"euler": True, "standardise": False}}
CARD = {
    "groups": ("robust",),
    "tasks": ("regression",),
    "year": 2023,
    "venue": "NeurIPS",
    "parameters": 238_045,
    "published": {"IMDer": ""},
    "presets": {
        "paper": {
            "width": 32, "heads": 8, "layers": 4, "segments": 48, "levels": 4, "score_layers": 2, "time": 256,
            "blocks": 20, "steps": 100,
        }
    },
    "stages": {
        "text encoder": ("inputs.text", "convolutions.text"),
        "other encoders": ("inputs", "convolutions"),
        "heads": ("project_1", "project_2", "out"),
    },
}  # fmt: skip


@dataclass(frozen=True)
class IMDerConfig:
    """Hyperparameters; a comment names the source of each value."""

    width: int = 16  # code: 32
    heads: int = 4  # code: 8
    layers: int = 1  # code: 4 for CMU-MOSI, 6 for CMU-MOSEI; of each Transformer of the fusion
    segments: int = 8  # inferred; code: 48 frames
    levels: int = 2  # code: 4; of the U-Net
    score_layers: int = 1  # code: 2; of each Transformer of the U-Net
    time: int = 32  # code: 256; width of the embedded time
    blocks: int = 2  # code: 20; of a refinement
    steps: int = 4  # code: 100
    embedding_dropout: float = 0.2  # code
    recovery_weight: float = 0.1  # code
    complete_share: float = 0.25  # inferred; of the training, on complete samples
    euler: bool = False  # code: True
    standardise: bool = True  # code: False

    def __post_init__(self) -> None:
        if self.levels < 2:
            raise BenchError(f"setting levels: expected at least 2, got {self.levels}; set 2 to 4")
        divisor = 2 ** (self.levels - 1)
        if self.segments % divisor or self.segments < 2 * divisor:  # the deepest level normalises over two at least
            nearest = divisor * max(round(self.segments / divisor), 2)
            raise BenchError(
                f"setting segments: expected a multiple of {divisor} from {2 * divisor} on for {self.levels} "
                f"levels, got {self.segments}; set segments={nearest}"
            )
        if self.steps < 2:
            raise BenchError(f"setting steps: expected at least 2, got {self.steps}; set 2 or more")

    def transformer(self, source: str, width: int) -> CausalTransformer:
        """A new Transformer that attends to `source`."""
        sizes = CausalSizes(width, self.heads, self.layers, SOURCE_DROPOUT[source], embedding=self.embedding_dropout)
        return CausalTransformer(sizes)

    def score_sizes(self) -> ScoreSizes:
        """Of every score network."""
        return ScoreSizes(self.width, self.levels, self.heads, self.score_layers, self.time)


class ModalityDiffusion(nn.Module):
    """Recovers one modality from the others."""

    noise: Tensor

    def __init__(self, others: int, config: IMDerConfig) -> None:
        super().__init__()
        width = config.width
        self.join = nn.Linear(others * width, width) if others > 1 else None
        self.score = ScoreNetwork(config.score_sizes())
        self.refine = ChannelRefinement(width, config.blocks)
        self.steps = sampling_steps(config.steps, euler=config.euler)
        # Not drawn from the global generator: the numbers are the same in every process, and on every device.
        generator = torch.Generator("cpu").manual_seed(NOISE_SEED)
        noise = torch.randn(1 + 2 * config.steps, config.segments, width, generator=generator, device="cpu")
        self.register_buffer("noise", noise, persistent=False)

    def condition(
        self, others: Sequence[Float[Tensor, "K S W"]], available: Bool[Tensor, "K _"]
    ) -> Float[Tensor, "K S W"]:
        """C of the others, of which missing ones are zero."""
        alone = torch.stack(list(others)).sum(0)
        if self.join is None:
            return alone
        joined: Tensor = self.join(torch.cat(list(others), dim=-1))
        return torch.where(available.all(1)[:, None, None], joined, alone)

    def forward(self, condition: Float[Tensor, "K S W"]) -> Float[Tensor, "K S W"]:
        """A sample, refined; in evaluation with the same random numbers for all."""
        sampled = sample_score(self.score, condition, self.steps, None if self.training else self.noise)
        refined: Tensor = self.refine(sampled)
        return refined


class IMDer(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: IMDerConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        width = config.width
        inputs = {m: MaskedFrames(m, spec, standardise=config.standardise) for m in self.modalities}
        self.inputs = nn.ModuleDict(inputs)
        convolutions = {m: nn.Conv1d(inputs[m].width, width, 3, padding=1, bias=False) for m in self.modalities}
        self.convolutions = nn.ModuleDict(convolutions)
        others = len(self.modalities) - 1
        recovered = self.modalities if others else ()  # one modality alone has nothing to be recovered from
        self.diffusion = nn.ModuleDict({m: ModalityDiffusion(others, config) for m in recovered})
        pairs = [(m, k) for m in self.modalities for k in self._sources(m)]
        self.cross = nn.ModuleDict({f"{m}_{k}": config.transformer(k, width) for m, k in pairs})
        wide = max(others, 1) * width
        self.memory = nn.ModuleDict({m: config.transformer("text", wide) for m in self.modalities})
        combined = len(self.modalities) * wide
        self.project_1 = nn.Linear(combined, combined)
        self.project_2 = nn.Linear(combined, combined)
        self.out = nn.Linear(combined, 1)

    def _sources(self, modality: str) -> list[str]:
        """Modalities that a modality attends to."""
        return [k for k in self.modalities if k != modality] or [modality]

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B S _"]:
        """x_m and a last column that is 1 where the modality is available."""
        x, observed = self.inputs[modality](batch)
        x, _ = segment_means(x, observed, batch.lengths[modality], self.config.segments)
        x = self.convolutions[modality](x.transpose(1, 2)).transpose(1, 2)
        available = observed.any(1)[:, None, None].expand(-1, x.shape[1], 1)
        return torch.cat([x, available.to(x.dtype)], dim=2)

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B S _"]]) -> Output:
        """The prediction, with neither variance nor quality; what is missing is recovered before."""
        x, available = self._split(encoded)
        recovered = dict(x)
        for m in self.diffusion:
            rows = self._recoverable(m, available)
            if len(rows):
                kept = {k: states[rows] for k, states in x.items()}
                sample = self.diffusion[m](self._condition(m, kept, available[rows]))
                recovered[m] = x[m].index_put((rows,), sample.to(x[m].dtype))
        return self._predict(recovered)

    def _split(self, encoded: Mapping[str, Tensor]) -> tuple[dict[str, Float[Tensor, "B S W"]], Bool[Tensor, "B M"]]:
        x = {m: encoded[m][..., :-1] for m in self.modalities}
        return x, torch.stack([encoded[m][:, 0, -1] > 0 for m in self.modalities], dim=1)

    def _recoverable(self, modality: str, available: Bool[Tensor, "B M"]) -> Tensor:
        """Samples without the modality that have another one."""
        here = self.modalities.index(modality)
        return (~available[:, here] & available.any(1)).nonzero()[:, 0]

    def _condition(
        self, modality: str, x: Mapping[str, Float[Tensor, "K S W"]], available: Bool[Tensor, "K M"]
    ) -> Float[Tensor, "K S W"]:
        others = [k for k in self.modalities if k != modality]
        columns = available[:, [self.modalities.index(k) for k in others]]
        diffusion = self.diffusion[modality]
        assert isinstance(diffusion, ModalityDiffusion)
        return diffusion.condition([x[k] for k in others], columns)

    def _predict(self, x: Mapping[str, Float[Tensor, "B S W"]]) -> Output:
        states = []
        for m in self.modalities:
            streams = [self.cross[f"{m}_{k}"](x[m], x[k]) for k in self._sources(m)]
            states.append(self.memory[m](torch.cat(streams, dim=-1))[:, -1])
        h = torch.cat(states, dim=1)
        return Output(self.out(h + self.project_2(F.relu(self.project_1(h))))[:, 0])

    def phases(self) -> Sequence[Phase]:
        """Complete samples; then in turns the recovery of hidden modalities and the prediction with it."""
        share = self.config.complete_share
        frames = [*self.inputs.parameters(), *self.convolutions.parameters()]
        fusion = [p for part in (self.cross, self.memory, self.project_1, self.project_2, self.out)
                  for p in part.parameters()]  # fmt: skip
        refinements = [p for name, p in self.diffusion.named_parameters() if ".refine." in name]
        phases = [Phase("complete", self.complete_loss, [ParameterGroup([*frames, *fusion])], stop=share)]
        if self.diffusion:
            recovery = [ParameterGroup(list(self.diffusion.parameters()))]
            phases.append(Phase("recovery", self.recovery_loss, recovery, start=share))
        prediction = [ParameterGroup([*fusion, *refinements])]
        return [*phases, Phase("prediction", self.prediction_loss, prediction, start=share)]

    def complete_loss(self, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The error of the prediction of the whole samples."""
        x, _ = self._split(self.encode(batch.uncorrupted()))
        return F.l1_loss(self._predict(x).prediction, batch.target)

    def prediction_loss(self, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The error of the prediction, with missing modalities recovered."""
        with torch.no_grad():
            encoded = self.encode(batch)
        return F.l1_loss(self.fuse(encoded).prediction, batch.target)

    def recovery_loss(self, batch: TrainingBatch) -> Float[Tensor, ""]:
        """The score loss and the error of recovered modalities of the whole samples, of which some are hidden."""
        with torch.no_grad():
            whole, present = self._split(self.encode(batch.uncorrupted()))
        kept = present & hidden_pattern(present.shape, present.device)
        x = {m: states * kept[:, i, None, None] for i, (m, states) in enumerate(whole.items())}
        total = next(iter(whole.values())).new_zeros(())
        for i, m in enumerate(self.modalities):
            rows = (present[:, i] & ~kept[:, i] & kept.any(1)).nonzero()[:, 0]
            if len(rows) == 0:
                continue
            diffusion = self.diffusion[m]
            assert isinstance(diffusion, ModalityDiffusion)
            condition = self._condition(m, {k: states[rows] for k, states in x.items()}, kept[rows])
            aim = whole[m][rows]
            # The sampler has no gradient, so that the recovery error teaches the refinement alone.
            total = total + score_loss(diffusion.score, aim, condition) + F.mse_loss(diffusion(condition), aim)
        return self.config.recovery_weight * total


def hidden_pattern(shape: torch.Size, device: torch.device) -> Bool[Tensor, "B M"]:
    """Which modalities of each sample are kept: every subset but none and all is equally likely."""
    samples, modalities = shape
    code = torch.randint(1, 2**modalities - 1, (samples, 1), device=device)
    return (code >> torch.arange(modalities, device=device)) & 1 == 1


def build(spec: DataSpec, **overrides: Any) -> IMDer:
    """An IMDer for data of this specification, with fields of `IMDerConfig` set as given."""
    return IMDer(spec, configure(IMDerConfig, overrides))
