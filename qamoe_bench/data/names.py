"""Names of samples and what was said in them, as text that can be stored and shown."""

from collections import Counter
from itertools import islice

import numpy as np

from qamoe_bench.data.source import LABELS, RawSplit, kind_of


def sample_names(split: RawSplit, count: int, notes: list[str]) -> tuple[str, ...]:
    """A name for each of `count` samples, unique; row numbers where the file has none."""
    names = written_names(split, split.content.pop("id", None), count)
    unique = _unique(names)
    changed = sum(a != b for a, b in zip(names, unique, strict=True))
    if changed:
        notes.append(f"{split.name}: {changed} samples had the id of an earlier one and got a number behind it.")
    return unique


def written_names(split: RawSplit, value: object, count: int) -> list[str]:
    """The names as the file has them."""
    if value is None:
        return [str(n) for n in range(count)]
    names = [_name(split, row) for row in _rows(split, "id", value, count)]
    _check_size(split, "id", names)
    return names


def sentences(split: RawSplit, count: int) -> tuple[str, ...]:
    """What was said in each of `count` samples; nothing where the file does not tell."""
    value = split.content.pop("raw_text", None)
    if value is None:
        return ()
    rows = _rows(split, "raw_text", value, count)
    if strange := [row for row in rows if not isinstance(row, str | bytes)]:
        raise split.wrong("raw_text", "texts", f"one of type {kind_of(strange[0])}", "store a str per sample")
    texts = [_text(row) for row in rows if isinstance(row, str | bytes)]
    _check_size(split, "raw_text", texts)
    return tuple(texts)


def _rows(split: RawSplit, key: str, value: object, count: int) -> list[object]:
    rows = list(value) if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim) else None
    if rows is None or len(rows) != count:
        got = kind_of(value) if rows is None else str(len(rows))
        labels = split.called.get(LABELS, LABELS)
        raise split.wrong(key, f"{count} {'names' if key == 'id' else 'sentences'}, one for each of {labels!r}", got)
    return rows


def _name(split: RawSplit, row: object) -> str:
    """An id as text; its parts, such as video and segment, are joined as MMSA joins them."""
    if isinstance(row, int | np.integer):
        if abs(int(row)) < 2**63:
            return str(row)
        raise split.wrong("id", "names as text", "a number of more than 63 bits", "store a str per sample")
    if isinstance(row, np.ndarray):
        parts = row.reshape(-1)[:8].tolist()
    else:
        parts = [*islice(row, 8)] if isinstance(row, list | tuple) else [row]
    texts = [_text(p) for p in parts if isinstance(p, str | bytes)]
    if not parts or len(texts) < len(parts):
        raise split.wrong("id", "names as text", f"one of type {kind_of(row)}", "store a str per sample")
    return "$_$".join(texts)


def _text(value: str | bytes) -> str:
    """Text of which every character can be written to a file."""
    text = str(value, "utf-8", "replace") if isinstance(value, bytes) else str(value)
    return text.encode("utf-8", "replace").decode()


def _check_size(split: RawSplit, key: str, texts: list[str]) -> None:
    """Refuses one long text that is there again and again."""
    if sum(map(len, texts)) > 2 * split.size:
        raise split.wrong(key, "texts of its samples", "the same long one again and again", "store what was said")


def _unique(names: list[str]) -> tuple[str, ...]:
    """The same names, with a number behind every repetition."""
    taken, seen, result = set(names), Counter[str](), []
    for name in names:
        seen[name] += 1
        fresh = name
        while seen[name] > 1 and fresh in taken:
            fresh = f"{name}#{seen[name]}"
            seen[name] += fresh in taken
        taken.add(fresh)
        result.append(fresh)
    return tuple(result)
