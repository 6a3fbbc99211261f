"""LMF: equal to MMSA's outputs and parameters, and to a linear map of TFN's product."""

import torch
from mmsamodels import arguments, copy_weights, needs_mmsa, trained_count
from qamoe_baselines.lmf import build
from qamoe_baselines.tfn import outer_product

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.registry import find_model

NAMES = {
    "encoders.text.lstm.rnn.": "text_subnet.rnn.", "encoders.text.linear.": "text_subnet.linear_1.",
    "encoders.audio.": "audio_subnet.",
    "encoders.vision.": "video_subnet.", "factors.text": "text_factor", "factors.audio": "audio_factor",
    "factors.vision": "video_factor", "weights": "fusion_weights", "bias": "fusion_bias",
}  # fmt: skip


@needs_mmsa
def test_the_faithful_variant_equals_mmsas_outputs_and_parameters(tiny: Dataset, batch: TrainingBatch) -> None:
    from MMSA.models.singleTask.LMF import LMF

    ours = build(tiny.spec, **find_model("lmf:faithful").settings).eval()
    theirs = LMF(arguments(hidden_dims=[128, 16, 128], rank=3, dropouts=[0.3] * 4)).eval()
    copy_weights(ours, theirs, NAMES)
    inputs = [batch.features["text"], *(batch.features[m].mean(1, keepdim=True) for m in ("audio", "vision"))]
    with torch.no_grad():
        torch.testing.assert_close(ours(batch).prediction, theirs(*inputs)["M"][:, 0], rtol=1e-5, atol=1e-5)
    assert trained_count(ours) == trained_count(theirs)


def test_it_is_a_linear_map_of_the_outer_product_with_a_weight_of_low_rank(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, text=4, audio=3, vision=2, rank=2).eval()
    with torch.no_grad():
        h = model.encode(batch)
        factors = [model.factors[m][..., 0] for m in tiny.spec.modalities]  # (R, W + 1) each
        weight = torch.einsum("r,ri,rj,rk->ijk", model.weights[0], *factors)
        expected = outer_product([h[m] for m in tiny.spec.modalities]) @ weight.flatten() + model.bias[0]
        torch.testing.assert_close(model(batch).prediction, expected)
