"""TFR-Net against a transcription of its formulas, and with the same weights as in the MMSA package."""

import math
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from plainlayers import Weights, attended, damaged, frames, linear, normed
from qamoe_baselines.tfr_net import CODE_WEIGHTS, KERNELS, VARIANTS, TFRNet, build
from torch import Tensor

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.seeding import seeded

MODALITIES = ("text", "audio", "vision")
SIZES = {
    "width": 6, "layers": 2, "recurrent_layers": 2, "text_hidden": 3, "audio_hidden": 2, "vision_hidden": 4, "hidden": 5
}  # fmt: skip


def made(tiny: Dataset, **settings: Any) -> TFRNet:
    with seeded("tfr-net"):
        model = build(tiny.spec, **SIZES, **settings).eval()
        for name, buffer in model.head[0].named_buffers():  # as if it had been trained
            if name != "num_batches_tracked":
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return model


def positioned(x: Tensor) -> Tensor:
    rows = []
    for t, row in enumerate(x):
        half = len(row) // 2
        angles = torch.tensor([(t + 1) * math.exp(-math.log(10_000) * i / max(half - 1, 1)) for i in range(half)])
        position = torch.cat([angles.sin(), angles.cos()]) if row[0] != 0 else torch.zeros(len(row))
        rows.append(len(row) ** 0.5 * row + position)
    return torch.stack(rows)


def transformed(w: Weights, name: str, x: Tensor, source: Tensor | None, heads: int, *, positions: bool) -> Tensor:
    x = positioned(x) if positions else x.shape[1] ** 0.5 * x
    source = None if source is None else positioned(source)
    for i in range(2):
        at = f"{name}.blocks.{i}"
        context = normed(w, f"{at}.norm", x if source is None else source)
        key, value = linear(w, f"{at}.key_value", context).chunk(2, dim=-1)
        query = linear(w, f"{at}.query", normed(w, f"{at}.norm", x))
        reach = abs(len(x) - len(key))
        rows = [attended(query[[t]], key[: t + 1 + reach], value[: t + 1 + reach], heads) for t in range(len(x))]
        x = x + linear(w, f"{at}.out", torch.cat(rows))
        hidden = linear(w, f"{at}.feed_forward.1", normed(w, f"{at}.feed_forward.0", x)).clamp(min=0)
        x = x + linear(w, f"{at}.feed_forward.4", hidden)
    return normed(w, f"{name}.norm", x)


def gru(w: Weights, name: str, x: Tensor) -> Tensor:
    h, states = torch.zeros(w[f"{name}.weight_hh_l0"].shape[1]), []
    for row in x:
        i = w[f"{name}.weight_ih_l0"] @ row + w[f"{name}.bias_ih_l0"]
        s = w[f"{name}.weight_hh_l0"] @ h + w[f"{name}.bias_hh_l0"]
        (ir, iz, inew), (sr, sz, snew) = i.chunk(3), s.chunk(3)
        z = (iz + sz).sigmoid()
        h = (1 - z) * (inew + (ir + sr).sigmoid() * snew).tanh() + z * h
        states.append(h)
    return torch.stack(states)


def pooled(w: Weights, m: str, h: Tensor, length: int) -> Tensor:
    s = h[:length]
    for i in range(2):
        ahead = gru(w, f"pools.{m}.gru.forwards.{i}", s)
        behind = gru(w, f"pools.{m}.gru.backwards.{i}", s.flip(0)).flip(0)
        s = torch.cat([ahead, behind], dim=1)
    s = torch.cat([s, torch.zeros(len(h) - length, s.shape[1])])
    around = torch.cat([torch.zeros(1, s.shape[1]), s, torch.zeros(1, s.shape[1])])
    kernel, bias = w[f"pools.{m}.gate.weight"][0], w[f"pools.{m}.gate.bias"]
    gate = torch.stack([((kernel * around[t : t + 3].T).sum() + bias).sigmoid() for t in range(len(h))])
    return linear(w, f"pools.{m}.linear", torch.cat([h, gate * s.tanh()], dim=1)).tanh().amax(0)


