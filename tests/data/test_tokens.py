"""Words become token ids or states of a language model; where there are none, or no model, one line says so."""

import json
import pickle
import socket
from collections.abc import Callable
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
from qamoe_bench.evaluation.precision import Precision
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
    tokenised = with_token_ids(spoken, language, longest=6, accept_unknown=True)
    split = tokenised.splits["test"]
    assert split.features["text"].shape == (20, 6, 1)
    assert split.features["text"][1, :, 0].tolist() == [2, 6, 7, 3, 0, 0]  # [CLS] bad film [SEP]
    assert split.features["text"][6, :, 0].tolist() == [2, 11, UNKNOWN, 5, 6, 3]  # the end of seven words is lost
    assert split.lengths["text"].tolist() == [min(3 + i % 7, 6) for i in range(20)]
    assert (split.features["text"][..., 0] != 0).sum(1).tolist() == split.lengths["text"].tolist()
    assert (tokenised.token_ids, tokenised.pretrained) == ({"text": UNKNOWN}, {"text": str(language.folder)})
    assert tokenised.name == "tiny+tiny-bert"
    assert tokenised.notes[-1].endswith("28 samples were truncated.")  # 16, 4 and 8
    assert {spoken.digest, tokenised.digest} != {with_token_ids(spoken, language, accept_unknown=True).digest}
    assert tokenised.splits["test"].features["audio"] is spoken.splits["test"].features["audio"]


def test_ids_of_the_data_serve_where_words_are_absent_and_the_vocabulary_can_be_theirs(
    spoken: Dataset, language: LanguageModel
) -> None:
    made = with_token_ids(spoken, language, longest=9, accept_unknown=True)
    mute = {}
    for name, split in made.splits.items():
        ids = split.features["text"][..., 0].int()
        mask = (ids > 0).int()
        tokens = torch.stack([ids, mask, 0 * mask], dim=1)
        mute[name] = replace(spoken.splits[name], raw_text=(), tokens=tokens)
    again = with_token_ids(replace(spoken, splits=mute), language, longest=9, accept_unknown=True)
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
    encoded = encode_text(spoken, language, tmp_path, frames=5, tick=ticks.append, accept_unknown=True)
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
    other = encode_text(spoken, language, tmp_path, frames=5, tokens=6, accept_unknown=True)
    monkeypatch.setattr(encode._Encoder, "_batches", None)  # encoding again would fail
    again = encode_text(spoken, language, tmp_path, frames=5, accept_unknown=True)
    assert again.splits["test"].features["text"].equal(split.features["text"])
    assert again.digest == encoded.digest != other.digest


@pytest.mark.parametrize("damage", ["cut, lost or empty", "one bit", "of another text"])
def test_a_chunk_that_is_not_as_it_was_written_is_encoded_again(
    damage: str, spoken: Dataset, language: LanguageModel, tmp_path: Path
) -> None:
    encoded = encode_text(spoken, language, tmp_path, accept_unknown=True)
    paths = sorted(tmp_path.glob("*.states"))
    contents = [path.read_bytes() for path in paths]
    match damage:
        case "cut, lost or empty":
            for path, content in zip(paths, (b"", contents[1][:40], None), strict=True):
                path.unlink() if content is None else path.write_bytes(content)
        case "one bit":
            paths[0].write_bytes(contents[0][:-1] + bytes([contents[0][-1] ^ 1]))
        case "of another text":
            paths[0].write_bytes(contents[1])
    again = encode_text(spoken, language, tmp_path, accept_unknown=True)
    for name in SPLITS:
        assert again.splits[name].features["text"].equal(encoded.splits[name].features["text"])
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == dict(
        zip((path.name for path in paths), contents, strict=True)
    )


def test_bfloat16_is_near(spoken: Dataset, language: LanguageModel, tmp_path: Path) -> None:
    states = []
    precisions: tuple[Precision, ...] = ("float32", "bfloat16")
    for precision in precisions:
        made = encode_text(spoken, language, tmp_path, precision=precision, accept_unknown=True)
        states.append(made.splits["test"].features["text"].float())
    exact, coarse = states
    assert 0 < (exact - coarse).abs().max() < 0.1


# Whether the vocabulary is that of the data.


def with_texts(data: Dataset, make: Callable[[int], list[str]]) -> Dataset:
    return replace(data, splits={n: replace(s, raw_text=tuple(make(len(s)))) for n, s in data.splits.items()})


def with_unknown(words: int) -> Callable[[int], list[str]]:
    """Twenty words a text, some of them unknown."""
    return lambda count: [" ".join(["good"] * (20 - words) + ["xyzzy"] * words)] * count


