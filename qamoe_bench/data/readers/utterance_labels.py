"""The labels of folders of features by utterance, in the two ways in which they are shared.

    *_features_raw_?way.pkl   GCNet, MoMKE, SDR-GNN: [ids, labels, speakers, sentences, train, valid, test]; the first
                              four are lists by video, the others the videos of each split
    label*.npz                MERBench: train_corpus, val_corpus and test_corpus, {utterance: {"emo": 0, "val": 1.5}}

Labels are sentiments in files of CMU-MOSI, CMU-MOSEI and SIMS, and classes of emotions in those of IEMOCAP, MELD and
MER2023. Some of these have no validation split: IEMOCAP has six parts in GCNet's list, and one `whole_corpus`, of which
session 5 is the test set here; every tenth training dialogue is then validated on, with a note. Layouts as in
zeroQiaoba/GCNet @ c2dfd3b, gcnet/dataloader_iemocap.py, and zeroQiaoba/MERTools @ fb8dda0, MERBench/toolkit/preprocess.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.known_classes import IEMOCAP_FOUR, IEMOCAP_SIX, MELD, MER2023
from qamoe_bench.data.names import ID_SEPARATOR, with_dialogue
from qamoe_bench.data.readers.numpy_files import archive_members, object_in
from qamoe_bench.data.source import kind_of, quoted_keys
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import Task

_LIST_REMEDY = "write [ids, labels, speakers, sentences, train, valid, test], the first four as dicts by video"
_CORPUS_REMEDY = 'write dicts {utterance: {"val": sentiment}} as train_corpus, val_corpus and test_corpus'

# Members of MERBench's archives; MER2023 has three test sets, of which the first has labels of the same kind.
_TRAIN, _VALID, _TESTS, _WHOLE = "train_corpus", "val_corpus", ("test_corpus", "test1_corpus"), "whole_corpus"
_TEST_SESSION = "Ses05"

# The annotation scale of MOSI and MOSEI. MERBench writes -10 where there is no sentiment.
_MAX_LABEL = 3

# Validation takes one of so many dialogues of a training split, where the files have no validation split.
_HELD_OUT = 10


@dataclass(frozen=True)
class Utterance:
    """One sample.

    Attributes:
        name: Its name, which its feature files have too.
        label: Its sentiment, or the number or name of its class.
        sentence: Its transcript, or an empty text.
        id: Name of the sample, which begins with its dialogue if that is known.
    """

    name: str
    label: float | str
    sentence: str = ""
    id: str = ""


UtterancesBySplit = Mapping[str, Sequence[Utterance]]


@dataclass(frozen=True)
class UtteranceLabels:
    """The utterances of each split, what their labels say if they are classes, and notes."""

    splits: UtterancesBySplit
    task: Task | None
    notes: tuple[str, ...] = ()


def is_list_by_video(content: object) -> bool:
    """Whether the content of a pickle is GCNet's list; files of IEMOCAP have no validation videos."""
    is_long_enough = isinstance(content, list | tuple) and len(content) in (6, 7)
    return is_long_enough and all(isinstance(part, dict) for part in content[:4])  # type: ignore[index]  # checked


def has_corpora(path: Path) -> bool:
    """Whether a file is an archive of MERBench's labels."""
    return any(name.endswith("_corpus") for name in archive_members(path))


# GCNet's list.


def utterances_of_list(path: Path, content: object) -> UtteranceLabels:
    """The utterances in GCNet's list.

    Raises:
        BenchError: The content is another, or lacks a split.
    """
    if not (isinstance(content, list | tuple) and is_list_by_video(content)):
        raise BenchError(f"{path}: expected a list of 7 parts, got {kind_of(content)}; {_LIST_REMEDY}")
    ids, labels, _, sentences = content[:4]
    videos = {}
    for video in ids:
        videos[video] = _of_video(path, video, ids, labels, sentences)
    task = _task_of([utterance for parts in videos.values() for utterance in parts])
    if task is None and len(content) < 7:
        raise BenchError(f"{path}: expected train, valid and test videos, got two of the three; {_LIST_REMEDY}")
    splits = {}
    for name, fold in zip(SPLITS if len(content) == 7 else (SPLITS[0], SPLITS[2]), content[4:], strict=True):
        chosen = sorted(video for video in _items(fold) or () if isinstance(video, str))
        splits[name] = [_with_id(u, video, task) for video in chosen for u in videos.get(video, ())]
    return _checked(path, splits, task)


