"""From what a file holds to a data set: finite frames, padded at the back with exact zeros, whatever the file did.

What had to be mended is said in the notes of the data set.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qamoe_bench.data.dataset import SPLITS, Dataset, Split
from qamoe_bench.data.digest import content_digest
from qamoe_bench.data.names import sample_names, sentences
from qamoe_bench.data.source import LABELS, RawSplit, Source
from qamoe_bench.vocabulary import MODALITIES

Frames = NDArray[np.floating[Any]]


def cleaned(source: Source, name: str) -> Dataset:
    """The data set in a file; its `notes` tell what had to be mended.

    Raises:
        BenchError: Something cannot be mended; names file, split and key.
    """
    raw, notes = source.splits, [*source.notes]
    targets = {s.name: _labels(s) for s in raw}
    ids = {s.name: sample_names(s, len(targets[s.name]), notes) for s in raw}
    texts = {s.name: sentences(s, len(targets[s.name])) for s in raw}
    tokens = {s.name: _tokens(s, len(targets[s.name])) for s in raw}
    features: dict[str, dict[str, torch.Tensor]] = {name: {} for name in SPLITS}
    lengths: dict[str, dict[str, torch.Tensor]] = {name: {} for name in SPLITS}
    for modality in _modalities(raw):  # one at a time, so that the file's arrays can go before the next ones come
        parts = [_part(s, modality, len(targets[s.name]), tokens[s.name]) for s in raw]
        _check_widths(raw, modality, parts)
        notes += _finish(modality, parts)
        for split, part in zip(SPLITS, parts, strict=True):
            features[split][modality] = torch.from_numpy(part.frames)
            lengths[split][modality] = torch.from_numpy(part.lengths())
    splits = {
        n: Split(ids[n], torch.from_numpy(targets[n]), features[n], lengths[n], texts[n], _tensor(tokens[n]))
        for n in SPLITS
    }
    label_range = _label_range(targets.values())
    return Dataset(name, splits, content_digest(splits, label_range), label_range, tuple(notes))


def _tensor(tokens: NDArray[np.int32] | None) -> torch.Tensor | None:
    return None if tokens is None else torch.from_numpy(tokens)


def _modalities(splits: Iterable[RawSplit]) -> tuple[str, ...]:
    """What all splits have, in canonical order."""
    found = {s.name: tuple(m for m in MODALITIES if m in s.content) for s in splits}
    for split in splits:
        for m in MODALITIES:
            if m not in found[split.name] and any(m in others for others in found.values()):
                raise split.wrong(
                    m, "the same modalities in every split", "none here", "add it here or remove it there"
                )
    return found[SPLITS[0]]


# Labels and tokens.


def _labels(split: RawSplit) -> NDArray[np.float32]:
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


def _tokens(split: RawSplit, count: int) -> NDArray[np.int32] | None:
    """Token ids, attention mask and segments [N, 3, L], where the file has them in this shape."""
    if split.content.get("text_bert") is None:
        return None
    tokens = split.numbers("text_bert", count)
    whole = tokens.ndim == 3 and tokens.shape[1] == 3 and bool((np.abs(tokens) < 2**31).all())
    return tokens.astype(np.int32) if whole else None


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

    frames: Frames
    filled: NDArray[np.bool_]
    given: NDArray[np.int64] | None
    mended: NDArray[np.int64]

    def margins(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """How many frames are zero before the first filled one and after the last; all of them where none is filled."""
        return margins(self.filled)

    def lengths(self) -> NDArray[np.int64]:
        """Number of valid frames [N] of features that are padded at the back."""
        return self.filled.shape[1] - self.margins()[1] if self.given is None else self.given

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


def margins(filled: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many frames [N] are zero before the first filled one and after the last, where `filled` [N, T] is false."""
    empty, frames = ~filled.any(axis=1), filled.shape[1]
    before, after = filled.argmax(axis=1), filled[:, ::-1].argmax(axis=1)
    return np.where(empty, frames, before), np.where(empty, frames, after)