@pytest.mark.parametrize("words", [0, 1])  # up to the limit
def test_the_share_of_unknown_tokens_is_noted(words: int, language: LanguageModel, tmp_path: Path) -> None:
    data = with_texts(make_dataset(), with_unknown(words))
    note = f"text: {5 * words:.1f} % of 1440 tokens are unknown to tiny-bert."
    assert note in with_token_ids(data, language).notes
    assert note in encode_text(data, language, tmp_path).notes


def test_texts_that_the_encoder_hardly_knows_are_refused_without_consent(
    language: LanguageModel, tmp_path: Path
) -> None:
    data = with_texts(make_dataset(), with_unknown(2))
    got = "expected texts in the language of 'tiny-bert', got 10.0 % of their tokens unknown to it; "
    with pytest.raises(BenchError, match=f"{got}.*--accept-unknown-tokens"):
        with_token_ids(data, language)
    with pytest.raises(BenchError, match=f"{got}.*--accept-unknown-tokens"):
        encode_text(data, language, tmp_path)
    assert with_token_ids(data, language, accept_unknown=True).digest
    assert encode_text(data, language, tmp_path, accept_unknown=True).digest


def stored_ids(data: Dataset, rows: list[list[int]], longest: int = 6) -> Dataset:
    """The data set with these token ids, one row after the other again and again."""
    splits = {}
    for name, split in data.splits.items():
        tokens = torch.zeros(len(split), 3, longest, dtype=torch.int32)
        for i in range(len(split)):
            row = rows[i % len(rows)]
            tokens[i, 0, : len(row)] = torch.tensor(row)
            tokens[i, 1, : len(row)] = 1
        splits[name] = replace(split, tokens=tokens)
    return replace(data, splits=splits)


def test_ids_without_words_are_refused_because_their_vocabulary_is_unknown(language: LanguageModel) -> None:
    data = stored_ids(make_dataset(), [[2, 5, 7, 3]])
    message = "expected raw text, to check that the token ids are of 'tiny-bert', got ids alone in 'train'; .*"
    with pytest.raises(BenchError, match=f"{message}give --accept-unknown-tokens"):
        with_token_ids(data, language)
    read = with_token_ids(data, language, accept_unknown=True)
    assert read.splits["test"].features["text"][0, :5, 0].tolist() == [2, 5, 7, 3, 0]
    assert "it is not checked that the token ids are of tiny-bert (--accept-unknown-tokens)" in " ".join(read.notes)


def test_stored_ids_that_are_not_those_of_the_words_are_noted(language: LanguageModel) -> None:
    spoken = with_texts(make_dataset(), lambda count: ["good bad film not"] * count)
    same = [[2, 5, 6, 7, 8, 3], [2, 5, 6, 3]]  # the second was truncated
    assert not [note for note in with_token_ids(stored_ids(spoken, same), language).notes if "differ" in note]
    other = with_token_ids(stored_ids(spoken, [same[0], [2, 9, 9, 9, 9, 3]]), language)
    note = "the token ids in the file differ from those of tiny-bert in 36 of 72 samples; the raw text was read."
    assert f"text: {note}" in other.notes
    assert other.splits["test"].features["text"][1, :6, 0].tolist() == same[0]


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


@pytest.mark.parametrize("known", [True, False])
def test_code_in_the_folder_of_a_language_model_is_never_run_and_nobody_is_asked(
    known: bool, language: LanguageModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in language.folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Mine: ...\n", "utf-8")
    config = json.loads((tmp_path / "config.json").read_text("utf-8"))
    config["auto_map"] = {"AutoConfig": "mine.Mine", "AutoModel": "mine.Mine"}
    config["model_type"] = config["model_type"] if known else "mine"
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text("utf-8"))
    settings |= {"auto_map": {"AutoTokenizer": ["mine.Mine", None]}} | ({} if known else {"tokenizer_class": "Mine"})
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings), "utf-8")
    monkeypatch.setattr("builtins.input", lambda *_: "y")  # as `yes |` answers
    monkeypatch.setattr("signal.alarm", lambda *_: pytest.fail("a question"))
    for read in (lambda: TokenStates(str(tmp_path)), LanguageModel("mine", tmp_path).tokenizer):
        if known:  # the classes of transformers itself are used
            read()
        else:
            with pytest.raises(BenchError, match="^encoder .*expected"):
                read()
    assert not (tmp_path / "ran").exists()


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
    words = ["data", "encode", "mine.pkl", "--encoder", str(language.folder), "--cache", "c"]
    monkeypatch.setattr("sys.argv", ["qamoe-bench", *words, "--accept-unknown-tokens"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    opened = open_dataset(str(tmp_path / "mine-tiny-bert"))
    assert opened.name == "mine-tiny-bert"
    assert opened.splits["test"].features["text"].shape == (20, 9, 8)
