"""The labels of folders of features by utterance, in the two ways in which they are shared.

    *_features_raw_2way.pkl   GCNet, MoMKE, SDR-GNN: [ids, labels, speakers, sentences, train, valid, test]; the first
                              four are lists by video, the others the videos of each split
    label*.npz                MERBench: train_corpus, val_corpus and test_corpus, {utterance: {"emo": 0, "val": 1.5}}

Files of other data sets in these layouts have emotion classes, which are refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.readers.numpy_files import archive_members, object_in
from qamoe_bench.data.source import kind_of, quoted_keys
from qamoe_bench.errors import BenchError

_LIST_REMEDY = "write [ids, labels, speakers, sentences, train, valid, test], the first four as dicts by video"
_CORPUS_REMEDY = 'write dicts {utterance: {"val": sentiment}} as train_corpus, val_corpus and test_corpus'
_CORPORA = ("train_corpus", "val_corpus", "test_corpus")

# The annotation scale of MOSI and MOSEI. MERBench writes -10 where there is no sentiment.
_MAX_LABEL = 3


@dataclass(frozen=True)
class Utterance:
    """One sample: its name, which its feature files have too, its sentiment, and its transcript or an empty text."""

    name: str
    label: float
    sentence: str = ""


UtterancesBySplit = Mapping[str, Sequence[Utterance]]


def is_list_by_video(content: object) -> bool:
    """Whether the content of a pickle is GCNet's list; older files have no validation videos."""
    is_long_enough = isinstance(content, list | tuple) and len(content) in (6, 7)
    return is_long_enough and all(isinstance(part, dict) for part in content[:4])  # type: ignore[index]  # checked


def has_corpora(path: Path) -> bool:
    """Whether a file is an archive of MERBench's labels."""
    return any(name.endswith("_corpus") for name in archive_members(path))


def utterances_of_list(path: Path, content: object) -> UtterancesBySplit:
    """The utterances in GCNet's list.

    Raises:
        BenchError: The content is another, has no validation videos, or emotion classes for labels.
    """
    if not (isinstance(content, list | tuple) and is_list_by_video(content)):
        raise BenchError(f"{path}: expected a list of 7 parts, got {kind_of(content)}; {_LIST_REMEDY}")
    ids, labels, _, sentences = content[:4]
    videos = {}
    for video in ids:
        videos[video] = _of_video(path, video, ids, labels, sentences)
    _check_labels(path, (utterance.label for parts in videos.values() for utterance in parts))
    if len(content) < 7:
        raise BenchError(f"{path}: expected train, valid and test videos, got two of the three; {_LIST_REMEDY}")
    splits = {}
    for name, fold in zip(SPLITS, content[4:7], strict=True):
        chosen = sorted(video for video in _items(fold) or () if isinstance(video, str))
        splits[name] = [utterance for video in chosen for utterance in videos.get(video, ())]
    return _checked(path, splits)


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
    if not is_number or not isinstance(name, str | bytes):
        quoted = ascii(name)[:40]
        raise BenchError(f"{path}: expected a name and a number as label, got others for {quoted}; correct that entry")
    return Utterance(_text(name), float(label), _text(sentence))  # type: ignore[arg-type]  # checked above


def _text(value: object) -> str:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return str(value) if isinstance(value, str) else ""


def _items(value: object) -> list[object] | None:
    """The items of any plain collection; None for anything else."""
    if isinstance(value, np.ndarray) and value.ndim == 1:
        return list(value.tolist())
    return list(value) if isinstance(value, list | tuple | set | frozenset) else None


def utterances_of_archive(path: Path) -> UtterancesBySplit:
    """The utterances in MERBench's archive.

    Raises:
        BenchError: The archive is damaged, lacks a split, or has emotion classes only.
    """
    members = archive_members(path)
    if not set(_CORPORA) <= set(members):
        got = quoted_keys(dict.fromkeys(members))
        expected = f"the members {', '.join(_CORPORA)}"
        remedy = f"those of IEMOCAP and MER2023 have emotion classes and other splits; {_CORPUS_REMEDY}"
        raise BenchError(f"{path}: expected {expected}, got {got:.200}; {remedy}")
    splits = {}
    for name, member in zip(SPLITS, _CORPORA, strict=True):
        corpus = object_in(path, member)
        if not isinstance(corpus, dict):
            raise BenchError(f"{path}: {member}: expected a dict, got {kind_of(corpus)}; {_CORPUS_REMEDY}")
        splits[name] = [_utterance(path, key, _valence(value), "") for key, value in corpus.items()]
    _check_labels(path, (utterance.label for parts in splits.values() for utterance in parts))
    return _checked(path, splits)


def _valence(value: object) -> object:
    return value.get("val") if isinstance(value, dict) else None


def _check_labels(path: Path, labels: Iterable[float]) -> None:
    """Refuse labels that are classes: a sentiment has a side below zero, or values between whole numbers."""
    values = list(labels)
    if not values:
        raise BenchError(f"{path}: expected labels of utterances, got none; choose another file")
    are_classes = all(value >= 0 and value == int(value) for value in values if np.isfinite(value))
    if are_classes or all(abs(value) > _MAX_LABEL for value in values):
        got = "emotion classes" if are_classes else f"{values[0]:g} for all utterances, which have emotion classes only"
        raise BenchError(
            f"{path}: expected sentiments from -{_MAX_LABEL} to {_MAX_LABEL} as labels, got {got}; use the files of "
            "CMU-MOSI, CMU-MOSEI or SIMS, since this suite judges predictions of sentiment"
        )


def _checked(path: Path, splits: UtterancesBySplit) -> UtterancesBySplit:
    """Refuse names that occur twice: small files could refer to the same features many times."""
    seen: set[str] = set()
    for name, utterances in splits.items():
        if not utterances:
            raise BenchError(f"{path}: split {name!r}: expected utterances, got none; list its videos or utterances")
        for utterance in utterances:
            if utterance.name in seen:
                quoted = ascii(utterance.name)[:40]
                raise BenchError(f"{path}: expected each utterance once, got {quoted} twice; remove one of them")
            seen.add(utterance.name)
    return splits
