"""MulT: crossmodal attention between the frames of unaligned modalities.

Re-implementation of
    Tsai, Bai, Liang, Kolter, Morency, Salakhutdinov: Multimodal Transformer for Unaligned Multimodal Language Sequences
    (ACL 2019; arXiv 1906.00295),
after the paper and thuiar/MMSA @ a94e65d (from yaohungt/Multimodal-Transformer), to whose outputs it is equal with the
settings that the test names.

x_m are frames mapped to one width. Layers of `qamoe_bench.nn.transformer` attend from modality m to the frames of n:
    z ← √W·x_m + positions;   z ← z + attention(LN z, LN(√W·x_n + positions));   z ← z + W₂ ReLU(W₁ LN z);   a last LN
and give z_{n→m}. Per modality h_m is the last frame of Transformer_m([z_{n→m}; z_{k→m}]) over its own frames, and
    h = [h_t; h_a; h_v],   ŷ = W₃ (h + W₂ dropout(ReLU(W₁ h)))
The objective is the mean absolute error; for classes the cross-entropy, with W₃ as wide as there are classes. Several
labels, such as the four emotions of IEMOCAP in the paper, have one sigmoid each, where the code has a softmax over two.

From paper and code: all formulas. From the authors' code: one frame per convolution, and that frame t of m sees frames
of n up to t + |T_m − T_n| only (`future`), which MMSA has too; MMSA has no positions and convolves five frames.
Inferred: one modality alone attends to itself. With two there is one z per modality.
Departs, and `faithful` reverts the first three:
    input       each dimension standardised with training statistics, zeros stay zeros; both codes feed raw features
    padding     is not attended to, and h_m is read at the last valid frame; both codes attend to it and read it
    future      every frame sees all of the other modality, as the paper draws it
    sizes       20 wide, 4 heads, one layer each, for an epoch in about a second on a CPU; the variant `paper`
                has the code's 30, 5, 5 and 5
    training    the suite's loop; MMSA has Adam at 2e-3 with steps of eight batches of 16

Dimension legend: B samples, T and S frames, W width, N sources.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from qamoe_baselines.masked_frames import MaskedFrames
from qamoe_bench.config import configure
from qamoe_bench.contract import Batch, DataSpec, Output
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.answers import Answers
from qamoe_bench.nn.attention import sinusoidal_positions
from qamoe_bench.nn.dropout import Dropout
from qamoe_bench.nn.transformer import Dropouts, TransformerLayer
from qamoe_bench.nn.two_stage import TwoStageModel

VARIANTS = {
    "faithful": {"standardise": False, "mask_padding": False, "future": False},
    "paper": {"width": 30, "heads": 5, "layers": 5, "memory_layers": 5},
}
CARD = {
    "groups": ("clean",),
    "tasks": ("regression", "classes", "multi-label"),
    "year": 2019,
    "venue": "ACL",
    "parameters": 120_441,
    "published": {"MulT": ""},
    "presets": {"paper": {"width": 30, "heads": 5, "layers": 5, "memory_layers": 5}},
    "stages": {"heads": ("project_1", "project_2", "out")},
}


@dataclass(frozen=True)
class MulTConfig:
    """Hyperparameters; a comment names the source of each value."""

    width: int = 20  # of x_m; code: 30, MMSA: 50
    heads: int = 4  # code: 5, MMSA: 10
    layers: int = 1  # of each crossmodal Transformer; code: 5, MMSA: 4
    memory_layers: int = 1  # of each Transformer_m; code: as many as `layers`, at least 3
    kernel: int = 1  # frames of the convolution, odd; code: 1, MMSA: 5
    attention_dropout: float = 0.1  # code; of text, and of the Transformer of text
    other_dropout: float = 0.0  # code; the same for audio and vision
    hidden_dropout: float = 0.1  # code
    residual_dropout: float = 0.1  # code
    embedding_dropout: float = 0.25  # code
    text_dropout: float = 0.2  # MMSA has .5; of the frames of text
    output_dropout: float = 0.0  # code
    positions: bool = True  # paper and code; MMSA: False
    future: bool = True  # code and MMSA: False, whose frames do not see later ones
    mask_padding: bool = True  # code and MMSA: False
    standardise: bool = True  # code and MMSA: False

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise BenchError(f"setting kernel: expected an odd number of frames, got {self.kernel}; add 1")


class CrossmodalTransformer(nn.Module):
    """z_{n→m}: layers that attend from one sequence to another, or to itself."""

    def __init__(self, width: int, layers: int, attention_dropout: float, config: MulTConfig) -> None:
        super().__init__()
        self.positions = config.positions
        self.future = config.future
        self.embedding_dropout = Dropout(config.embedding_dropout)
        dropouts = Dropouts(attention_dropout, config.hidden_dropout, config.residual_dropout)
        self.layers = nn.ModuleList(TransformerLayer(width, config.heads, dropouts) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(
        self, x: Float[Tensor, "B T W"], source: Float[Tensor, "B S W"] | None, observed: Bool[Tensor, "B S"] | None
    ) -> Float[Tensor, "B T W"]:
        """Every frame of x after attending to the source's (its own without one), only to observed ones if given."""
        embedded = None if source is None else self._embed(source)
        frames = x.shape[1] if source is None else source.shape[1]
        allowed = None if self.future else _past(x.shape[1], frames, x.device)
        z = self._embed(x)
        for layer in self.layers:
            z = layer(z, observed, embedded, allowed)
        normal: Tensor = self.norm(z)
        return normal

    def _embed(self, x: Float[Tensor, "B T W"]) -> Float[Tensor, "B T W"]:
        _, frames, width = x.shape
        embedded = width**0.5 * x
        if self.positions:
            embedded = embedded + sinusoidal_positions(frames, width, x)
        dropped: Tensor = self.embedding_dropout(embedded)
        return dropped


