"""Words become token ids or states of a language model; where there are none, or no model, one line says so."""

import pickle
import socket
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tinydata import make_dataset, mmsa_content
from tinylanguage import UNKNOWN, save_language_model, sentences

from qamoe_bench.curation import encode
from qamoe_bench.curation.encode import chunks_in, encode_text
from qamoe_bench.data.dataset import SPLITS, Dataset
from qamoe_bench.data.open import open_dataset
from qamoe_bench.data.text.language_model import LanguageModel, find_language_model
from qamoe_bench.data.text.tokens import with_token_ids
from qamoe_bench.errors import BenchError
from qamoe_bench.nn.language import TokenStates

REAL = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="module")
def language(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return find_language_model(str(save_language_model(tmp_path_factory.mktemp("language") / "tiny-bert")))


@pytest.fixture
def spoken() -> Dataset:
    """The tiny data set, with words."""
    data = make_dataset()
    return replace(data, splits={n: replace(s, raw_text=tuple(sentences(len(s)))) for n, s in data.splits.items()})


def test_words_become_ids_between_their_ends(spoken: Dataset, language: LanguageModel) -> None:
    tokenised = with_token_ids(spoken, language, longest=6)
    split = tokenised.splits["test"]
    assert split.features["text"].shape == (20, 6, 1)
    assert split.features["text"][1, :, 0].tolist() == [2, 6, 7, 3, 0, 0]  # [CLS] bad film [SEP]
    assert split.features["text"][6, :, 0].tolist() == [2, 11, UNKNOWN, 5, 6, 3]  # the end of seven words is lost
    assert split.lengths["text"].tolist() == [min(3 + i % 7, 6) for i in range(20)]
    assert (split.features["text"][..., 0] != 0).sum(1).tolist() == split.lengths["text"].tolist()
    assert (tokenised.token_ids, tokenised.pretrained) == ({"text": UNKNOWN}, {"text": str(language.folder)})
    assert tokenised.name == "tiny+tiny-bert"
    assert tokenised.notes[-1].endswith("28 samples were truncated.")  # 16, 4 and 8
    assert {spoken.digest, tokenised.digest} != {with_token_ids(spoken, language).digest}
    assert tokenised.splits["test"].features["audio"] is spoken.splits["test"].features["audio"]


def test_ids_of_the_data_serve_where_words_are_absent_and_the_vocabulary_can_be_theirs(
    spoken: Dataset, language: LanguageModel
) -> None:
    made = with_token_ids(spoken, language, longest=9)
    mute = {}
    for name, split in made.splits.items():
        ids = split.features["text"][..., 0].int()
        mask = (ids > 0).int()
        tokens = torch.stack([ids, mask, 0 * mask], dim=1)
        mute[name] = replace(spoken.splits[name], raw_text=(), tokens=tokens)
    again = with_token_ids(replace(spoken, splits=mute), language, longest=9)
    for name in SPLITS:
        assert again.splits[name].features["text"].equal(made.splits[name].features["text"])
    other = {n: replace(s, tokens=None if s.tokens is None else s.tokens + s.tokens[:, 1:2]) for n, s in mute.items()}
    with pytest.raises(BenchError, match="expected token ids of this encoder's vocabulary, from 2 to 3, got others"):
        with_token_ids(replace(spoken, splits=other), language)
    with pytest.raises(BenchError, match="expected raw text, .* or token ids, .* got neither"):
        with_token_ids(make_dataset(), language)


def test_states_are_those_of_each_text_alone_and_kept_in_a_cache(
    spoken: Dataset, language: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks: list[int] = []
    encoded = encode_text(spoken, language, tmp_path, frames=5, tick=ticks.append)
    assert sum(ticks) == chunks_in(spoken) == 3
    split = encoded.splits["test"]
    model = TokenStates(str(language.folder)).eval()
    assert split.features["text"].shape == (20, 5, 8)
    assert split.features["text"].dtype == torch.float16
    tokenizer = language.tokenizer()
    for i, words in enumerate(spoken.splits["test"].raw_text):
        ids = torch.tensor([tokenizer(words)["input_ids"]])
        expected = model.model(input_ids=ids).last_hidden_state[0, :5]  # of the whole text, of which five are kept
        torch.testing.assert_close(split.features["text"][i, : len(expected)].float(), expected, atol=2e-3, rtol=0)
        assert not split.features["text"][i, len(expected) :].any()
        assert int(split.lengths["text"][i]) == len(expected)
    other = encode_text(spoken, language, tmp_path, frames=5, tokens=6)
    monkeypatch.setattr(encode._Encoder, "_batches", None)  # encoding again would fail
    again = encode_text(spoken, language, tmp_path, frames=5)
    assert again.splits["test"].features["text"].equal(split.features["text"])
    assert again.digest == encoded.digest != other.digest


def test_a_damaged_or_lost_chunk_is_encoded_again(spoken: Dataset, language: LanguageModel, tmp_path: Path) -> None:
    encoded = encode_text(spoken, language, tmp_path)
    for path, content in zip(sorted(tmp_path.glob("*.npy")), (b"", b"\x93NUMPY\x01\x00", None), strict=True):
        path.unlink() if content is None else path.write_bytes(content)
    again = encode_text(spoken, language, tmp_path)
    for name in SPLITS:
        assert again.splits[name].features["text"].equal(encoded.splits[name].features["text"])
    assert not [p for p in tmp_path.iterdir() if p.suffix != ".npy"]


def test_bfloat16_is_near(spoken: Dataset, language: LanguageModel, tmp_path: Path) -> None:
    exact, coarse = (
        encode_text(spoken, language, tmp_path, precision=p).splits["test"].features["text"].float()
        for p in ("float32", "bfloat16")
    )
    assert 0 < (exact - coarse).abs().max() < 0.1


def test_a_model_that_is_not_here_is_one_line_and_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was requested")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name in ("bert-base-nowhere", "someone/some-model", "no such name"):
        with pytest.raises(BenchError, match=f"encoder '{name}': expected a folder.*nothing is downloaded here"):
            find_language_model(name)


def test_an_incomplete_folder_is_refused_with_the_names_of_missing_files(
    language: LanguageModel, tmp_path: Path
) -> None:
    with pytest.raises(BenchError, match=r"expected config.json and \*.safetensors and tokenizer.json in"):
        find_language_model(str(tmp_path))
    for path in language.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(BenchError, match=r"expected weights that fit its config.json, got unreadable ones"):
        TokenStates(str(find_language_model(str(tmp_path)).folder))
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")
    with pytest.raises(BenchError, match=r"expected \*.safetensors in"):
        find_language_model(str(tmp_path))


@pytest.mark.skipif(not (REAL / "mosi.pkl").exists(), reason="CMU-MOSI features are not here")
def test_states_of_a_real_file_come_out_again(tmp_path: Path) -> None:
    data = open_dataset(str(REAL / "mosi.pkl"))
    some = {}
    for name, split in data.splits.items():
        some[name] = replace(
            split,
            ids=split.ids[-40:],
            target=split.target[-40:],
            raw_text=split.raw_text[-40:],
            tokens=None,
            features={m: x[-40:] for m, x in split.features.items()},
            lengths={m: n[-40:] for m, n in split.lengths.items()},
        )
    made = encode_text(replace(data, splits=some), find_language_model("all-MiniLM-L6-v2"), tmp_path, tokens=64)
    for name, split in some.items():
        frames = made.splits[name].features["text"].shape[1]
        assert made.splits[name].lengths["text"].equal(split.lengths["text"])
        gap = made.splits[name].features["text"].float() - split.features["text"][:, :frames].float()
        assert gap.abs().max() <= 4e-3  # float16 next to 6 has steps of .004


def test_encode_writes_a_folder_that_opens(
    language: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qamoe_bench.__main__ import main

    content = mmsa_content()
    for split in content.values():
        split["raw_text"] = sentences(len(split["id"]))
    (tmp_path / "mine.pkl").write_bytes(pickle.dumps(content))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        "sys.argv", ["qamoe-bench", "data", "encode", "mine.pkl", "--encoder", str(language.folder), "--cache", "c"]
    )
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    opened = open_dataset(str(tmp_path / "mine-tiny-bert"))
    assert opened.name == "mine-tiny-bert"
    assert opened.splits["test"].features["text"].shape == (20, 9, 8)
