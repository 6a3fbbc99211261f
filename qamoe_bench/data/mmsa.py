"""Reading feature files in MMSA's layout: a pickle of `{"train" | "valid" | "test": {key: array}}`.

    text, audio, vision                              [N, T, D] or [N, D]; a modality may be absent
    text_lengths, audio_lengths, vision_lengths      [N], optional: valid frames, 0 where a sample lacks the modality
    text_bert                                        [N, 3, L], optional: its second row is an attention mask
    regression_labels                                [N], [N, 1] or [N, 1, 1]
    id                                               N names, optional
    raw_text                                         N texts, optional: what was said

Files of this kind differ in how they pad, in number type and in what they leave out. All comes out the same: float32,
finite, padded at the back with exact zeros. What had to be mended is said in the notes of the data set.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qamoe_bench.data import safe_pickle
from qamoe_bench.data.dataset import SPLITS, Dataset, Split
from qamoe_bench.errors import BenchError
from qamoe_bench.modality import MODALITIES

LABELS = "regression_labels"
RAW_TEXT = "raw_text"
KEYS = (*MODALITIES, *(f"{m}_lengths" for m in MODALITIES), "text_bert", LABELS, "id", RAW_TEXT)
"""What is read; all else is left alone."""


def read_mmsa(path: Path) -> Dataset:
    """Reads an MMSA feature file; `Dataset.notes` tells what had to be mended.

    Raises:
        BenchError: The file cannot be read or trusted, or is not in this layout; names file, split and key.
    """
    raw = _splits(path, safe_pickle.load(path))
    notes: list[str] = []
    targets = {s.name: _labels(s) for s in raw}
    ids = {s.name: _ids(s, len(targets[s.name]), notes) for s in raw}
    texts = {s.name: _raw_text(s, len(targets[s.name])) for s in raw}
    features: dict[str, dict[str, torch.Tensor]] = {name: {} for name in SPLITS}
    lengths: dict[str, dict[str, torch.Tensor]] = {name: {} for name in SPLITS}
    for modality in _modalities(raw):  # one at a time, so that the file's arrays can go before the next ones come
        parts = [_part(s, modality, len(targets[s.name])) for s in raw]
        _check_widths(raw, modality, parts)
        notes += _finish(modality, parts)
        for name, part in zip(SPLITS, parts, strict=True):
            features[name][modality] = torch.from_numpy(part.frames)
            lengths[name][modality] = torch.from_numpy(part.lengths())
    return Dataset(
        name=path.stem,
        splits={n: Split(ids[n], torch.from_numpy(targets[n]), features[n], lengths[n], texts[n]) for n in SPLITS},
        digest=_digest(path),
        label_range=_label_range(targets.values()),
        notes=tuple(notes),
    )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# Layout: splits and their keys.

_REMEDY = "write the file again in MMSA's layout"


@dataclass(frozen=True)
class _RawSplit:
    """One split as the file has it; what has been read is taken out, to free its memory."""

    path: Path
    name: str
    content: dict[object, object]

    def wrong(self, key: str, expected: str, got: str, remedy: str = _REMEDY) -> BenchError:
        """The one-line error for a key of this split."""
        return BenchError(f"{self.path}: split {self.name!r}, key {key!r}: expected {expected}, got {got}; {remedy}")

    def numbers(self, key: str, count: int | None = None) -> NDArray[Any]:
        """Takes out an array of numbers, with `count` rows if that is known already."""
        value = self.content.pop(key)
        # A few bytes can hold the same list again and again; as an array it would fill the memory.
        if _size(value) > self.path.stat().st_size:
            raise self.wrong(key, "an array", "lists too deep or too repetitive", "store a NumPy array")
        try:
            array = np.asarray(value)
        except ValueError:
            raise self.wrong(key, "rows of one length", "rows of several lengths", "pad them with zeros") from None
        if array.dtype.kind not in "fiu":
            items = {"U": "text", "S": "bytes", "O": "objects"}.get(array.dtype.kind, array.dtype.name)
            raise self.wrong(key, "numbers", f"{_kind(value)} of {items}")
        if not (array.ndim and len(array)):
            raise self.wrong(key, "at least 2 samples", "none", "add samples or choose another file")
        if count not in (None, len(array)):
            raise self.wrong(key, f"{count} samples as in {LABELS!r}", str(len(array)))
        return array


def _kind(value: object) -> str:
    return "array" if isinstance(value, np.ndarray) else type(value).__name__


def _size(value: object) -> float:
    """How many items nested lists stand for, judged by the first of each; infinite if they are too deep."""
    lengths: list[int] = []
    while isinstance(value, list | tuple) and value:
        lengths.append(len(value))
        value = value[0]
        if len(lengths) > 3:
            return math.inf
    return math.prod(lengths) * (value.size if lengths and isinstance(value, np.ndarray) else 1)


def _splits(path: Path, content: object) -> tuple[_RawSplit, ...]:
    """The three splits in canonical order; "dev" is taken for "valid"."""
    if not isinstance(content, dict):
        raise BenchError(f"{path}: expected a dict of the splits {', '.join(SPLITS)}, got {_kind(content)}; {_REMEDY}")
    if "valid" not in content and "dev" in content:
        content["valid"] = content.pop("dev")
    return tuple(_split(path, content, name) for name in SPLITS)


def _split(path: Path, content: Mapping[object, object], name: str) -> _RawSplit:
    if name not in content:
        raise BenchError(f"{path}: expected a split {name!r}, got {_listed(content)}; {_hint(name, content)}")
    value = content[name]
    if not isinstance(value, dict):
        raise BenchError(f"{path}: split {name!r}: expected a dict of arrays, got {_kind(value)}; {_REMEDY}")
    keys = dict(value)  # two splits may be one and the same object
    split = _RawSplit(path, name, keys)
    if LABELS not in keys:
        raise split.wrong(LABELS, "labels", _listed(keys), _hint(LABELS, keys))
    if not any(m in keys for m in MODALITIES):
        raise split.wrong("text", "at least one of text, audio and vision", _listed(keys), _hint("text", keys))
    for key in _names(keys):  # a misspelt key would be an absent one, and nobody would notice
        near = get_close_matches(key.lower(), [k for k in KEYS if k not in keys], n=1, cutoff=0.8)
        if near and key not in KEYS:
            raise split.wrong(near[0], "this name", repr(key), f"rename it to {near[0]!r}, or to something else")
    return split


def _names(content: Mapping[object, object]) -> list[str]:
    """The keys that are text, as many and as much of them as a message can bear."""
    return [k[:40] for k in content if isinstance(k, str)][:30]


def _listed(content: Mapping[object, object]) -> str:
    return ", ".join(repr(name) for name in _names(content)) or "no names"


def _hint(wanted: str, content: Mapping[object, object]) -> str:
    near = get_close_matches(wanted, _names(content), n=1, cutoff=0.5)
    return f"rename {near[0]!r} to {wanted!r}" if near else _REMEDY


def _modalities(splits: Iterable[_RawSplit]) -> tuple[str, ...]:
    """What all splits have, in canonical order."""
    found = {s.name: tuple(m for m in MODALITIES if m in s.content) for s in splits}
    for split in splits:
        for m in MODALITIES:
            if m not in found[split.name] and any(m in others for others in found.values()):
                raise split.wrong(
                    m, "the same modalities in every split", "none here", "add it here or remove it there"
                )
    return found[SPLITS[0]]


# Labels and ids.


def _labels(split: _RawSplit) -> NDArray[np.float32]:
    array = split.numbers(LABELS)
    if array.size != len(array):
        raise split.wrong(LABELS, "one label per sample", f"shape {array.shape}", "keep the sentiment column only")
    labels = array.reshape(-1).astype(np.float64)
    bad = np.flatnonzero(~(np.abs(labels) <= 3))  # NaN compares false, so it is bad too
    if len(bad):
        got = f"{labels[bad[0]]} in row {bad[0]} ({len(bad)} such in all)"
        raise split.wrong(LABELS, "labels from -3 to 3", got, "drop those samples or rescale the labels")
    return labels.astype(np.float32)


def _label_range(targets: Iterable[NDArray[np.float32]]) -> tuple[float, float]:
    """SIMS annotates from -1 to 1, MOSI and MOSEI from -3 to 3."""
    limit = 1.0 if all(np.abs(t).max() <= 1 for t in targets) else 3.0
    return -limit, limit


def _ids(split: _RawSplit, count: int, notes: list[str]) -> tuple[str, ...]:
    """Names of samples, unique; row numbers where the file has none."""
    rows = _rows(split, "id", count)
    if rows is None:
        return tuple(str(n) for n in range(count))
    names = [_name(split, row) for row in rows]
    unique = _unique(names)
    changed = sum(a != b for a, b in zip(names, unique, strict=True))
    if changed:
        notes.append(f"{split.name}: {changed} samples had the id of an earlier one and got a number behind it.")
    return unique


def _raw_text(split: _RawSplit, count: int) -> tuple[str, ...]:
    """What was said, sample by sample; empty where the file does not tell."""
    rows = _rows(split, RAW_TEXT, count) or []
    texts = [str(row, "utf-8", "replace") if isinstance(row, bytes) else row for row in rows]
    if strange := [row for row in texts if not isinstance(row, str)]:
        raise split.wrong(RAW_TEXT, "texts", f"one of type {_kind(strange[0])}", "store a str per sample")
    return tuple(map(str, texts))


def _rows(split: _RawSplit, key: str, count: int) -> list[object] | None:
    """Takes out one object per sample; None where the file has none."""
    value = split.content.pop(key, None)
    if value is None:
        return None
    rows = list(value) if isinstance(value, list | tuple) or (isinstance(value, np.ndarray) and value.ndim) else None
    if rows is None or len(rows) != count:
        got = _kind(value) if rows is None else str(len(rows))
        raise split.wrong(key, f"{count} texts, one for each of {LABELS!r}", got)
    return rows


def _name(split: _RawSplit, row: object) -> str:
    """An id as text; its parts, such as video and segment, are joined as MMSA joins them."""
    if isinstance(row, int | np.integer):
        return str(row)
    parts = row.reshape(-1)[:8].tolist() if isinstance(row, np.ndarray) else [row]
    texts = [str(p, "utf-8", "replace") if isinstance(p, bytes) else p for p in parts if isinstance(p, str | bytes)]
    if not parts or len(texts) < len(parts):
        raise split.wrong("id", "names as text", f"one of type {_kind(row)}", "store a str per sample")
    return "$_$".join(texts)


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


# Features.


@dataclass
class _Part:
    """One modality of one split.

    Attributes:
        frames: Finite features [N, T, D].
        filled: Where a frame was not all zeros [N, T].
        given: Number of valid frames [N], where the file tells it.
        mended: How many values were -inf, +inf and NaN.
    """

    frames: NDArray[np.float32]
    filled: NDArray[np.bool_]
    given: NDArray[np.int64] | None
    mended: NDArray[np.int64]

    def margins(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many frames are zero before the first filled one and after the last; all of them where none is filled."""
        empty, frames = ~self.filled.any(axis=1), self.filled.shape[1]
        before, after = self.filled.argmax(axis=1), self.filled[:, ::-1].argmax(axis=1)
        return np.where(empty, frames, before), np.where(empty, frames, after)

    def lengths(self) -> NDArray[np.int64]:
        """Number of valid frames [N] of features that are padded at the back."""
        return self.filled.shape[1] - self.margins()[1] if self.given is None else self.given

    def front_votes(self) -> int:
        """How many more samples look padded at the front than at the back."""
        frames, (before, after) = self.filled.shape[1], self.margins()
        if self.given is None:
            return int(((before > 0) & (after == 0)).sum() - ((after > 0) & (before == 0)).sum())
        padding = frames - self.given
        padded = (padding > 0) & (before < frames)
        back = padded & (after >= padding)
        return int((padded & ~back & (before >= padding)).sum() - back.sum())

    def shift(self) -> int:
        """Moves padding from the front to the back; returns the number of samples that had any."""
        padding = self.margins()[0] if self.given is None else self.filled.shape[1] - self.given
        rows = np.flatnonzero((padding > 0) & self.filled.any(axis=1))
        for row in rows:
            self.frames[row] = np.roll(self.frames[row], -padding[row], axis=0)
            self.filled[row] = np.roll(self.filled[row], -padding[row])
        if self.given is None:
            # A zero frame at the end is a frame here, unlike in a file that pads there.
            self.given = self.filled.shape[1] - padding
        return len(rows)

    def clear_padding(self) -> int:
        """Sets all frames beyond the length to zero; returns the number of those that were not."""
        beyond = np.arange(self.filled.shape[1]) >= self.lengths()[:, None]
        self.frames[beyond] = 0
        return int((beyond & self.filled).sum())


