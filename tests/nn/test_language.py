"""BERT for token ids: blind to padding, finite without tokens, and the models on top of it."""

import sys
from dataclasses import replace

import pytest
import torch
from qamoe_baselines import cmib, masked_frames
from tinydata import make_dataset, training_batch

from qamoe_bench.contract import Batch, TrainingBatch
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.models.qa_moe_plus import SignalScore
from qamoe_bench.nn import encoder
from qamoe_bench.nn.encoder import UtteranceEncoder
from qamoe_bench.nn.frames import observed_frames
from qamoe_bench.nn.language import TokenStates
from qamoe_bench.registry import expand_groups, find_model
from qamoe_bench.training.phases import phases_of

SIZES = {
    "vocab_size": 40, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16,
}  # fmt: skip


class SmallBert(TokenStates):
    def __init__(self, pretrained: str | None = None) -> None:
        super().__init__(pretrained, **SIZES)


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
def batch(tokens: Dataset) -> TrainingBatch:
    """Its 20 test samples."""
    return training_batch(tokens.splits["test"])


@pytest.fixture
def small_bert(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models with a BERT that fits a test."""
    monkeypatch.setattr(cmib, "TokenStates", SmallBert)
    monkeypatch.setattr(encoder, "TokenStates", SmallBert)
    monkeypatch.setattr(masked_frames, "TokenStates", SmallBert)


def test_states_equal_those_of_each_sample_without_its_padding(batch: TrainingBatch) -> None:
    states = SmallBert().eval()
    actual = states(batch, "text")
    assert actual.shape == (20, 6, 8)
    assert actual.isfinite().all()
    for i in range(3, 20):
        n = int(batch.lengths["text"][i])
        ids = batch.features["text"][i : i + 1, :n, 0].long()
        torch.testing.assert_close(actual[i, :n], states.model(input_ids=ids).last_hidden_state[0])


def test_states_do_not_depend_on_what_stands_in_padding(batch: TrainingBatch) -> None:
    states = SmallBert().eval()
    poisoned = batch.features["text"].masked_fill(~batch.mask("text")[..., None], 1e6)
    torch.testing.assert_close(states(Batch({"text": poisoned}, batch.lengths), "text"), states(batch, "text"))


def test_a_missing_transformers_is_reported_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(BenchError, match=r"expected the extra \[text\]; pip install 'qamoe-bench\[text\]'"):
        TokenStates()


@pytest.mark.usefixtures("small_bert")
@pytest.mark.parametrize("pool", ["mean", "last"])
def test_gradients_reach_bert_through_cmib(pool: str, tokens: Dataset, batch: TrainingBatch) -> None:
    model = cmib.build(tokens.spec, width=10, hidden=16, pool=pool)
    model.loss(model(batch), batch).backward()  # type: ignore[no-untyped-call]
    assert not [n for n, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert model.branches["text"].get_parameter("frames.model.embeddings.word_embeddings.weight").grad is not None


@pytest.mark.usefixtures("small_bert")
def test_a_mean_of_states_leaves_padding_out_and_the_last_state_is_padding(
    tokens: Dataset, batch: TrainingBatch
) -> None:
    mean = cmib.Branch("text", tokens.spec, cmib.CMIBConfig(width=10)).eval()
    last = cmib.Branch("text", tokens.spec, cmib.CMIBConfig(width=10, pool="last")).eval()
    cut = Batch({"text": batch.features["text"][3:4, :3]}, {"text": batch.lengths["text"][3:4].clamp(max=3)})
    long = Batch({"text": torch.nn.functional.pad(cut.features["text"], (0, 0, 0, 5))}, cut.lengths)
    torch.testing.assert_close(mean(long), mean(cut))
    assert isinstance(last.frames, TokenStates)
    states, weight = last.frames.states_of_padding(long, "text"), last.convolution.weight
    expected = states[:, -2] @ weight[:, :, 0].T + states[:, -1] @ weight[:, :, 1].T
    torch.testing.assert_close(last(long), expected)
    assert states[:, -1].abs().sum() > 0
    assert (mean(batch)[:3] == 0).all()


TAKE_TOKENS = (
    "qa-moe",
    "qa-moe:label-nll",
    "qa-moe-plus",
    "qa-moe-precise",
    "late-fusion",
    "mm-boosting",
    "text-only",
    "c-mib",
    *expand_groups(["@clean", "@robust"]),
)


@pytest.mark.usefixtures("small_bert")
@pytest.mark.parametrize("name", TAKE_TOKENS)
def test_models_take_token_ids_and_train_bert(name: str, tokens: Dataset, batch: TrainingBatch) -> None:
    ref = find_model(name)
    model = ref.builder()(tokens.spec, **ref.settings)
    known = replace(batch, clean=batch.features, signal={m: torch.ones(20) for m in batch.modalities})
    assert all(x.isfinite().all() for x in model(known).columns().values())
    for phase in phases_of(model):
        torch.autograd.backward(phase.objective(known))
    words = [p for n, p in model.named_parameters() if n.endswith("word_embeddings.weight")]
    assert len(words) == 1
    assert words[0].grad is not None
    assert words[0].grad.abs().sum() > 0


@pytest.mark.usefixtures("small_bert")
@pytest.mark.parametrize("name", TAKE_TOKENS)
def test_models_do_not_see_what_stands_behind_the_tokens(name: str, tokens: Dataset, batch: TrainingBatch) -> None:
    ref = find_model(name)
    model = ref.builder()(tokens.spec, **ref.settings).eval()
    poisoned = batch.features["text"].masked_fill(~batch.mask("text")[..., None], 3.0)
    other = replace(batch, features={**batch.features, "text": poisoned})
    torch.testing.assert_close(model(other).prediction, model(batch).prediction)


@pytest.mark.usefixtures("small_bert")
def test_an_encoder_maps_the_states_as_they_are(tokens: Dataset, batch: TrainingBatch) -> None:
    made = UtteranceEncoder("text", tokens.spec, 10, dropout=0.0, summary="mean").eval()
    assert made.language is not None
    states, count = made.language(batch, "text"), int(batch.lengths["text"][4])
    pooled = (states[4, :count] @ made.frame.weight.T + made.frame.bias).mean(0)
    torch.testing.assert_close(made(batch)[4], made.perceptron(pooled))
    torch.testing.assert_close(made(batch)[0], made.perceptron(torch.zeros(10)))  # without a token


def test_a_score_of_token_ids_counts_those_that_are_left(tokens: Dataset, batch: TrainingBatch) -> None:
    score = SignalScore("text", tokens.spec, width=8)
    text = batch.features["text"]
    words = torch.where(batch.mask("text")[..., None], torch.full_like(text, 9.0), text)
    lost, third = words.clone(), words.clone()
    lost[5, :2], third[5, :2] = 7.0, 11.0  # 7 stands for a lost token, 11 is another word
    observed = observed_frames(batch, "text")[:, None]
    batches = [replace(batch, features={"text": x}) for x in (words, lost, third)]
    whole, fewer, other = (score(score.map_frames(b), observed, b.lengths["text"]) for b in batches)
    torch.testing.assert_close(other, whole)
    assert (fewer != whole).nonzero()[:, 0].tolist() == [5]


@pytest.mark.usefixtures("small_bert")
def test_predicting_the_clean_features_of_token_ids_is_refused(tokens: Dataset) -> None:
    with pytest.raises(BenchError, match="expected features, got token ids of text"):
        find_model("qa-moe").builder()(tokens.spec, quality="feature-nll")
