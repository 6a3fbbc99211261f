"""Sample names and transcripts, as text that can be stored and displayed."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import islice

import numpy as np

from qamoe_bench.data.source import LABELS, RawSplit, is_list, kind_of

# An id may consist of several parts, such as video, start and end; more are ignored.
_MAX_ID_PARTS = 8

# An integer that is larger names nothing.
_MAX_ID = 2**63

ID_SEPARATOR = "$_$"
"""Separates the parts of an id, as in MMSA's files; what comes before it names the video or dialogue."""

# Utterances of dialogues: of MELD, with or without the split before, and of IEMOCAP.
_UTTERANCES = (r"(.*dia\d+)_(utt\d+)", r"(Ses\d\d[FM]_.+)_([FM]\d+)")


def sample_names(split: RawSplit, count: int, notes: list[str]) -> tuple[str, ...]:
    """A unique name for each of `count` samples; row numbers if the file has no ids.

    Removes the ids from the content of the split, and adds a note if some of them were repeated.

    Raises:
        BenchError: There are not as many ids as samples.
    """
    stored = split.content.pop("id", None)
    names = stored_names(split, stored, count)
    unnamed = sum(not _name(item) for item in stored) if is_list(stored) else 0
    if unnamed:
        notes.append(f"{split.name}: {unnamed} samples have no id and were named after their rows.")
    unique = _unique(names)
    changed = sum(a != b for a, b in zip(names, unique, strict=True))
    if changed:
        notes.append(f"{split.name}: {changed} samples repeated an earlier id and were numbered.")
    return unique


def stored_names(split: RawSplit, value: object, count: int) -> list[str]:
    """The names as they are stored in the file, repetitions included; row numbers if `value` is None.

    A sample without an id is named after its row too.
    """
    if value is None:
        return [str(n) for n in range(count)]
    names = []
    for row, item in enumerate(_rows(split, "id", value, count)):
        names.append(_name(item) or str(row))
    _check_size(split, "id", names)
    return names


def with_dialogue(name: str) -> str:
    """The name of an utterance as dialogue and utterance, if it is one of MELD or IEMOCAP; otherwise unchanged."""
    for pattern in _UTTERANCES:
        match = re.fullmatch(pattern, name)
        if match:
            return f"{match[1]}{ID_SEPARATOR}{match[2]}"
    return name


def are_row_numbers(names: Sequence[str]) -> bool:
    """Whether ids are only numbers of rows, which say nothing about who or what a sample is."""
    return list(names) == [str(row) for row in range(len(names))]


def sample_transcripts(split: RawSplit, count: int) -> tuple[str, ...]:
    """The transcript of each of `count` samples; empty if the file has none.

    Raises:
        BenchError: The transcripts are no texts, or not as many as there are samples.
    """
    value = split.content.pop("raw_text", None)
    if value is None:
        return ()
    texts = []
    for row in _rows(split, "raw_text", value, count):
        if not isinstance(row, str | bytes):
            raise split.wrong("raw_text", "texts", f"one of type {kind_of(row)}", "store a str per sample")
        texts.append(_text(row))
    _check_size(split, "raw_text", texts)
    return tuple(texts)


def _rows(split: RawSplit, key: str, value: object, count: int) -> list[object]:
    """The value of a key as a list of `count` items."""
    items = "names" if key == "id" else "sentences"
    expected = f"{count} {items}, one for each of {split.file_key(LABELS)!r}"
    if not (isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim)):
        raise split.wrong(key, expected, kind_of(value))
    if len(value) != count:
        raise split.wrong(key, expected, str(len(value)))
    return list(value)


def _name(item: object) -> str:
    """An id of any type as text; its parts, such as video and segment, are joined as in MMSA's files."""
    if isinstance(item, np.void):  # a record, such as (video, start, end)
        item = item.item()
    if isinstance(item, np.ndarray):
        parts: list[object] = item.reshape(-1)[:_MAX_ID_PARTS].tolist()
    elif isinstance(item, list | tuple):
        parts = list(islice(item, _MAX_ID_PARTS))
    else:
        parts = [item]
    return ID_SEPARATOR.join(_part(part) for part in parts)


def _part(value: object) -> str:
    """One part of an id as text; empty if it is nothing that can name a sample."""
    if isinstance(value, str | bytes):
        return _text(value).strip()
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else str(value)
    # Python refuses to print integers of thousands of digits, and no id needs them.
    return str(value) if isinstance(value, int) and abs(value) < _MAX_ID else ""


def _text(value: str | bytes) -> str:
    """Text without lone surrogates, so that it can be written as UTF-8."""
    text = str(value, "utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.encode("utf-8", "replace").decode()


def _check_size(split: RawSplit, key: str, texts: list[str]) -> None:
    """Refuse a long text that is shared by many samples: a small file would expand to much memory."""
    if sum(map(len, texts)) > 2 * split.size:
        raise split.wrong(key, "texts of its samples", "the same long text many times", "store each transcript once")


def _unique(names: list[str]) -> tuple[str, ...]:
    """The same names, with a number appended to every repetition."""
    taken = set(names)
    occurrences = Counter[str]()
    result = []
    for name in names:
        occurrences[name] += 1
        unique = name
        # The file itself may contain `a#2`, so numbers are tried until one is free.
        while occurrences[name] > 1 and unique in taken:
            unique = f"{name}#{occurrences[name]}"
            if unique in taken:
                occurrences[name] += 1
        taken.add(unique)
        result.append(unique)
    return tuple(result)