def _with_id(utterance: Utterance, video: str, task: Task | None) -> Utterance:
    """An utterance with its dialogue in its id; sentiments keep the names that they always had."""
    if task is None:
        return utterance
    own = utterance.name.removeprefix(f"{video}_")
    return replace(utterance, id=f"{video}{ID_SEPARATOR}{own}")


def _of_video(
    path: Path, video: object, ids: Mapping[object, object], labels: Mapping[object, object],
    sentences: Mapping[object, object],
) -> list[Utterance]:  # fmt: skip
    """The utterances of one video."""
    names = _items(ids[video])
    values = _items(labels.get(video))
    texts = _items(sentences.get(video))
    if names is None or values is None or len(values) != len(names):
        quoted = ascii(str(video))[1:-1][:40]
        raise BenchError(f"{path}: expected ids and as many labels of video {quoted}, got others; {_LIST_REMEDY}")
    if texts is None or len(texts) != len(names):
        texts = [""] * len(names)
    return [_utterance(path, *parts) for parts in zip(names, values, texts, strict=True)]


def _utterance(path: Path, name: object, label: object, sentence: object) -> Utterance:
    if isinstance(label, np.ndarray) and label.size == 1:
        label = label.item()
    # Integers of thousands of digits cannot become floats.
    is_number = isinstance(label, int | float) and not isinstance(label, bool) and -(2.0**63) < label < 2.0**63
    is_label = is_number or (isinstance(label, str) and bool(label.strip()))
    if not is_label or not isinstance(name, str | bytes):
        quoted = ascii(name)[:40]
        raise BenchError(f"{path}: expected a name and a number as label, got others for {quoted}; correct that entry")
    known = str(label) if isinstance(label, str) else float(label)  # type: ignore[arg-type]  # checked above
    return Utterance(_text(name), known, _text(sentence))


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else ""


def _items(value: object) -> list[object] | None:
    """The items of any plain collection; None for anything else."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return list(value.tolist())
    return list(value) if isinstance(value, list | tuple | set | frozenset) else None


# MERBench's archive.


def utterances_of_archive(path: Path) -> UtteranceLabels:
    """The utterances in MERBench's archive.

    Raises:
        BenchError: The archive is damaged, or lacks a split.
    """
    members = archive_members(path)
    test = next((name for name in _TESTS if name in members), None)
    if _TRAIN in members and test:
        wanted = {"train": _TRAIN, "valid": _VALID, "test": test}
        read = {name: _corpus(path, member) for name, member in wanted.items() if member in members}
    elif _WHOLE in members:
        read = _by_session(path, _corpus(path, _WHOLE))
    else:
        got = quoted_keys(dict.fromkeys(members))
        raise BenchError(
            f"{path}: expected the members {_TRAIN}, {_VALID} and {_TESTS[0]}, got {got:.200}; {_CORPUS_REMEDY}"
        )
    corpora = list(read.values())
    key = "val" if _have_sentiments(corpora) else "emo"
    splits = {}
    for name, corpus in read.items():
        utterances = [_utterance(path, utterance, value.get(key), "") for utterance, value in corpus.items()]
        splits[name] = utterances if key == "val" else [replace(u, id=with_dialogue(u.name)) for u in utterances]
    task = _task_of([utterance for parts in splits.values() for utterance in parts])
    others = sorted(set(members) & {"test2_corpus", "test3_corpus"}) if test == _TESTS[1] else []
    notes = [f"{' and '.join(others)} were not read, since {test} is the test split."] if others else []
    return _checked(path, splits, task, notes)


_Corpus = Mapping[object, Mapping[object, object]]


def _corpus(path: Path, member: str) -> _Corpus:
    """One member of an archive: the labels of each utterance by their kind."""
    corpus = object_in(path, member)
    if not isinstance(corpus, dict):
        raise BenchError(f"{path}: {member}: expected a dict, got {kind_of(corpus)}; {_CORPUS_REMEDY}")
    return {name: value if isinstance(value, dict) else {} for name, value in corpus.items()}


def _by_session(path: Path, corpus: _Corpus) -> dict[str, _Corpus]:
    """IEMOCAP's corpus, with the last of its five sessions as the test split."""
    test = {name: value for name, value in corpus.items() if str(name).startswith(_TEST_SESSION)}
    train = {name: value for name, value in corpus.items() if name not in test}
    if not test or not train:
        got = f"names such as {ascii(next(iter(corpus), ''))[:40]}"
        raise BenchError(
            f"{path}: expected utterances of IEMOCAP's five sessions in {_WHOLE}, got {got}; {_CORPUS_REMEDY}"
        )
    return {"train": train, "test": test}