class FrameMap(nn.Module):
    """x_m of one modality, with a last column that says which frames are valid."""

    def __init__(self, modality: str, spec: DataSpec, config: MulTConfig) -> None:
        super().__init__()
        self.modality = modality
        self.dropout = Dropout(config.text_dropout if modality == "text" else 0.0)
        self.frames = MaskedFrames(modality, spec, standardise=config.standardise)
        padding = config.kernel // 2
        self.convolution = nn.Conv1d(self.frames.width, config.width, config.kernel, padding=padding, bias=False)

    def forward(self, batch: Batch) -> Float[Tensor, "B T _"]:
        """W + 1 columns, so that the fusion needs nothing else of a batch."""
        x = self.dropout(self.frames(batch)[0])
        mapped = self.convolution(x.transpose(1, 2)).transpose(1, 2)
        return torch.cat([mapped, batch.mask(self.modality)[..., None].to(mapped.dtype)], dim=2)


class MulT(TwoStageModel):
    """The model of the module docstring."""

    def __init__(self, spec: DataSpec, config: MulTConfig) -> None:
        super().__init__()
        self.config = config
        self.modalities = spec.modalities
        self.encoders = nn.ModuleDict({m: FrameMap(m, spec, config) for m in self.modalities})
        dropout = {m: config.attention_dropout if m == "text" else config.other_dropout for m in self.modalities}
        cross: dict[str, nn.Module] = {}
        for m in self.modalities:
            for n in self._sources(m):
                # As in both codes, the dropout is that of the source.
                cross[f"{n}_to_{m}"] = CrossmodalTransformer(config.width, config.layers, dropout[n], config)
        self.cross = nn.ModuleDict(cross)
        wide = len(self._sources(self.modalities[0])) * config.width
        memory = {m: CrossmodalTransformer(wide, config.memory_layers, dropout[m], config) for m in self.modalities}
        self.memory = nn.ModuleDict(memory)
        combined = len(self.modalities) * wide
        self.project_1 = nn.Linear(combined, combined)
        self.output_dropout = Dropout(config.output_dropout)
        self.project_2 = nn.Linear(combined, combined)
        self.out = nn.Linear(combined, spec.task.outputs)
        self.answers = Answers(spec, standardised=False)

    def encode_modality(self, batch: Batch, modality: str) -> Float[Tensor, "B T _"]:
        """x_m and which frames are valid."""
        encoded: Tensor = self.encoders[modality](batch)
        return encoded

    def fuse(self, encoded: Mapping[str, Float[Tensor, "B _ _"]]) -> Output:
        """The prediction, with neither variance nor quality."""
        x = {m: encoded[m][..., :-1] for m in self.modalities}
        valid = {m: encoded[m][..., -1] > 0.5 for m in self.modalities}
        h = torch.cat([self._last_state(m, x, valid) for m in self.modalities], dim=1)
        hidden = self.output_dropout(F.relu(self.project_1(h)))
        return self.answers(self.out(h + self.project_2(hidden)))

    def _last_state(
        self, modality: str, x: Mapping[str, Float[Tensor, "B _ _"]], valid: Mapping[str, Bool[Tensor, "B _"]]
    ) -> Float[Tensor, "B _"]:
        """h_m."""
        masks = self.config.mask_padding
        streams = []
        for n in self._sources(modality):
            attend = self.cross[f"{n}_to_{modality}"]
            streams.append(attend(x[modality], x[n], valid[n] if masks else None))
        states: Tensor = self.memory[modality](torch.cat(streams, dim=2), None, valid[modality] if masks else None)
        if not masks:
            return states[:, -1]
        end = (valid[modality].sum(1) - 1).clamp(min=0)  # a sample without a frame is read at its first one
        return states[torch.arange(len(end), device=end.device), end]

    def _sources(self, modality: str) -> list[str]:
        """Modalities that a modality attends to."""
        return [n for n in self.modalities if n != modality] or [modality]


def _past(frames: int, others: int, device: torch.device) -> Bool[Tensor, "T S"]:
    """Which frames of the source each frame sees in the authors' code: those up to t + |T − S|."""
    return torch.ones(frames, others, dtype=torch.bool, device=device).tril(abs(others - frames))


def build(spec: DataSpec, **overrides: Any) -> MulT:
    """A MulT for data of this specification, with fields of `MulTConfig` set as given."""
    return MulT(spec, configure(MulTConfig, overrides))
