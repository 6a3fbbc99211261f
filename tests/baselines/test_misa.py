"""MISA: equal to MMSA's outputs, and its three losses to their formulas written out."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from itertools import product
from typing import Any

import pytest
import torch
from mmsamodels import (
    SharedBert,
    SmallBert,
    arguments,
    copy_weights,
    mmsa_text,
    needs_mmsa,
    token_dataset,
    trained_count,
)
from qamoe_baselines import masked_frames
from qamoe_baselines.misa import build, moment_discrepancy, orthogonality_loss
from torch import Tensor, nn

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.registry import find_model

NAMES = {"shared.": "shared.shared_1.", "transformer.": "transformer_encoder.layers.0."} | {
    ours.format(m=m, x=x): theirs.format(x=x)
    for m, x in (("text", "t"), ("audio", "a"), ("vision", "v"))
    for ours, theirs in (
        ("encoders.{m}.states.rnn_1.rnn.", "{x}rnn1."),
        ("encoders.{m}.states.rnn_2.rnn.", "{x}rnn2."),
        ("encoders.{m}.states.norm.", "{x}layer_norm."),
        ("project.{m}.0.", "project_{x}.project_{x}."),
        ("project.{m}.2.", "project_{x}.project_{x}_layer_norm."),
        ("private.{m}.", "private_{x}.private_{x}_" + ("3." if x == "a" else "1.")),
        ("reconstruct.{m}.", "recon_{x}.recon_{x}_1."),
    )
} | {"head.0.": "fusion.fusion_layer_1.", "head.3.": "fusion.fusion_layer_3."}  # fmt: skip


@needs_mmsa
@pytest.mark.filterwarnings("ignore:enable_nested_tensor:UserWarning")
def test_outputs_and_losses_equal_mmsas(monkeypatch: pytest.MonkeyPatch, make_batch: Callable[..., Any]) -> None:
    source = import_module("MMSA.models.singleTask.MISA")  # its package has a class of the same name
    training = import_module("MMSA.trains.singleTask.MISA")
    monkeypatch.setattr(masked_frames, "TokenStates", SmallBert)
    monkeypatch.setattr(source, "BertTextEncoder", SharedBert)
    data = token_dataset()
    batch = make_batch(data)
    # MMSA takes the lengths of the text for all modalities.
    batch = replace(batch, lengths=dict.fromkeys(batch.lengths, batch.lengths["text"]))
    ours = build(data.spec, width=16, **find_model("misa:faithful").settings).eval()
    settings = {"num_classes": 1, "dropout": 0.2, "rnncell": "lstm", "use_cmd_sim": True, "hidden_size": 16}
    theirs = source.MISA(arguments(feature_dims=[8, 3, 4], **settings)).eval()
    theirs.project_t.project_t = nn.Linear(8, 16)  # of 768 there
    copy_weights(ours, theirs, NAMES)
    theirs.bertmodel.shared.append(ours.encoders["text"].frames.language.model)  # type: ignore[union-attr]
    features = {m: x * batch.mask(m)[..., None] for m, x in batch.features.items()}
    expected = theirs(mmsa_text(batch), features["audio"][:, :5], features["vision"])["M"][:, 0]
    output = ours(batch)
    torch.testing.assert_close(output.prediction, expected, rtol=1e-5, atol=1e-5)
    trainer = training.MISA(arguments(use_cmd_sim=True, dataset_name="mosi"))
    trainer.model = type("AMIO", (), {"Model": theirs})
    objective = (expected - batch.target).square().mean() + trainer.get_recon_loss()
    objective = objective + 0.1 * trainer.get_diff_loss() + 0.3 * trainer.get_cmd_loss()
    torch.testing.assert_close(ours.loss(output, batch), objective, rtol=1e-5, atol=1e-5)
    unused = 4 * 16 + 4 + sum(p.numel() for p in theirs.tlayer_norm.parameters())
    bert = trained_count(ours.encoders["text"])
    assert trained_count(ours) - bert == trained_count(theirs) - unused


def test_the_difference_is_the_squared_product_of_unit_rows() -> None:
    x, y = torch.randn(5, 3), torch.randn(5, 3)

    def unit(z: Tensor) -> Tensor:
        centred = z - z.mean(0)
        return torch.stack([row / row.norm() for row in centred])

    total = sum(float((unit(x)[:, i] * unit(y)[:, j]).sum()) ** 2 for i, j in product(range(3), range(3)))
    assert orthogonality_loss(x, y).item() == pytest.approx(total / 9, rel=1e-4)


def test_the_discrepancy_sums_distances_of_five_moments() -> None:
    x, y = torch.rand(6, 4, dtype=torch.float64), torch.rand(6, 4, dtype=torch.float64)
    total = (x.mean(0) - y.mean(0)).norm()
    for k in (2, 3, 4, 5):
        moments = [torch.stack([(row - z.mean(0)) ** k for row in z]).mean(0) for z in (x, y)]
        total = total + (moments[0] - moments[1]).norm()
    torch.testing.assert_close(moment_discrepancy(x, y, 5), total)


def test_one_sample_and_equal_modalities_have_finite_gradients(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec, width=8)
    one = batch.rows(slice(0, 1))
    model.loss(model(one), one).backward()  # type: ignore[no-untyped-call]
    x = torch.rand(3, 4, requires_grad=True)
    moment_discrepancy(x, x.detach(), 5).backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())


def test_an_encoding_is_the_end_of_both_lstms_in_both_directions(tiny: Dataset, batch: TrainingBatch) -> None:
    encoder = build(tiny.spec).encoders["vision"]
    n = int(batch.lengths["vision"][1])
    x = (batch.features["vision"][1:2, :n] - tiny.spec.feature_mean["vision"]) / tiny.spec.feature_std["vision"]
    states: Any = encoder.states
    ends = []
    for layer in (states.rnn_1.rnn, states.rnn_2.rnn):  # one LSTM per direction, the second one from the end
        both = nn.LSTM(x.shape[2], states.hidden, batch_first=True, bidirectional=True)
        weights = dict(layer[0].named_parameters())
        both.load_state_dict({**weights, **{f"{name}_reverse": p for name, p in layer[1].named_parameters()}})
        h, (end, _) = both(x)
        ends.append(end[:, 0])
        x = states.norm(h)
    expected = torch.cat([ends[0][0], ends[1][0], ends[0][1], ends[1][1]])
    torch.testing.assert_close(encoder(batch)[1], expected)
