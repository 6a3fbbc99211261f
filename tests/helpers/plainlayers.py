"""Layers as loops over plain tensors, from the entries of a state dict, to transcribe formulas with."""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from qamoe_bench.contract import TrainingBatch

Weights = Mapping[str, Tensor]


def damaged(batch: TrainingBatch) -> TrainingBatch:
    """The batch with text missing in five samples, vision in another five, and lost frames of audio in all."""
    features = {m: x.clone() for m, x in batch.features.items()}
    features["text"][:5] = 0
    features["vision"][5:10] = 0
    features["audio"][:, ::2] = 0
    signal = {m: x.clone() for m, x in batch.signal.items()}
    signal["text"][:5] = 0
    return replace(batch, features=features, signal=signal)


def linear(w: Weights, name: str, x: Tensor) -> Tensor:
    """Wx + b for every row of x."""
    y = x @ w[f"{name}.weight"].T
    return y + w[f"{name}.bias"] if f"{name}.bias" in w else y


def normed(w: Weights, name: str, x: Tensor) -> Tensor:
    """Layer normalisation of every row."""
    centred = x - x.mean(-1, keepdim=True)
    scale = (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    return centred / scale * w[f"{name}.weight"] + w[f"{name}.bias"]


def attended(q: Tensor, k: Tensor, v: Tensor, heads: int, keep: Tensor | None = None) -> Tensor:
    """One row per query; keys without `keep` get no weight."""
    width = q.shape[-1] // heads
    columns = []
    for h in range(heads):
        part = slice(h * width, (h + 1) * width)
        scores = q[:, part] @ k[:, part].T / width**0.5
        if keep is not None:
            scores[:, ~keep] = -torch.inf
        columns.append(scores.softmax(-1) @ v[:, part])
    return torch.cat(columns, dim=-1)


def lstm(w: Weights, name: str, x: Tensor, layer: int = 0, *, backward: bool = False) -> Tensor:
    """The states of one direction of one layer, from rows in time."""
    suffix = f"l{layer}_reverse" if backward else f"l{layer}"
    ih, hh, bi, bh = (w[f"{name}.{kind}_{suffix}"] for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    h = torch.zeros(hh.shape[1])
    c = torch.zeros(hh.shape[1])
    states: list[Tensor] = []
    for row in reversed(list(x)) if backward else list(x):
        i, f, g, o = (ih @ row + bi + hh @ h + bh).chunk(4)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states[::-1] if backward else states)


def bilstm(w: Weights, name: str, x: Tensor, layers: int) -> Tensor:
    """Both directions of every layer, side by side."""
    for layer in range(layers):
        x = torch.cat([lstm(w, name, x, layer), lstm(w, name, x, layer, backward=True)], dim=-1)
    return x


def frames(w: Weights, name: str, batch: TrainingBatch, modality: str, row: int, *, clean: bool = False) -> Tensor:
    """Standardised frames of one sample (T, D); zeros at lost ones and padding."""
    raw = (batch.clean if clean else batch.features)[modality][row]
    standard = (raw - w[f"{name}.mean"]) / w[f"{name}.std"]
    return torch.stack([z if x.abs().sum() > 0 else torch.zeros_like(z) for x, z in zip(raw, standard, strict=True)])


def token_block(w: Weights, name: str, x: Tensor, source: Tensor, heads: int, keep: Tensor | None = None) -> Tensor:
    """A block of `token_transformer`."""
    at = f"{name}.attention"
    q = linear(w, f"{at}.query", normed(w, f"{at}.norms.0", x))
    k = linear(w, f"{at}.key", normed(w, f"{at}.norms.1", source))
    v = linear(w, f"{at}.value", normed(w, f"{at}.norms.2", source))
    x = x + linear(w, f"{at}.out", attended(q, k, v, heads, keep))
    hidden = linear(w, f"{name}.feed_forward.1", normed(w, f"{name}.feed_forward.0", x))
    hidden = 0.5 * hidden * (1 + torch.erf(hidden / 2**0.5))  # GELU
    return x + linear(w, f"{name}.feed_forward.3", hidden)


def token_states(w: Weights, name: str, x: Tensor, heads: int, keep: Tensor | None = None) -> list[Tensor]:
    """The states of `TokenTransformer`, of one sample."""
    if f"{name}.tokens" in w:
        tokens = w[f"{name}.tokens"][0]
        x = torch.cat([tokens, x])
        keep = None if keep is None else torch.cat([torch.ones(len(tokens), dtype=torch.bool), keep])
    states = [x + w[f"{name}.positions"][0, : len(x)]]
    depth = 1 + max(int(key.split(".")[-5]) for key in w if key.startswith(f"{name}.blocks.") and ".norms." in key)
    for i in range(depth):
        states.append(token_block(w, f"{name}.blocks.{i}", states[-1], states[-1], heads, keep))
    return states


def frame_tokens(w: Weights, modality: str, batch: TrainingBatch, row: int, heads: int, *, clean: bool) -> Tensor:
    """The K tokens of one modality of one sample, as `FrameTokens` with its mask makes them."""
    name = f"encoders.{modality}"
    x = frames(w, f"{name}.input", batch, modality, row, clean=clean)
    keep = x.abs().sum(-1) > 0
    states = token_states(w, f"{name}.transformer", linear(w, f"{name}.frame", x), heads, keep)
    return states[-1][: w[f"{name}.transformer.tokens"].shape[1]]


def count_of(module: torch.nn.Module) -> int:
    """The number of parameters."""
    return sum(p.numel() for p in module.parameters())


def token_transformer_count(positions: int, tokens: int, depth: int) -> int:
    """Parameters of a Transformer of LNLN's code with width 128, 8 heads of 64 and 128 hidden units."""
    attention = 3 * 2 * 128 + 3 * 128 * 512 + 512 * 128 + 128
    feed_forward = 2 * 128 + 2 * (128 * 128 + 128)
    return (positions + 2 * tokens) * 128 + depth * (attention + feed_forward)
