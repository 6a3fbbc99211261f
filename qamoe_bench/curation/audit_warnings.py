"""Warnings about problems of a data set that reading does not repair."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import torch

from qamoe_bench.data.dataset import Dataset

# Below this size, the difference between two models is rarely significant.
_FEW_SAMPLES = 100

# Names that a warning lists, and letters of each.
_MAX_LISTED = 3
_MAX_NAME_LETTERS = 40


def warnings_about(data: Dataset, ids: Mapping[str, Sequence[str]] | None) -> Iterator[str]:
    """Warnings with advice, one sentence each.

    Args:
        data: The clean data set.
        ids: Ids of each split as stored, repetitions included; None if the file has no ids.
    """
    if ids is None:
        yield "there are no ids, so samples that are in two splits cannot be detected."
    else:
        yield from _repeated_ids(ids)
        yield from _shared_ids(ids)
    yield from _sample_problems(data)
    yield from _constant_dimensions(data)


def _repeated_ids(ids: Mapping[str, Sequence[str]]) -> Iterator[str]:
    for split, names in ids.items():
        repeated = [name for name, count in Counter(names).items() if count > 1]
        if repeated:
            yield f"{split}: {_listing(repeated, 'id')} repeated; check for duplicate samples."


def _shared_ids(ids: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Warnings about leaks between splits: of samples, otherwise of videos and thereby of speakers."""
    for first, second in (("train", "valid"), ("train", "test"), ("valid", "test")):
        samples = sorted(set(ids[first]) & set(ids[second]))
        videos = sorted(_videos(ids[first]) & _videos(ids[second]))
        if samples:
            shared = _listing(samples, "id")
            yield f"{first} and {second} share {shared}; remove them from one, or results are too good."
        elif videos:
            yield (
                f"{first} and {second} share {_listing(videos, 'video')}: a model may know the speaker; split by "
                "video, or report it with the results."
            )


def _sample_problems(data: Dataset) -> Iterator[str]:
    for name, split in data.splits.items():
        if len(split) < _FEW_SAMPLES:
            yield f"{name}: {len(split)} samples are few; differences between models will rarely be significant."
        lengths = torch.stack(list(split.lengths.values()))  # (M, N)
        empty = int((lengths == 0).all(0).sum())
        if empty:
            yield f"{name}: {empty} samples have no modality at all; remove them, because they cannot be predicted."


def _constant_dimensions(data: Dataset) -> Iterator[str]:
    train = data.splits["train"]
    for m, std in data.spec.feature_std.items():
        # A constant dimension gets a deviation of 1, see `DataSpec`; its mean then equals any value of it.
        first_frame = train.features[m][0, 0].float()  # (D,)
        constant = int(((std == 1) & (data.spec.feature_mean[m] == first_frame)).sum())
        if constant:
            yield f"{m}: {constant} of {len(std)} dimensions are constant in train and carry no information."


def _videos(names: Sequence[str]) -> set[str]:
    """The videos of samples; names that contain no video are skipped."""
    return {video for video in map(_video, names) if video}


def _video(name: str) -> str:
    """The video in a name of the form `video$_$3` or `video[3]`; empty for other names."""
    if "$_$" in name:
        return name.partition("$_$")[0]
    segment = re.fullmatch(r"(.+)\[\d+\]", name)
    return segment[1] if segment else ""


def _listing(names: Sequence[str], kind: str) -> str:
    """Number and kind of some names, with the first of them."""
    plural = kind if len(names) == 1 else f"{kind}s"
    shown = ", ".join(name[:_MAX_NAME_LETTERS] for name in names[:_MAX_LISTED])
    more = ", ..." if len(names) > _MAX_LISTED else ""
    return f"{len(names)} {plural} ({shown}{more})"