def convolved(w: Weights, m: str, x: Tensor) -> Tensor:
    kernel = w[f"convolutions.{m}.weight"]
    size = KERNELS[m]
    zeros = torch.zeros(size // 2, x.shape[1])
    around = torch.cat([zeros, x, zeros])
    return torch.stack([(kernel * around[t : t + size].T).sum((1, 2)) for t in range(len(x))])


def states_of(w: Weights, x: dict[str, Tensor], m: str) -> Tensor:
    parts = [transformed(w, f"transformers.{m}_{m}", x[m], None, 2, positions=True)]
    others = [k for k in MODALITIES if k != m]
    parts += [transformed(w, f"transformers.{m}_{k}", x[m], x[k], 2, positions=True) for k in others]
    return torch.cat(parts, dim=1)


def test_predictions_and_loss_follow_the_formulas(tiny: Dataset, batch: TrainingBatch) -> None:
    model = made(tiny)
    few = damaged(batch).rows(slice(3, 8))
    w = model.state_dict()
    predictions, h = [], []
    for i in range(5):
        x = {m: convolved(w, m, frames(w, f"inputs.{m}", few, m, i)) for m in MODALITIES}
        h.append({m: states_of(w, x, m) for m in MODALITIES})
        r = torch.cat([pooled(w, m, h[i][m], int(few.lengths[m][i])) for m in MODALITIES])
        r = (r - w["head.0.running_mean"]) / (w["head.0.running_var"] + 1e-5).sqrt()
        hidden = linear(w, "head.1", r * w["head.0.weight"] + w["head.0.bias"])
        predictions.append(linear(w, "head.3", torch.where(hidden > 0, hidden, 0.01 * hidden))[0])
    output = model(few)
    torch.testing.assert_close(output.prediction, torch.stack(predictions), rtol=1e-5, atol=1e-5)
    expected = (output.prediction - few.target).abs().mean()
    for m in MODALITIES:
        got, aim, lost = [], [], 0
        for i in range(5):
            courses = h[i][m].T
            heads = math.gcd(25, courses.shape[1])
            x_hat = linear(w, f"rebuild.{m}", transformed(w, f"channels.{m}", courses, None, heads, positions=False).T)
            clean = frames(w, f"inputs.{m}", few, m, i, clean=True)
            gone = (clean.abs().sum(1) > 0) & (few.features[m][i].abs().sum(1) == 0)
            got += list(x_hat * gone[:, None])
            aim += list(clean * gone[:, None])
            lost += int(gone.sum()) * clean.shape[1]
        a, b = torch.stack(got), torch.stack(aim)
        d = (a - b).abs()
        total = torch.where(d < 1, d * d / 2, d - 0.5).sum()
        for k in (1, 2, 3):
            moments = [(x - x.mean(0)).pow(k).mean(0) if k > 1 else x.mean(0) for x in (a, b)]
            total = total + 5 * ((moments[0] - moments[1]).square().sum() + 1e-12).sqrt()
        expected = expected + total / (lost + 1e-4)
    torch.testing.assert_close(model.loss(output, few), expected, rtol=1e-4, atol=1e-5)


def test_the_first_epoch_has_no_reconstruction(tiny: Dataset, batch: TrainingBatch) -> None:
    model = made(tiny).train()
    few = damaged(batch)
    model.start_epoch(1)
    output = model(few)
    error = (output.prediction - few.target).abs().mean()
    torch.testing.assert_close(model.loss(output, few), error)
    model.start_epoch(2)
    assert model.loss(output, few) > error


def test_only_the_faithful_reconstruction_depends_on_other_samples(tiny: Dataset, batch: TrainingBatch) -> None:
    for faithful in (False, True):
        model = made(tiny, across_samples=faithful)
        h = model(batch).parts["audio"]
        alone = model.rebuilt(h[5:6], "audio")
        assert torch.allclose(model.rebuilt(h, "audio")[5:6], alone, atol=1e-5) is not faithful


def copied_attention(mine: Any, theirs: Any) -> None:
    """The weights of one of our Transformers, in one of MMSA's."""
    theirs.layer_norm.load_state_dict(mine.norm.state_dict())
    for block, layer in zip(mine.blocks, theirs.layers, strict=True):
        joined = [block.query, block.key_value]
        layer.self_attn.in_proj_weight.copy_(torch.cat([part.weight for part in joined]))
        layer.self_attn.in_proj_bias.copy_(torch.cat([part.bias for part in joined]))
        layer.self_attn.out_proj.load_state_dict(block.out.state_dict())
        layer.layer_norms[0].load_state_dict(block.norm.state_dict())
        layer.layer_norms[1].load_state_dict(block.feed_forward[0].state_dict())
        layer.fc1.load_state_dict(block.feed_forward[1].state_dict())
        layer.fc2.load_state_dict(block.feed_forward[4].state_dict())


class Settings(SimpleNamespace):
    """MMSA's arguments, which it also reads as a dictionary."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


def mmsa_settings(model: TFRNet) -> Settings:
    config, widths = model.config, [5, 3, 4]
    dropouts = dict.fromkeys(("attn_dropout", "attn_dropout_a", "attn_dropout_v", "relu_dropout", "embed_dropout"), 0.0)
    kernels = {f"conv1d_kernel_size_{k}": KERNELS[m] for k, m in zip("lav", MODALITIES, strict=True)}
    return Settings(
        **dropouts, **kernels, res_dropout=0.0, text_dropout=0.0, attn_mask=True, seq_lens=[4, 6, 5],
        dst_feature_dim_nheads=[config.width, config.heads], feature_dims=widths, nlevels=3, num_temporal_head=1,
        fusion_t_in=3 * config.width, fusion_a_in=3 * config.width, fusion_v_in=3 * config.width,
        fusion_t_hid=config.text_hidden, fusion_a_hid=config.audio_hidden, fusion_v_hid=config.vision_hidden,
        fusion_gru_layers=config.recurrent_layers, fusion_drop=0.0, cls_hidden_dim=config.hidden, cls_dropout=0.0,
        alignmentModule="crossmodal_attn", generatorModule="linear", fusionModule="c_gate", recloss_type="combine",
        weight_sim_loss=5, device="cpu",
    )  # fmt: skip


def copied_gru(mine: Any, theirs: Any) -> None:
    for layer in range(len(mine.forwards)):
        for part, suffix in ((mine.forwards, ""), (mine.backwards, "_reverse")):
            for name, parameter in part[layer].named_parameters():
                getattr(theirs, name.replace("l0", f"l{layer}") + suffix).copy_(parameter)


@pytest.mark.filterwarnings("ignore:The number of elements in the out tensor")  # of the package's positions
@torch.no_grad()
def test_the_same_weights_predict_the_same_in_mmsa(tiny: Dataset, batch: TrainingBatch) -> None:
    alignment = pytest.importorskip("MMSA.models.missingTask.TFR_NET.alignment")
    fusion = pytest.importorskip("MMSA.models.missingTask.TFR_NET.fusion")
    original = pytest.importorskip("MMSA.models.missingTask.TFR_NET.model")
    with seeded("tfr-net"):
        # MMSA's Transformers within a modality have three layers at least.
        model = build(tiny.spec, **{**SIZES, "layers": 3}, **VARIANTS["faithful"]).eval()
    channels: Any = model.channels["vision"]
    for block in channels.blocks:
        block.sizes = replace(block.sizes, heads=1)  # MMSA has one number of heads for all lengths; 4 and 6 have 1 here
    settings = mmsa_settings(model)
    aligned = alignment.Alignment(settings).Model.eval()
    fused = fusion.Fusion(settings).Model.eval()
    for letter, m in zip("lav", MODALITIES, strict=True):
        getattr(aligned, f"proj_{letter}").load_state_dict(model.convolutions[m].state_dict())
        copied_attention(model.transformers[f"{m}_{m}"], getattr(aligned, f"trans_{letter}_mem"))
        copied_attention(model.channels[m], getattr(aligned, f"trans_{letter}_final"))
        for source, k in zip("lav", MODALITIES, strict=True):
            if k != m:
                copied_attention(model.transformers[f"{m}_{k}"], getattr(aligned, f"trans_{letter}_with_{source}"))
        pool: Any = model.pools[m]
        encoder = getattr(fused, f"{m}_encoder")
        copied_gru(pool.gru, encoder.gru.gru)
        encoder.cnn.load_state_dict(pool.gate.state_dict())
        encoder.fc.load_state_dict(pool.linear.state_dict())
    theirs = [
        fused.classifier.linear_trans_norm,
        fused.classifier.linear_trans_hidden,
        fused.classifier.linear_trans_final,
    ]
    for mine, layer in zip((model.head[0], model.head[1], model.head[3]), theirs, strict=True):
        layer.load_state_dict(mine.state_dict())
    incomplete = damaged(batch)
    x = {m: model.inputs[m](incomplete)[0] for m in MODALITIES}
    *states, text, audio, vision = aligned(x["text"], x["audio"], x["vision"])
    masks = [incomplete.mask(m).long() for m in MODALITIES]
    expected = fused(*zip(states, masks, strict=True))[:, 0]
    output = model(incomplete)
    torch.testing.assert_close(output.prediction, expected, rtol=1e-5, atol=1e-5)
    loss = (expected - incomplete.target).abs().mean()
    for m, h in zip(MODALITIES, (text, audio, vision), strict=True):
        clean, present = model.inputs[m](incomplete.uncorrupted())
        lost = (present & ~model.inputs[m](incomplete)[1]).float()
        loss = loss + CODE_WEIGHTS[m] * original.RECLoss(settings)(model.rebuild[m](h), clean, lost)[0]
    torch.testing.assert_close(model.loss(output, incomplete), loss, rtol=1e-4, atol=1e-5)