def _part(split: _RawSplit, modality: str, count: int) -> _Part:
    """Takes one modality out of a split, as float32."""
    array = split.numbers(modality, count)
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise split.wrong(modality, "shape [N, T, D] or [N, D], nowhere 0", f"shape {array.shape}")
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is mended as such
        frames = array.astype(np.float32, order="C").reshape(count, -1, array.shape[-1])
    filled: NDArray[np.bool_] = np.any(frames, axis=2)
    mended = _mend(frames)
    return _Part(frames, filled, _given_lengths(split, modality, filled), mended)


def _mend(frames: NDArray[np.float32]) -> NDArray[np.int64]:
    """Sets what is not finite to zero, in place; returns how many values were -inf, +inf and NaN."""
    counts = np.zeros(3, np.int64)
    for sample in frames:  # one at a time, since masks of a whole split are large
        bad = ~np.isfinite(sample)
        if bad.any():
            values = sample[bad]
            counts += [(values == -np.inf).sum(), (values == np.inf).sum(), np.isnan(values).sum()]
            sample[bad] = 0
    return counts


def _given_lengths(split: _RawSplit, modality: str, filled: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Number of valid frames [N] as the file tells it: by a key of its own, or for text by the attention mask."""
    (count, frames), key = filled.shape, f"{modality}_lengths"
    if split.content.get(key) is None:
        return _mask_lengths(split, filled) if modality == "text" and "text_bert" in split.content else None
    given = split.numbers(key, count)
    if given.size != count:
        raise split.wrong(key, "one length per sample", f"shape {given.shape}")
    given = given.reshape(-1)
    bad = np.flatnonzero(~((given >= 0) & (given <= frames) & (given == np.floor(given))))
    if len(bad):
        expected = f"whole lengths from 0 to {frames}, the frames of {modality!r}"
        raise split.wrong(key, expected, f"{given[bad[0]]} in row {bad[0]} ({len(bad)} such in all)")
    return given.astype(np.int64)


def _mask_lengths(split: _RawSplit, filled: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Lengths from the attention mask, where it can belong to these features and they do not tell it themselves.

    Tokens of `text_bert` may be others than those of the features, so zero padding in the features has precedence.
    """
    tokens = split.numbers("text_bert", len(filled))
    padded = not (filled[:, 0].all() and filled[:, -1].all())
    if padded or tokens.shape != (len(filled), 3, filled.shape[1]):
        return None
    lengths: NDArray[np.int64] = tokens[:, 1].sum(axis=1).astype(np.int64)
    plain = tokens[:, 1] == (np.arange(filled.shape[1]) < lengths[:, None])  # ones, then zeros
    return lengths if plain.all() and lengths.min() > 0 else None


def _check_widths(splits: Iterable[_RawSplit], modality: str, parts: list[_Part]) -> None:
    width = parts[0].frames.shape[2]
    for split, part in zip(splits, parts, strict=True):
        if part.frames.shape[2] != width:
            raise split.wrong(modality, f"width {width} as in {SPLITS[0]!r}", str(part.frames.shape[2]))


def _finish(modality: str, parts: list[_Part]) -> list[str]:
    """Pads all splits at the back; returns what had to be mended, a sentence each."""
    notes = []
    low, high, nan = np.sum([p.mended for p in parts], axis=0)
    if low + high + nan:
        notes.append(
            f"{modality}: {low + high + nan} values were not finite ({low} -inf, {high} +inf, {nan} NaN) and were set "
            "to 0."
        )
    if sum(p.front_votes() for p in parts) > 0:
        moved = sum(p.shift() for p in parts)
        notes.append(f"{modality}: {moved} samples were padded at the front; their padding was moved to the back.")
    cleared = sum(p.clear_padding() for p in parts)
    if cleared:
        notes.append(f"{modality}: {cleared} frames beyond the given length were not zero and were set to 0.")
    return notes
