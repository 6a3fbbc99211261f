"""MulT: equal to MMSA's outputs and parameters, and blind to padding unless it is faithful."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from mmsamodels import arguments, needs_mmsa, trained_count
from qamoe_baselines.mult import MulT, build
from torch import Tensor

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.registry import find_model

LETTERS = {"text": "l", "audio": "a", "vision": "v"}
SMALL = {"width": 8, "heads": 2, "layers": 3, "memory_layers": 3}


def copy_transformer(ours: Any, theirs: Any) -> None:
    """MMSA has query, key and value in one matrix, ours in two."""
    for source, target in zip(ours.layers, theirs.layers, strict=True):
        attention = target.self_attn
        merged = [source.attention.query, source.attention.key_value]
        attention.in_proj_weight.data = torch.cat([m.weight.detach() for m in merged])
        attention.in_proj_bias.data = torch.cat([m.bias.detach() for m in merged])
        pairs = [(source.attention.out, attention.out_proj), (source.attention_norm, target.layer_norms[0])]
        pairs += [(source.feed_forward[0], target.layer_norms[1]), (source.feed_forward[1], target.fc1)]
        for one, other in [*pairs, (source.feed_forward[4], target.fc2)]:
            other.load_state_dict(one.state_dict())
    theirs.layer_norm.load_state_dict(ours.norm.state_dict())


def copy_all(ours: MulT, theirs: Any) -> None:
    for m, letter in LETTERS.items():
        encoder: Any = ours.encoders[m]
        getattr(theirs, f"proj_{letter}").load_state_dict(encoder.convolution.state_dict())
        copy_transformer(ours.memory[m], getattr(theirs, f"trans_{letter}_mem"))
        for n, other in LETTERS.items():
            if n != m:
                copy_transformer(ours.cross[f"{n}_to_{m}"], getattr(theirs, f"trans_{letter}_with_{other}"))
    for name, target in (("project_1", "proj1"), ("project_2", "proj2"), ("out", "out_layer")):
        getattr(theirs, target).load_state_dict(getattr(ours, name).state_dict())


@needs_mmsa
@pytest.mark.filterwarnings("ignore:The number of elements in the out tensor:UserWarning")
@pytest.mark.parametrize("positions", [False, True])
def test_the_faithful_variant_equals_mmsas_outputs_and_parameters(
    positions: bool, tiny: Dataset, batch: TrainingBatch
) -> None:
    from MMSA.models.singleTask.MULT import MULT
    from MMSA.models.subNets.transformers_encoder.position_embedding import SinusoidalPositionalEmbedding

    settings = {**find_model("mult:faithful").settings, **SMALL, "positions": positions}
    ours = build(tiny.spec, **settings).eval()
    rates = ["attn_dropout_a", "attn_dropout_v", "relu_dropout", "embed_dropout", "res_dropout", "output_dropout"]
    rates += ["text_dropout", "attn_dropout"]
    kernels = {f"conv1d_kernel_size_{letter}": 1 for letter in LETTERS.values()}
    sizes = {"dst_feature_dim_nheads": (8, 2), "nlevels": 3, "attn_mask": True, "use_bert": False}
    theirs = MULT(arguments(**sizes, **kernels, **dict.fromkeys(rates, 0.0))).eval()
    copy_all(ours, theirs)
    if positions:
        for module in theirs.modules():
            if hasattr(module, "embed_positions"):
                module.embed_positions = SinusoidalPositionalEmbedding(module.embed_dim)
    # Without exact zeros, which its positions take for padding.
    features = {m: torch.randn_like(x) for m, x in batch.features.items()}
    full = {m: torch.full_like(n, features[m].shape[1]) for m, n in batch.lengths.items()}
    with torch.no_grad():
        expected = theirs(*features.values())["M"][:, 0]
        actual = ours(replace(batch, features=features, lengths=full)).prediction
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)
    assert trained_count(ours) == trained_count(theirs)


def by_hand(model: MulT, m: str, x: dict[str, Tensor]) -> Tensor:
    """h_m of one sample without padding."""
    streams = [attend(model.cross[f"{n}_to_{m}"], x[m], x[n]) for n in x if n != m]
    both = torch.cat(streams, dim=1)
    return attend(model.memory[m], both, both)[-1]


def attend(transformer: Any, x: Tensor, source: Tensor) -> Tensor:
    """The stream z of one sample with one head; its own frames change from layer to layer, those of a source do not."""
    own = source is x
    z, s = (with_positions(y) for y in (x, source))
    for layer in transformer.layers:
        q = layer.attention_norm(z)
        k, v = layer.attention.key_value(layer.attention_norm(z if own else s)).chunk(2, -1)
        scores = layer.attention.query(q) @ k.T / z.shape[1] ** 0.5
        z = z + layer.attention.out(scores.softmax(1) @ v)
        z = z + layer.feed_forward(z)
    normal: Tensor = transformer.norm(z)
    return normal


def with_positions(x: Tensor) -> Tensor:
    frames, width = x.shape
    half = width // 2
    rate: Tensor = 10_000 ** (-torch.arange(half) / (half - 1))
    angle = torch.arange(1, frames + 1)[:, None] * rate
    waves: Tensor = torch.cat([angle.sin(), angle.cos()], 1)
    placed: Tensor = width**0.5 * x + waves
    return placed


def test_forward_equals_the_formulas_for_each_sample_without_its_padding(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, width=8, heads=1, layers=2).eval()
    with torch.no_grad():
        predictions = model(batch).prediction
        for row in range(3):
            x = {}
            for m in tiny.spec.modalities:
                valid = batch.features[m][row, : batch.lengths[m][row]]
                standard = (valid - tiny.spec.feature_mean[m]) / tiny.spec.feature_std[m]
                x[m] = standard @ model.encoders[m].get_parameter("convolution.weight")[..., 0].T
            h = torch.cat([by_hand(model, m, x) for m in x])
            expected = model.out(h + model.project_2(model.project_1(h).relu()))
            torch.testing.assert_close(predictions[row], expected[0], rtol=1e-5, atol=1e-5)


def test_a_convolution_of_an_even_number_of_frames_is_refused(tiny: Dataset) -> None:
    with pytest.raises(BenchError, match="setting kernel: expected an odd number of frames, got 4; add 1"):
        build(tiny.spec, kernel=4)
    assert build(tiny.spec, kernel=5)(tiny.splits["test"].batch()).prediction.isfinite().all()
