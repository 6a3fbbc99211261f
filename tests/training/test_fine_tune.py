"""A language model that is trained with the rest: from a file's words to stored cells."""

import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tinydata import mmsa_content
from tinylanguage import VOCABULARY, save_language_model, sentences
from torch import nn

from qamoe_bench.contract import ParameterGroup
from qamoe_bench.data.open import open_dataset
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.language import TokenStates, language_parameters
from qamoe_bench.run.planner import plan
from qamoe_bench.run.presets import PRESETS, Preset
from qamoe_bench.run.request import Request
from qamoe_bench.run.runner import run_plan
from qamoe_bench.store.store import Store
from qamoe_bench.training.config import TrainConfig
from qamoe_bench.training.exposure import CLEAN
from qamoe_bench.training.loop import train
from qamoe_bench.training.optimiser import make_optimiser, make_schedule

TRAINING = TrainConfig(epochs=2, batch_size=20, selection_window=1, language_rate=1e-3, warm_up=0.5)
# One word in eight of these texts is unknown to the model.
CONSENT = ReadingOptions(accept_unknown_tokens=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return save_language_model(tmp_path / "tiny-bert")


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """The tiny data set as a file, with words that tell nothing."""
    content = mmsa_content()
    for split in content.values():
        split["raw_text"] = sentences(len(split["id"]))
    path = tmp_path / "words.pkl"
    path.write_bytes(pickle.dumps(content))
    return path


class Reader(nn.Module):
    """A language model and one layer."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.states, self.head = TokenStates(str(folder)), nn.Linear(8, 1)


def test_a_sweep_of_fine_tuned_models_is_stored_and_shares_its_trainings(
    words: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("qamoe_bench.run.presets.PRESETS", {**PRESETS, "fine-tune": Preset(TRAINING)})
    store = Store(tmp_path / "r")
    request = Request(
        ("random-missing", "quality-degradation"), ("qa-moe", "c-mib", "text-only"), str(words), seeds=(1,),
        preset="fine-tune", fine_tune=str(folder), reading=CONSENT,
    )  # fmt: skip
    summary = run_plan(plan(request), store, jobs=1)
    assert (summary.trained, summary.evaluated) == (3, 6)
    assert {c.cell.dataset for c in store.cells()} == {"words+tiny-bert"}
    facts = {c.cell.model: c.facts for c in store.cells()}
    language = sum(p.numel() for p in TokenStates(str(folder)).parameters())
    assert all(f.parameters > language for f in facts.values())
    assert all(f.training["language_rate"] == 1e-3 for f in facts.values())
    again = run_plan(plan(request), store, jobs=1)
    assert (again.trained, again.evaluated, again.reused) == (0, 0, 6)
    other = plan(replace(request, fine_tune=str(save_language_model(tmp_path / "other-name"))))
    assert {c.data_digest for c in other.cells} == {c.data_digest for c in plan(request).cells}, "the same weights"
    assert {c.dataset for c in other.cells} == {"words+other-name"}


TOKENIZER_EDITS: dict[str, tuple[str, dict[str, object], bool]] = {
    "upper case": ("tokenizer_config.json", {"do_lower_case": False}, True),
    "lost token": ("tokenizer_config.json", {"unk_token": "[MASK]"}, True),
    "lost token in a map": ("special_tokens_map.json", {"unk_token": "[MASK]"}, True),
    "added word": ("added_tokens.json", {"xyzzy": len(VOCABULARY)}, True),
    "no effect": ("tokenizer_config.json", {"truncation_side": "left"}, False),
}


@pytest.mark.parametrize("edit", TOKENIZER_EDITS)
def test_an_edit_of_the_tokenizer_that_changes_token_ids_changes_every_key(
    edit: str, words: Path, folder: Path
) -> None:
    content = pickle.loads(words.read_bytes())
    for split in content.values():
        split["raw_text"] = [f"Good {text}" for text in split["raw_text"]]
    words.write_bytes(pickle.dumps(content))
    request = Request(
        ("random-missing",), ("qa-moe", "text-only"), str(words), seeds=(1,), fine_tune=str(folder), reading=CONSENT
    )
    before = plan(request)
    name, settings, matters = TOKENIZER_EDITS[edit]
    path = folder / name
    held = json.loads(path.read_text("utf-8")) if path.exists() else {}
    path.write_text(json.dumps({**held, **settings}), encoding="utf-8")
    open_dataset.cache_clear()
    after = plan(request)
    keys = {cell.key for cell in before.cells}
    assert {cell.key in keys for cell in after.cells} == {not matters}
    ids = [job.training_ids for job in before.jobs]
    assert ([job.training_ids for job in after.jobs] != ids) == matters


def test_training_starts_from_the_pretrained_weights_at_a_rate_of_their_own(words: Path, folder: Path) -> None:
    from qamoe_bench.registry import find_model
    from qamoe_bench.training.building import build_model

    data = open_dataset(str(words), str(folder), CONSENT)
    moved = {}
    for rate in (1e-12, 1e-2):
        model = build_model(find_model("qa-moe"), {}, data.spec, data.examples, 1)
        own = [p for p in model.parameters() if all(p is not q for q in language_parameters(model))]
        before = [p.detach().clone() for p in own]
        config = replace(TRAINING, language_rate=rate)
        train(model, data, CLEAN, 1, config, torch.device("cpu"))
        pretrained = TokenStates(str(folder)).parameters()
        moved[rate] = max(
            float((p - q).detach().abs().max()) for p, q in zip(language_parameters(model), pretrained, strict=True)
        )
        assert max(float((p - q).detach().abs().max()) for p, q in zip(own, before, strict=True)) > 1e-4
    assert moved[1e-12] < 1e-6
    assert moved[1e-2] > 1e-3


def test_rates_rise_over_the_warm_up_and_fall_along_a_cosine(folder: Path) -> None:
    model, config = Reader(folder), TrainConfig(learning_rate=1.0, language_rate=0.1, warm_up=0.2)
    optimiser = make_optimiser(model, [ParameterGroup(list(model.parameters()))], config)
    schedule, rates = make_schedule(optimiser, config, 10), []
    for _ in range(10):
        rates.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step()
        schedule.step()
    cosine = [(1 + torch.cos(torch.tensor(torch.pi * i / 10)).item()) / 2 for i in range(10)]
    rising = [1 / 3, 2 / 3, *[1.0] * 8]
    assert [rest for rest, _ in rates] == pytest.approx([c * r for c, r in zip(cosine, rising, strict=True)], abs=1e-6)
    assert [language for _, language in rates] == pytest.approx([0.1 * rest for rest, _ in rates])
    assert sum(len(g["params"]) for g in optimiser.param_groups) == len(list(model.parameters()))


def test_mistakes_are_told_before_any_work(words: Path, folder: Path, tmp_path: Path) -> None:
    request = Request(
        ("random-missing",), ("qa-moe",), str(words), seeds=(1,), fine_tune="no-such-model", reading=CONSENT
    )
    with pytest.raises(BenchError, match="encoder 'no-such-model': expected a folder or a model on this"):
        plan(request)
    with pytest.raises(BenchError, match="computes with features, and text of 'words\\+tiny-bert' holds token ids"):
        plan(replace(request, fine_tune=str(folder), protocols=("msa-robustness",)))
    content = mmsa_content()
    mute = tmp_path / "mute.pkl"
    mute.write_bytes(pickle.dumps(content))
    with pytest.raises(BenchError, match="data 'mute': expected raw text"):
        plan(replace(request, fine_tune=str(folder), data=str(mute)))
    with pytest.raises(BenchError, match="setting train.warm_up: expected a share from 0 to below 1, got 1"):
        plan(replace(request, fine_tune=str(folder), models=("qa-moe:train.warm_up=1",)))
