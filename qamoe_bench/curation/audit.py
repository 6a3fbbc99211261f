"""Looking at a data file: what is in it, what reading mends, and what it leaves as it is."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.cleaning import front_votes, margins
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.known import known_file
from qamoe_bench.data.names import written_names
from qamoe_bench.data.open import as_dataset, format_of, read
from qamoe_bench.data.source import RawSplit
from qamoe_bench.vocabulary import MODALITIES

BLOCK = 256  # samples that are looked at together
FEW_SAMPLES = 100


@dataclass(frozen=True)
class Features:
    """One modality of one split, as the file has it; shares are of frames, lengths are those that reading finds.

    Attributes:
        split: Name of the split.
        modality: Name of the modality.
        shape: As stored.
        dtype: As stored.
        shortest: Fewest valid frames of a sample that has the modality.
        median: Valid frames of the sample in the middle.
        longest: Most valid frames.
        absent: Samples without the modality.
        nan: Share of frames with a value that is not a number.
        infinite: Share of frames with an infinite value.
        zero: Share of frames of nothing but zeros.
        padding: Where zeros stand: `back`, `front` or `none`.
    """

    split: str
    modality: str
    shape: tuple[int, ...]
    dtype: str
    shortest: int
    median: float
    longest: int
    absent: int
    nan: float
    infinite: float
    zero: float
    padding: str


@dataclass(frozen=True)
class Labels:
    """The labels of one split.

    Attributes:
        split: Name of the split.
        samples: How many.
        mean: Their mean.
        zero: How many are exactly 0, which count in some metrics and not in others.
        histogram: How many are nearest to each point of the scale, by that point.
    """

    split: str
    samples: int
    mean: float
    zero: int
    histogram: Mapping[str, int]


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        path: The file or folder.
        format: What kind of file it is.
        known: What the field calls it, where it is one that is shared, by its SHA-256.
        name: What tables call it.
        digest: What identifies its content.
        label_range: The scale of the labels.
        features: Modality by modality and split by split.
        labels: Split by split.
        raw_text: Whether words are known.
        notes: What reading decides and mends, one sentence each.
        warnings: What reading leaves as it is, and what to do about it, one sentence each.
    """

    path: str
    format: str
    known: str
    name: str
    digest: str
    label_range: tuple[float, float]
    features: tuple[Features, ...]
    labels: tuple[Labels, ...]
    raw_text: bool
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    def record(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def audit(path: Path) -> Audit:
    """Look at what lies at a path.

    Raises:
        BenchError: It cannot be read as a data set.
    """
    found = read(path)
    raw = [] if isinstance(found, Dataset) else [_stored(split, m) for split in found.splits for m in _has(split)]
    named = [] if isinstance(found, Dataset) else [(split, split.content.get("id")) for split in found.splits]
    kind = format_of(found)
    data = as_dataset(found)
    ids = {name: split.ids for name, split in data.splits.items()}
    ids |= {s.name: tuple(written_names(s, value, len(ids[s.name]))) for s, value in named if value is not None}
    stored = raw or [_mapped(data, split, m) for split in data.splits for m in data.splits[split].modalities]
    known = known_file(path) if path.is_file() else None
    return Audit(
        path=str(path),
        format=kind,
        known=known.title if known else "",
        name=data.name,
        digest=data.digest,
        label_range=data.label_range,
        features=tuple(_with_lengths(part, data) for part in stored),
        labels=tuple(_labels(data, name) for name in data.splits),
        raw_text=all(split.raw_text for split in data.splits.values()),
        notes=data.notes,
        warnings=tuple(_warnings(data, ids, numbered=any(value is None for _, value in named))),
    )


# Features.


def _has(split: RawSplit) -> list[str]:
    return [m for m in MODALITIES if m in split.content]


def _stored(split: RawSplit, modality: str) -> Features:
    """What the file has, looked at in a copy, so that it can still be read."""
    array = replace(split, content=dict(split.content)).numbers(modality)
    lengths = split.content.get(f"{modality}_lengths")
    given = np.asarray(lengths).reshape(-1) if isinstance(lengths, list | tuple | np.ndarray) else None
    if given is not None and (given.dtype.kind not in "fiu" or len(given) != len(array)):
        given = None  # reading says what is wrong with them
    shape, width = array.shape, array.shape[-1] if array.ndim > 1 else 1
    frames = array.reshape(len(array), -1, max(1, width)) if array.size else array.reshape(len(array), 0, 1)
    return _facts(split.name, modality, shape, array.dtype, lambda rows: np.asarray(frames[rows]), given)


def _mapped(data: Dataset, split: str, modality: str) -> Features:
    part = data.splits[split]
    like = part.features[modality]
    dtype = np.dtype(str(like.dtype).removeprefix("torch."))
    return _facts(
        split, modality, tuple(like.shape), dtype,
        lambda rows: np.asarray(part.features[modality][rows].numpy()), part.lengths[modality].numpy(),
    )  # fmt: skip


def _facts(
    split: str,
    modality: str,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    block: Callable[[slice], NDArray[Any]],
    given: NDArray[Any] | None,
) -> Features:
    filled, counts, frames = list[NDArray[np.bool_]](), np.zeros(3), 0
    for start in range(0, shape[0], BLOCK):
        x = block(slice(start, start + BLOCK))
        some = np.asarray(np.any(x, axis=2))
        infinite, nan = (np.any(test(x), axis=2).sum() for test in (np.isinf, np.isnan))
        counts += [nan, infinite, (~some).sum()]
        frames += some.size
        filled.append(some)
    nan, infinite, zero = (counts / max(frames, 1)).tolist()
    padding = _padding(np.concatenate(filled), given)
    return Features(split, modality, shape, str(dtype), 0, 0.0, 0, 0, nan, infinite, zero, padding)


def _padding(filled: NDArray[np.bool_], given: NDArray[Any] | None) -> str:
    if not filled.size:
        return "none"
    lengths = None if given is None else np.clip(np.nan_to_num(given), 0, filled.shape[1]).astype(np.int64)
    if front_votes(filled, lengths) > 0:
        return "front"
    return "back" if bool((margins(filled)[1] > 0).any()) else "none"


def _with_lengths(part: Features, data: Dataset) -> Features:
    lengths = data.splits[part.split].lengths[part.modality].numpy()
    there = lengths[lengths > 0]
    if not len(there):
        return replace(part, absent=len(lengths))
    return replace(
        part,
        shortest=int(there.min()), median=float(np.median(there)), longest=int(there.max()),
        absent=int((lengths == 0).sum()),
    )  # fmt: skip


# Labels.


def _labels(data: Dataset, name: str) -> Labels:
    target, high = data.splits[name].target.double().numpy(), data.label_range[1]
    points = np.linspace(-high, high, 7 if high > 1 else 5)
    nearest = np.abs(target[:, None] - points).argmin(1)
    histogram = {f"{point:g}": int((nearest == i).sum()) for i, point in enumerate(points)}
    return Labels(name, len(target), float(target.mean()), int((target == 0).sum()), histogram)


# What a user should know.


def _warnings(data: Dataset, ids: Mapping[str, Sequence[str]], *, numbered: bool) -> Iterable[str]:
    if numbered:
        ids = {}
        yield "there are no ids: samples that are in two splits cannot be found."
    videos = {name: {v for v in map(_video, names) if v} for name, names in ids.items()}
    for name, names in ids.items():
        if twice := [n for n, count in Counter(names).items() if count > 1]:
            yield f"{name}: {_few(twice, 'id')} more than once; look for samples that are there twice."
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        if both := sorted({*ids.get(first, ())} & {*ids.get(second, ())}):
            yield f"{first} and {second} share {_few(both, 'id')}; remove them from one, or results are too good."
        elif both := sorted(videos.get(first, set()) & videos.get(second, set())):
            yield (
                f"{first} and {second} share {_few(both, 'video')}: a model may know the speaker; split by video, or "
                "say so with results."
            )
    for name, split in data.splits.items():
        if len(split) < FEW_SAMPLES:
            yield f"{name}: {len(split)} samples are few; differences between models will hardly be found."
        nothing = sum((n == 0).int() for n in split.lengths.values()) == len(split.lengths)
        if count := int(nothing.sum()):  # type: ignore[union-attr]  # a sum of tensors
            yield f"{name}: {count} samples have no modality at all; remove them, for they can only be guessed."
    for m, std in data.spec.feature_std.items():
        mean = data.spec.feature_mean[m]
        if count := int(((std == 1) & (mean == data.splits["train"].features[m][0, 0].float())).sum()):
            yield f"{m}: {count} of {len(std)} dimensions are the same in every frame of train, and tell nothing."


def _video(name: str) -> str:
    """The video of a sample's name, as in `video$_$3` and `video[3]`; empty where it tells none."""
    if "$_$" in name:
        return name.partition("$_$")[0]
    match = re.fullmatch(r"(.+)\[\d+\]", name)
    return match[1] if match else ""


def _few(names: Sequence[str], kind: str) -> str:
    shown = ", ".join(name[:40] for name in names[:3])
    return f"{len(names)} {kind}{'s' if len(names) > 1 else ''} ({shown}{', ...' if len(names) > 3 else ''})"