def front_votes(filled: NDArray[np.bool_], given: NDArray[np.int64] | None) -> int:
    """How many more samples look padded at the front than at the back."""
    frames, (before, after) = filled.shape[1], margins(filled)
    if given is None:
        return int(((before > 0) & (after == 0)).sum() - ((after > 0) & (before == 0)).sum())
    padding = frames - given
    padded = (padding > 0) & (before < frames)
    back = padded & (after >= padding)
    return int((padded & ~back & (before >= padding)).sum() - back.sum())


def _part(split: RawSplit, modality: str, count: int, tokens: NDArray[np.int32] | None) -> _Part:
    """Takes one modality out of a split, as float16 where it is that, else as float32."""
    array = split.numbers(modality, count)
    if array.ndim not in (2, 3) or 0 in array.shape:
        raise split.wrong(modality, "shape [N, T, D] or [N, D], nowhere 0", f"shape {array.shape}")
    kind = np.float16 if array.dtype == np.float16 else np.float32
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, and is mended as such
        frames: Frames = np.asarray(array.astype(kind, order="C")).reshape(count, -1, array.shape[-1])
    filled: NDArray[np.bool_] = np.any(frames, axis=2)
    mended = _mend(frames)
    return _Part(frames, filled, _given_lengths(split, modality, filled, tokens), mended)


def _mend(frames: Frames) -> NDArray[np.int64]:
    """Sets what is not finite to zero, in place; returns how many values were -inf, +inf and NaN."""
    counts = np.zeros(3, np.int64)
    for sample in frames:  # one at a time, since masks of a whole split are large
        bad = ~np.isfinite(sample)
        if bad.any():
            values = sample[bad]
            counts += [(values == -np.inf).sum(), (values == np.inf).sum(), np.isnan(values).sum()]
            sample[bad] = 0
    return counts


def _given_lengths(
    split: RawSplit, modality: str, filled: NDArray[np.bool_], tokens: NDArray[np.int32] | None
) -> NDArray[np.int64] | None:
    """Number of valid frames [N] as the file tells it: by a key of its own, or for text by the attention mask."""
    (count, frames), key = filled.shape, f"{modality}_lengths"
    if split.content.get(key) is None:
        return _mask_lengths(tokens, filled) if modality == "text" and tokens is not None else None
    given = split.numbers(key, count)
    if given.size != count:
        raise split.wrong(key, "one length per sample", f"shape {given.shape}")
    given = given.reshape(-1)
    bad = np.flatnonzero(~((given >= 0) & (given <= frames) & (given == np.floor(given))))
    if len(bad):
        expected = f"whole lengths from 0 to {frames}, the frames of {modality!r}"
        raise split.wrong(key, expected, f"{given[bad[0]]} in row {bad[0]} ({len(bad)} such in all)")
    return given.astype(np.int64)


def _mask_lengths(tokens: NDArray[np.int32], filled: NDArray[np.bool_]) -> NDArray[np.int64] | None:
    """Lengths from the attention mask, where it can belong to these features and they do not tell it themselves.

    Tokens of `text_bert` may be others than those of the features, so zero padding in the features has precedence.
    """
    padded = not (filled[:, 0].all() and filled[:, -1].all())
    if padded or tokens.shape[2] != filled.shape[1]:
        return None
    lengths: NDArray[np.int64] = tokens[:, 1].sum(axis=1).astype(np.int64)
    plain = tokens[:, 1] == (np.arange(filled.shape[1]) < lengths[:, None])  # ones, then zeros
    return lengths if plain.all() and lengths.min() > 0 else None


def _check_widths(splits: Iterable[RawSplit], modality: str, parts: list[_Part]) -> None:
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
    if sum(front_votes(p.filled, p.given) for p in parts) > 0:
        moved = sum(p.shift() for p in parts)
        notes.append(f"{modality}: {moved} samples were padded at the front; their padding was moved to the back.")
    cleared = sum(p.clear_padding() for p in parts)
    if cleared:
        notes.append(f"{modality}: {cleared} frames beyond the given length were not zero and were set to 0.")
    return notes
