"""MMIM: equal to MMSA's outputs and bounds, and its bounds to their formulas written out."""

import math
from collections.abc import Callable
from importlib import import_module
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
from qamoe_baselines import masked_frames, mmim
from qamoe_baselines.mmim import EntropyMemory, LowerBound, build, contrast

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.registry import find_model
from qamoe_bench.training.phases import phases_of

NAMES = {
    "encoders.audio.lstm.rnn.": "acoustic_enc.rnn.", "encoders.audio.linear.": "acoustic_enc.linear_1.",
    "encoders.vision.lstm.rnn.": "visual_enc.rnn.", "encoders.vision.linear.": "visual_enc.linear_1.",
    "bounds.audio.mean.": "mi_ta.mlp_mu.", "bounds.audio.log_variance.": "mi_ta.mlp_logvar.",
    "bounds.audio.project.": "mi_ta.entropy_prj.0.", "bounds.vision.mean.": "mi_tv.mlp_mu.",
    "bounds.vision.log_variance.": "mi_tv.mlp_logvar.", "bounds.vision.project.": "mi_tv.entropy_prj.0.",
    "contrast.text.": "cpc_zt.net.", "contrast.audio.": "cpc_za.net.", "contrast.vision.": "cpc_zv.net.",
    "fusion_1.": "fusion_prj.linear_1.", "fusion_2.": "fusion_prj.linear_2.", "predict.": "fusion_prj.linear_3.",
}  # fmt: skip
SIZES = {
    "add_va": False, "dropout_a": 0.1, "dropout_v": 0.1, "dropout_prj": 0.1, "n_layer": 1, "cpc_layers": 1, "d_vh": 16,
    "d_ah": 16, "d_vout": 16, "d_aout": 16, "bidirectional": True, "d_prjh": 128, "mmilb_mid_activation": "ReLU",
    "mmilb_last_activation": "Tanh", "cpc_activation": "Tanh",
}  # fmt: skip


@needs_mmsa
def test_outputs_bounds_and_entropy_equal_mmsas(
    monkeypatch: pytest.MonkeyPatch, make_batch: Callable[..., Any]
) -> None:
    source = import_module("MMSA.models.singleTask.MMIM")  # its package has a class of the same name
    monkeypatch.setattr(masked_frames, "TokenStates", SmallBert)
    monkeypatch.setattr(source, "BertTextEncoder", SharedBert)
    data = token_dataset()
    batch = make_batch(data)
    ours = build(data.spec, **find_model("mmim:faithful").settings).eval()
    theirs = source.MMIM(arguments(feature_dims=[8, 3, 4], **SIZES)).eval()
    copy_weights(ours, theirs, NAMES)
    bert = ours.encoders["text"]
    theirs.bertmodel.shared.append(bert.frames.language.model)  # type: ignore[union-attr]
    sides = [(batch.features[m], batch.lengths[m]) for m in ("audio", "vision")]
    memories: dict[str, Any] = {"tv": None, "ta": None}
    labels = batch.target[:, None]
    first = theirs(mmsa_text(batch), *sides, y=labels, mem=memories)
    output = ours(batch)
    torch.testing.assert_close(output.prediction, first["M"][:, 0], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(ours.bound(output), first["lld"], rtol=1e-5, atol=1e-5)
    error = (output.prediction - batch.target).abs().mean()
    objective = error + 0.1 * first["nce"] - 0.1 * first["lld"]
    torch.testing.assert_close(ours.loss(output, batch), objective, rtol=1e-5, atol=1e-5)
    memories = {pair: {sign: [rows.detach()] for sign, rows in first["pn_dic"][pair].items()} for pair in ("tv", "ta")}
    second = theirs(mmsa_text(batch), *sides, y=labels, mem=memories)
    entropy = (objective - ours.loss(ours(batch), batch)) / 0.1
    monkeypatch.setattr(mmim, "JITTER", 0.0)
    ours.start_epoch(1)
    ours.loss(ours(batch), batch)
    exact = (objective - ours.loss(ours(batch), batch)) / 0.1
    torch.testing.assert_close(exact, second["H"], rtol=1e-3, atol=1e-3)
    assert entropy > exact, "the jitter makes every determinant larger"
    untrained = sum(p.numel() for p in ours.bounds.parameters() if not p.requires_grad)
    assert trained_count(ours) - trained_count(bert) + untrained == trained_count(theirs)


def test_the_bound_is_a_gaussian_log_likelihood_without_its_constant() -> None:
    bound, x, y = LowerBound(3, 2), torch.randn(4, 3), torch.randn(4, 2)
    density = torch.distributions.Normal(bound.mean(x), (bound.log_variance(x) / 2).exp())
    expected = (density.log_prob(y) + 0.5 * math.log(2 * math.pi)).sum(1).mean()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(bound(x, y, normalised=True), expected)
    without = expected + (bound.log_variance(x) / 2).sum(1).mean()
    torch.testing.assert_close(bound(x, y, normalised=False), without)


def test_the_contrast_is_the_cross_entropy_of_finding_the_own_sample() -> None:
    x, predicted = torch.randn(5, 3), torch.randn(5, 3)
    cosine = torch.nn.functional.cosine_similarity(x[:, None], predicted[None], dim=2)
    expected = -cosine.log_softmax(1).diagonal().mean()
    torch.testing.assert_close(contrast(x, predicted), expected)


def test_the_entropy_is_that_of_both_signs_with_the_remembered_batch() -> None:
    memory = EntropyMemory(1)
    old, new = torch.randn(6, 2), torch.randn(6, 2)
    label = torch.tensor([1.0, 2, 3, -1, -2, -3])
    assert memory.entropy(old, label) is None
    expected = torch.zeros(())
    for rows in (slice(0, 3), slice(3, 6)):
        together = torch.cat([old[rows], new[rows]])
        expected = expected + 0.25 * torch.logdet(torch.cov(together.T, correction=0) + 1e-4 * torch.eye(2))
    actual = memory.entropy(new, label)
    assert actual is not None
    torch.testing.assert_close(actual, expected)
    memory.forget()
    assert memory.entropy(new, label) is None
    only_positive = memory.entropy(new, label.abs())
    assert only_positive is not None
    assert only_positive.isfinite()


def test_the_first_pass_trains_the_bounds_alone_and_the_second_everything_else(
    tiny: Dataset, batch: TrainingBatch
) -> None:
    model = build(tiny.spec)
    bounds, task = phases_of(model)
    inside = {id(p) for p in model.bounds.parameters() if p.requires_grad}
    assert {id(p) for p in bounds.parameters} == inside
    assert {id(p) for p in task.parameters}.isdisjoint(inside)
    assert len(bounds.parameters) + len(task.parameters) == sum(p.requires_grad for p in model.parameters())
    torch.testing.assert_close(bounds.objective(batch), -model.bound(model(batch)), rtol=1, atol=1)
    assert [phase.name for phase in phases_of(build(tiny.spec, bound_weight=0.0))] == ["task"]


def test_a_wider_variance_no_longer_raises_the_bound() -> None:
    """Without its own term the code's bound is highest where it claims nothing."""
    bound, x, y = LowerBound(3, 2), torch.randn(4, 3), torch.randn(4, 2)
    values = {}
    for shift in (0.0, 20.0):
        torch.nn.init.constant_(bound.log_variance.get_parameter("2.bias"), shift)
        values[shift] = [float(bound(x, y, normalised=normalised).detach()) for normalised in (True, False)]
    assert values[20.0][0] < values[0.0][0]
    assert values[20.0][1] > values[0.0][1]
