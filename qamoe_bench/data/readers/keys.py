"""The keys of a split under our names: other papers call vision `visual`, `video` or `facet`.

A key that is exactly ours is taken; otherwise one in other letters; otherwise a known synonym, with a note. What is
read from no key is named in a note, and an array that could be a modality which the file lacks is refused.
"""

from collections.abc import Mapping, Sequence
from difflib import get_close_matches

import numpy as np

from qamoe_bench.data.readers.numbers import looks_like_word_ids
from qamoe_bench.data.readers.splits import named
from qamoe_bench.data.source import BERT_TOKENS, KEYS, LABELS, RawSplit, is_list, quoted_keys, rename_hint, text_keys
from qamoe_bench.vocabulary import MODALITIES

_FEATURES: Mapping[str, tuple[str, ...]] = {
    "text": ("language", "text_features", "text_feature", "text_eb", "text_embeddings", "word_embeddings", "glove"),
    "audio": ("acoustic", "audio_features", "audio_feature", "speech", "covarep"),
    "vision": (
        "visual", "video", "vision_features", "visual_features", "vision_feature", "video_features", "facet",
        "openface", "image", "images", "face",
    ),
}  # fmt: skip
"""Other names of the features of a modality."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    LABELS: ("labels", "label", "regression_label", "sentiment", "sentiments", "target", "targets", "y"),
    "id": ("ids", "segment", "segments", "sample_id", "sample_ids", "names", "utt_id", "utterance_id", "video_segment"),
    "raw_text": ("raw_texts", "text_raw", "transcript", "transcripts", "sentence", "sentences", "utterance"),
    BERT_TOKENS: ("text_bert_ids", "bert_tokens"),
    **_FEATURES,
}
"""Other names of each key, in lower case with underscores."""

# Endings of the name of a modality that make the name of its lengths.
_LENGTHS = ("_lengths", "_length", "_lens", "_len")

# Parts of names of arrays that are certainly no features.
_NO_FEATURES = ("label", "emotion", "mask", "id", "time", "interval", "length", "bert", "align", "index", "class")


def rename_keys(split: RawSplit) -> list[str]:
    """Give the content of a split our keys, in place, and check it.

    Returns:
        A note on each key that was taken under another name, one sentence each.

    Raises:
        BenchError: There are two candidates for a key, labels or all features are missing, or an array may be features
            of a modality that the file lacks.
    """
    content = split.content
    notes = []
    for key in KEYS:
        theirs = _choose(split, key)
        if theirs is None or theirs == key:
            continue
        if key in content:  # which holds word ids
            notes.append(f"{key}: read from {theirs!r}, since {key!r} holds word ids and no features.")
            del content[key]
        elif _normalised(theirs) != key and (key, theirs) != (LABELS, "labels"):  # those of MulT are documented
            notes.append(f"{key}: read from {theirs!r}.")
        content[key] = content.pop(theirs)
        split.file_keys[key] = theirs
    _check_keys(split)
    return notes


def _choose(split: RawSplit, key: str) -> str | None:
    """The key of the file that holds the values of one of ours; None if there is none."""
    names = [name for name in split.content if isinstance(name, str) and _fits(split.content[name], key)]
    if key in split.content and not (key in MODALITIES and looks_like_word_ids(split.content[key])):
        return key
    same = [name for name in names if _normalised(name) == key and name != key]
    candidates = same or [name for name in names if _normalised(name) in _synonyms(key)]
    if len(candidates) > 1:
        expected = f"one key for {key}"
        got = f"{candidates[0]!r} and {candidates[1]!r}"
        raise split.wrong(key, expected, got, f"rename the one that is meant to {key!r}, or remove the other")
    return candidates[0] if candidates else (key if key in split.content else None)


def _synonyms(key: str) -> Sequence[str]:
    modality, ending, _ = key.partition("_lengths")
    if not ending:
        return SYNONYMS.get(key, ())
    others = [name for name in _FEATURES[modality] if "_" not in name]
    return [f"{name}{ending}" for name in (modality, *others) for ending in _LENGTHS]


def _normalised(name: str) -> str:
    return name.strip().lower().replace("-", "_").replace(" ", "_")


def _fits(value: object, key: str) -> bool:
    """Whether a value can be what a key means, since `video` may be features or names of videos."""
    is_numeric = isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    if key in MODALITIES:
        axes = value.ndim if isinstance(value, np.ndarray) else 0
        if isinstance(value, list | tuple) or (axes == 1 and not is_numeric):
            first = value[0] if len(value) else None  # type: ignore[index, arg-type]  # a sequence
            return not isinstance(first, str | bytes | float | int | None)
        return is_numeric and axes in (2, 3) and not looks_like_word_ids(value)
    if key == "raw_text":
        return not is_numeric
    return True


def _check_keys(split: RawSplit) -> None:
    """Check for what is missing or misspelt.

    Raises:
        BenchError: Labels or all features are missing, a key differs from one of ours by a few letters, or an array may
            be features of a modality that the file lacks.
    """
    content = split.content
    if LABELS not in content:
        raise split.wrong(LABELS, "labels", quoted_keys(content), rename_hint(LABELS, content, _NO_LABELS))
    if not any(m in content for m in MODALITIES):
        remedy = rename_hint("text", content, split.remedy)
        raise split.wrong("text", "at least one of text, audio and vision", quoted_keys(content), remedy)
    absent = [key for key in KEYS if key not in content]
    for key in text_keys(content):
        similar = get_close_matches(key.lower(), absent, n=1, cutoff=0.8)
        if similar and key not in KEYS:
            raise split.wrong(similar[0], "this name", repr(key), f"rename it to {similar[0]!r}, or to something else")
    for modality in MODALITIES:
        value = content.get(modality)
        if isinstance(value, np.ndarray) and looks_like_word_ids(value):
            got = f"whole numbers in shape {list(value.shape)}, which look like word or token ids"
            raise split.wrong(modality, "features", got, _NO_IDS if modality == "text" else _NO_INDICES)
    _check_unknown_arrays(split)


_NO_IDS = (
    "remove 'text' from the file, or store vectors under it; 'data encode' makes them of raw_text, and --fine-tune "
    "reads text_bert"
)
_NO_INDICES = "store vectors, or remove it from the file to evaluate the other modalities"
_NO_LABELS = (
    "a file without labels can only add a modality: put it into a folder with the file that has the labels, and give "
    "the folder; samples are joined by their ids"
)


def _check_unknown_arrays(split: RawSplit) -> None:
    """Refuse an array of features under an unknown name while a modality is missing."""
    content = split.content
    missing = [m for m in MODALITIES if m not in content]
    if BERT_TOKENS in content and "text" in missing:
        missing.remove("text")  # token ids are its text
    if not missing:
        return
    labels = content[LABELS]
    samples = len(labels) if is_list(labels) else 0
    for key, value in content.items():
        if key in KEYS or _is_no_features(key) or not isinstance(value, np.ndarray):
            continue
        if value.dtype.kind not in "fiu" or value.ndim not in (2, 3) or len(value) != samples:
            continue
        got = f"{named([key])} of shape {value.shape}"
        remedy = f"rename it to {' or '.join(map(repr, missing))} if it is that, otherwise remove it from the file"
        raise split.wrong(missing[0], f"features of {' and '.join(missing)} under a known name, or none", got, remedy)


def _is_no_features(key: object) -> bool:
    parts = _normalised(key).split("_") if isinstance(key, str) else []
    return any(part.startswith(word) for part in parts for word in _NO_FEATURES)
