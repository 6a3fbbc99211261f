"""BERT for token ids: blind to padding, finite without tokens, and C-MIB on top of it."""

import sys
from dataclasses import replace
from functools import partial

import pytest
import torch
from qamoe_baselines import cmib
from tinydata import make_dataset

from qamoe_bench.contract import Batch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.language import BertStates

SMALL_BERT = partial(
    BertStates, vocab_size=40, hidden_size=8, num_hidden_layers=2, num_attention_heads=2, intermediate_size=16
)


@pytest.fixture
def tokens() -> Dataset:
    """The tiny data set with token ids 1 to 39 in place of text features, and three samples without text."""
    data = make_dataset()
    splits = {}
    for name, split in data.splits.items():
        ids = torch.randint(1, 40, (len(split), 6, 1)).float()
        lengths = torch.randint(3, 7, (len(split),))
        lengths[:3] = 0
        ids *= torch.arange(6)[None, :, None] < lengths[:, None, None]
        splits[name] = replace(
            split, features={**split.features, "text": ids}, lengths={**split.lengths, "text": lengths}
        )
    return Dataset("tokens", splits, digest="tokens", token_ids={"text": 7})


@pytest.fixture
def batch(tokens: Dataset) -> Batch:
    """Its 20 test samples."""
    return tokens.splits["test"].batch(target=True)


@pytest.fixture
def small_bert(monkeypatch: pytest.MonkeyPatch) -> None:
    """C-MIB with a BERT that fits a test."""
    monkeypatch.setattr(cmib, "BertStates", SMALL_BERT)


def test_states_equal_those_of_each_sample_without_its_padding(batch: Batch) -> None:
    states = SMALL_BERT().eval()
    found = states(batch, "text")
    assert found.shape == (20, 6, 8)
    assert found.isfinite().all()
    for i in range(3, 20):
        n = int(batch.lengths["text"][i])
        ids = batch.features["text"][i : i + 1, :n, 0].long()
        torch.testing.assert_close(found[i, :n], states.bert(input_ids=ids).last_hidden_state[0])


def test_states_do_not_depend_on_what_stands_in_padding(batch: Batch) -> None:
    states = SMALL_BERT().eval()
    poisoned = batch.features["text"].masked_fill(~batch.mask("text")[..., None], 1e6)
    torch.testing.assert_close(states(Batch({"text": poisoned}, batch.lengths), "text"), states(batch, "text"))


def test_a_missing_transformers_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BenchError, match=r"expected the extra \[text\]; pip install 'qamoe-bench\[text\]'"):
        BertStates()


@pytest.mark.usefixtures("small_bert")
@pytest.mark.parametrize("pool", ["mean", "last"])
def test_gradients_reach_bert_through_cmib(pool: str, tokens: Dataset, batch: Batch) -> None:
    model = cmib.build(tokens.spec, width=10, hidden=16, pool=pool)
    model.loss(model(batch), batch).backward()  # type: ignore[no-untyped-call]
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert model.branches["text"].get_parameter("frames.bert.embeddings.word_embeddings.weight").grad is not None


@pytest.mark.usefixtures("small_bert")
def test_a_mean_of_states_leaves_padding_out_and_the_last_state_is_padding(tokens: Dataset, batch: Batch) -> None:
    mean = cmib.Branch("text", tokens.spec, cmib.CMIBConfig(width=10)).eval()
    last = cmib.Branch("text", tokens.spec, cmib.CMIBConfig(width=10, pool="last")).eval()
    cut = Batch({"text": batch.features["text"][3:4, :3]}, {"text": batch.lengths["text"][3:4].clamp(max=3)})
    long = Batch({"text": torch.nn.functional.pad(cut.features["text"], (0, 0, 0, 5))}, cut.lengths)
    torch.testing.assert_close(mean(long), mean(cut))
    states, weight = last.frames(long, "text"), last.convolution.weight
    expected = states[:, -2] @ weight[:, :, 0].T + states[:, -1] @ weight[:, :, 1].T
    torch.testing.assert_close(last(long), expected)
    assert states[:, -1].abs().sum() > 0
    assert (mean(batch)[:3] == 0).all()
