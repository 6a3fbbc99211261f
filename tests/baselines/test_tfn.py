"""TFN: equal to MMSA's outputs and parameters, and to its formula written out."""

from typing import Any

import torch
from mmsamodels import WIDTHS, arguments, copy_weights, needs_mmsa, trained_count
from qamoe_baselines.tfn import build, outer_product
from torch.nn import functional as F

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.cost.counter import count
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.registry import find_model

NAMES = {
    "encoders.text.lstm.rnn.": "text_subnet.rnn.", "encoders.text.linear.": "text_subnet.linear_1.",
    "encoders.audio.": "audio_subnet.",
    "encoders.vision.": "video_subnet.", "post.0.": "post_fusion_layer_1.", "post.2.": "post_fusion_layer_2.",
    "post.4.": "post_fusion_layer_3.",
}  # fmt: skip


@needs_mmsa
def test_the_faithful_variant_equals_mmsas_outputs_and_parameters(tiny: Dataset, batch: TrainingBatch) -> None:
    from MMSA.models.singleTask.TFN import TFN

    ours = build(tiny.spec, **find_model("tfn:faithful").settings).eval()
    # Its product has text last and vision before; ours goes through the modalities in their order.
    theirs = TFN(
        arguments(hidden_dims=[128, 32, 128], text_out=32, post_fusion_dim=64, dropouts=[0.3, 0.3, 0.3, 0.5])
    ).eval()
    copy_weights(ours, theirs, NAMES)
    first = ours.post.get_parameter("0.weight").detach().reshape(64, 33, 33, 129)  # (post, text, audio, vision)
    theirs.post_fusion_layer_1.weight.data = first.permute(0, 2, 3, 1).reshape(64, -1)
    inputs = [batch.features["text"], *(batch.features[m].mean(1, keepdim=True) for m in ("audio", "vision"))]
    with torch.no_grad():
        torch.testing.assert_close(ours(batch).prediction, theirs(*inputs)["M"][:, 0], rtol=1e-5, atol=1e-5)
    assert trained_count(ours) == trained_count(theirs)


def test_the_product_holds_every_combination_of_one_entry_each() -> None:
    t, a, v = torch.rand(2, 3), torch.rand(2, 1), torch.rand(2, 4)
    one = torch.ones(2, 1)
    expected = torch.einsum("bi,bj,bk->bijk", torch.cat([one, t], 1), torch.cat([one, a], 1), torch.cat([one, v], 1))
    torch.testing.assert_close(outer_product([t, a, v]), expected.flatten(1))


def test_forward_equals_the_formulas(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, text=3, audio=2, vision=2, post=4).eval()
    row = batch.rows(slice(2, 3))
    h = {}
    for m in ("audio", "vision"):
        net: Any = model.encoders[m]
        n = int(row.lengths[m])
        x = ((row.features[m] - tiny.spec.feature_mean[m]) / tiny.spec.feature_std[m])[0, :n].mean(0)
        x = x / (1 + 1e-5) ** 0.5  # of a batch normalisation that has seen nothing
        for layer in (net.linear_1, net.linear_2, net.linear_3):
            x = F.relu(layer.weight @ x + layer.bias)
        h[m] = x
    n = int(row.lengths["text"])
    text = ((row.features["text"] - tiny.spec.feature_mean["text"]) / tiny.spec.feature_std["text"])[:, :n]
    subnet: Any = model.encoders["text"]
    h["text"] = subnet.linear(subnet.lstm.rnn[0](text)[0][0, -1])
    vectors = [torch.cat([torch.ones(1), h[m]]) for m in ("text", "audio", "vision")]
    z = torch.einsum("i,j,k->ijk", *vectors).flatten()
    o = model.post[4](F.relu(model.post[2](F.relu(model.post[0](z)))))
    low, high = tiny.spec.label_range
    torch.testing.assert_close(model(row).prediction, low + (high - low) * o.sigmoid())
    assert [tiny.spec.widths[m] for m in ("text", "audio", "vision")] == WIDTHS


def test_predictions_stay_on_the_scale_and_one_sample_can_be_trained_on(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec)
    low, high = tiny.spec.label_range
    prediction = model(batch).prediction
    assert ((prediction > low) & (prediction < high)).all()
    assert model(batch.rows(slice(0, 1))).prediction.isfinite().all()


def test_the_cost_is_that_of_the_lstm_the_layers_and_the_product(tiny: Dataset, batch: TrainingBatch) -> None:
    counts, _ = count(build(tiny.spec), batch)
    lstm = 4 * (4 * 128 * (5 + 128)) + 128 * 32  # four frames through four gates, and a map
    audio = 6 * 3 + (3 + 16 + 16) * 16  # the mean over six frames, and three layers
    vision = 5 * 4 + (4 + 16 + 16) * 16
    product = 33 + 33 * 17 + 33 * 17 * 17
    post = 33 * 17 * 17 * 64 + 64 * 64 + 64
    assert sum(counts.values()) == 20 * (lstm + audio + vision + product + post)
