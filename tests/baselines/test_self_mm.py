"""Self-MM: equal to MMSA's outputs and labels, and its labels to two epochs computed by hand."""

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
from qamoe_baselines import masked_frames
from qamoe_baselines.self_mm import JOINT, LabelMemory, build

from qamoe_bench.contract import TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.registry import find_model
from qamoe_bench.training.phases import phases_of

TASKS = {JOINT: "fusion", "text": "text", "audio": "audio", "vision": "video"}
LSTMS = {"audio": "audio_model", "vision": "video_model"}
SIZES = {
    "a_lstm_hidden_size": 16, "v_lstm_hidden_size": 32, "a_lstm_layers": 1, "v_lstm_layers": 1, "text_out": 8,
    "audio_out": 16, "video_out": 32, "a_lstm_dropout": 0.0, "v_lstm_dropout": 0.0, "post_fusion_dim": 128,
    "post_text_dim": 32, "post_audio_dim": 16, "post_video_dim": 32, "post_fusion_dropout": 0.0,
    "post_text_dropout": 0.0, "post_audio_dropout": 0.0, "post_video_dropout": 0.0,
}  # fmt: skip


def names() -> dict[str, str]:
    result = {}
    for m, model in LSTMS.items():
        result[f"encoders.{m}.lstm.rnn."] = f"{model}.rnn."
        result[f"encoders.{m}.linear."] = f"{model}.linear_1."
    for k, task in TASKS.items():
        for layer in (1, 2, 3):
            result[f"heads.{k}.layer_{layer}."] = f"post_{task}_layer_{layer}."
    return result


@needs_mmsa
def test_outputs_and_three_epochs_of_labels_equal_mmsas(
    monkeypatch: pytest.MonkeyPatch, make_batch: Callable[..., Any]
) -> None:
    source = import_module("MMSA.models.multiTask.SELF_MM")  # its package has a class of the same name
    training = import_module("MMSA.trains.multiTask.SELF_MM")
    monkeypatch.setattr(masked_frames, "TokenStates", SmallBert)
    monkeypatch.setattr(source, "BertTextEncoder", SharedBert)
    data = token_dataset()
    batch = make_batch(data)
    ours = build(data.spec, **find_model("self-mm:faithful").settings).eval()
    theirs = source.SELF_MM(arguments(feature_dims=[8, 3, 4], **SIZES)).eval()
    copy_weights(ours, theirs, names())
    bert = ours.encoders["text"]
    theirs.text_model.shared.append(bert.frames.language.model)  # type: ignore[union-attr]
    sides = [(batch.features[m], batch.lengths[m]) for m in ("audio", "vision")]
    expected = theirs(mmsa_text(batch), *sides)
    output = ours(batch)
    torch.testing.assert_close(output.prediction, expected["M"][:, 0], rtol=1e-5, atol=1e-5)
    assert trained_count(ours) - trained_count(bert) == trained_count(theirs)
    settings = {**SIZES, "train_samples": 20, "dataset_name": "mosi", "device": "cpu", "excludeZero": True, "H": 3.0}
    trainer = training.SELF_MM(arguments(**settings))
    trainer.init_labels(batch.index, batch.target)
    kinds = {JOINT: "fusion", "text": "text", "audio": "audio", "vision": "vision"}
    letters = {JOINT: "M", "text": "T", "audio": "A", "vision": "V"}
    for epoch in (1, 2, 3):
        ours.start_epoch(epoch)
        for rows in (slice(0, 12), slice(12, 20)):
            few = batch.rows(rows)
            out = theirs(mmsa_text(few), *[(few.features[m], few.lengths[m]) for m in ("audio", "vision")])
            loss = sum(
                trainer.weighted_loss(out[letters[k]], trainer.label_map[kind][few.index], few.index, kind)
                for k, kind in kinds.items()
            )
            torch.testing.assert_close(ours.loss(ours(few), few), loss, rtol=1e-5, atol=1e-5)
            features = [out[f"Feature_{x}"].detach() for x in "ftav"]
            if epoch > 1:
                trainer.update_labels(*features, epoch, few.index, out)
            trainer.update_features(*features, few.index)
            trainer.update_centers()
    for k, kind in kinds.items():
        torch.testing.assert_close(ours.memory.labels[k], trainer.label_map[kind], rtol=1e-4, atol=1e-4)


def test_labels_of_two_epochs_by_hand() -> None:
    """Two samples with features on a line: positive ones around 1, negative ones around −1."""
    memory = LabelMemory((JOINT, "text"), 3.0)
    index, label = torch.tensor([0, 1]), torch.tensor([2.0, -1.0])
    features = {JOINT: torch.tensor([[1.0], [-1.0]]), "text": torch.tensor([[1.0], [-1.0]])}
    memory.start(index, label)
    memory.generate(index, features, 1)
    memory.remember(index, features)
    assert torch.equal(memory.labels["text"], label), "the first epoch generates nothing"
    # The joint vector of sample 0 is .5 from the positive centre and 1.5 from the other: (1.5 − .5) / .5 = 2.
    # Its text is .25 from the positive centre and 1.75 from the other: (1.75 − .25) / .25 = 6.
    moved = {JOINT: torch.tensor([[0.5]]), "text": torch.tensor([[0.75]])}
    memory.generate(torch.tensor([0]), moved, 2)
    generated = min(3.0, 0.5 * 6 / 2 * 2 + 0.5 * (2 + 6 - 2))  # 6, limited to 3
    assert memory.labels["text"][0].item() == pytest.approx(1 / 3 * 2 + 2 / 3 * generated)
    assert memory.labels["text"][1].item() == -1
    assert torch.equal(memory.labels[JOINT], label)


def test_unimodal_tasks_have_no_weight_until_their_labels_differ(tiny: Dataset, batch: TrainingBatch) -> None:
    model = build(tiny.spec).eval()
    expected = (model(batch).prediction - batch.target).abs().mean()
    torch.testing.assert_close(model.loss(model(batch), batch), expected)
    model.start_epoch(2)
    model.loss(model(batch), batch)
    assert model.loss(model(batch), batch) > expected + 1e-3
    without = build(tiny.spec, generation=False).eval()
    output = without(batch)
    middle = sum(tiny.spec.label_range) / 2
    errors = [(output.parts[f"prediction_{k}"] + middle - batch.target).abs().mean() for k in without.heads]
    torch.testing.assert_close(without.loss(output, batch), torch.stack(errors).sum())


def test_the_encoders_of_audio_and_vision_learn_at_five_times_the_rate(tiny: Dataset) -> None:
    model = build(tiny.spec)
    (phase,) = phases_of(model)
    slow, fast = phase.groups
    assert (slow.rate, fast.rate) == (1, 5)
    assert {id(p) for p in fast.parameters} == {id(p) for m in LSTMS for p in model.encoders[m].parameters()}
    assert len(phase.parameters) == len(list(model.parameters()))


def test_the_memory_grows_with_the_samples_it_is_shown() -> None:
    memory = LabelMemory((JOINT, "text"), 3.0)
    seen: dict[int, float] = {}
    for rows in ([4, 1], [7], [1, 0]):
        for row in rows:
            seen.setdefault(row, float(row))
        memory.start(torch.tensor(rows), torch.tensor([float(row) for row in rows]))
    assert {row: memory.labels["text"][row].item() for row in seen} == seen