def _have_sentiments(corpora: Sequence[_Corpus]) -> bool:
    """Whether the labels are sentiments; -10 marks a sentiment that is missing, and names are emotions."""
    values = [value for corpus in corpora for value in corpus.values()]
    if any(isinstance(value.get("emo"), str) for value in values):
        return False
    sentiments = [value.get("val") for value in values]
    is_on_scale = any(isinstance(number, int | float) and abs(number) <= _MAX_LABEL for number in sentiments)
    return is_on_scale or not any("emo" in value for value in values)


# What labels say.


def _task_of(utterances: Sequence[Utterance]) -> Task | None:
    """The classes of labels that are names or whole numbers from 0; None for sentiments.

    A sentiment has a side below zero, or values between whole numbers.
    """
    labels = {utterance.label for utterance in utterances}
    names = {label for label in labels if isinstance(label, str)}
    if names:
        return Task("classes", MER2023 if names <= set(MER2023) else ())
    numbers = {float(label) for label in labels if np.isfinite(float(label))}
    if not numbers or not all(number >= 0 and number == int(number) for number in numbers):
        return None
    known = _classes_of_names([utterance.name for utterance in utterances])
    largest = int(max(numbers))
    return Task("classes", next((names for names in known if largest < len(names)), ()))


def _classes_of_names(names: Iterable[str]) -> Sequence[tuple[str, ...]]:
    """Classes that labels of utterances with these names may have, the fewest first."""
    names = list(names)
    if all(re.fullmatch(r"Ses\d\d[FM]_.+", name) for name in names):
        return IEMOCAP_FOUR, IEMOCAP_SIX
    return [MELD] if all(re.fullmatch(r".*dia\d+_utt\d+", name) for name in names) else []


def _checked(
    path: Path, splits: dict[str, list[Utterance]], task: Task | None, notes: Sequence[str] = ()
) -> UtteranceLabels:
    """All three splits; refuses names that occur twice: small files could refer to the same features many times."""
    notes = list(notes)
    if "valid" not in splits:
        splits, note = _held_out(splits)
        notes.append(note)
    seen: set[str] = set()
    for name in SPLITS:
        if not splits[name]:
            raise BenchError(f"{path}: split {name!r}: expected utterances, got none; list its videos or utterances")
        for utterance in splits[name]:
            if utterance.name in seen:
                quoted = ascii(utterance.name)[:40]
                raise BenchError(f"{path}: expected each utterance once, got {quoted} twice; remove one of them")
            seen.add(utterance.name)
    return UtteranceLabels(splits, task, tuple(notes))


def _held_out(splits: dict[str, list[Utterance]]) -> tuple[dict[str, list[Utterance]], str]:
    """Splits with every tenth training dialogue as the validation split, and a note on it."""
    dialogues = sorted({_dialogue(utterance) for utterance in splits["train"]})
    chosen = set(dialogues[_HELD_OUT - 1 :: _HELD_OUT] or dialogues[-1:])
    parts: dict[str, list[Utterance]] = {"train": [], "valid": [], "test": splits["test"]}
    for utterance in splits["train"]:
        parts["valid" if _dialogue(utterance) in chosen else "train"].append(utterance)
    note = (
        f"valid: the files have no validation split; {len(chosen)} of {len(dialogues)} training dialogues, every "
        f"{_HELD_OUT}th by name, were taken."
    )
    return parts, note


def _dialogue(utterance: Utterance) -> str:
    """The dialogue of an utterance; its own name if it is unknown."""
    return utterance.id.partition(ID_SEPARATOR)[0] or utterance.name
