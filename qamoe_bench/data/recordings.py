"""Samples that data files hold in a corrupted state, joined by id with the clean samples of a split.

A file may have any layout that the readers know. Its frames are placed as in the clean data: as many as a sample has
there, without padding, whichever side the file pads at.

Dimension legend: N samples, T frames, D feature width.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.labels import take_labels
from qamoe_bench.data.names import sample_names
from qamoe_bench.data.open import read
from qamoe_bench.data.options import ReadingOptions
from qamoe_bench.data.source import RawSplit
from qamoe_bench.errors import BenchError
from qamoe_bench.protocol.kinds import FILES
from qamoe_bench.protocol.level_files import LevelFile
from qamoe_bench.protocol.spec import Protocol
from qamoe_bench.vocabulary import MODALITIES

KEPT_BYTES = 2**30
"""Joined features are kept up to this size; the file of an earlier level is then read again."""
LABEL_TOLERANCE = 1e-4


@dataclass(frozen=True)
class _Samples:
    """Samples of a file, before they are joined.

    Attributes:
        rows: Part and row of each sample, by id.
        targets: Labels of each part [N].
        features: Features of each part by modality [N, T, D], padded at either side; arrays or tensors.
    """

    rows: Mapping[str, tuple[int, int]]
    targets: list[NDArray[np.float32]]
    features: list[Mapping[str, Any]]


class Recordings:
    """The frames that files hold for the samples of one split.

    Attributes:
        split: The clean samples.
    """

    def __init__(self, data: Dataset, split: str) -> None:
        """Prepare; a file is read when its frames are first asked for.

        Args:
            data: The clean data.
            split: Name of the split.
        """
        self._reading = data.reading
        self.split = data.splits[split]
        self._where = f"{split} samples of {data.name!r}"
        self._kept: OrderedDict[str, dict[str, Tensor]] = OrderedDict()

    def frames(self, file: LevelFile, modality: str) -> Float[Tensor, "N T D"]:
        """The frames of all samples in a file, in the order and shape of the clean split.

        Raises:
            BenchError: If the file has changed, or does not hold these samples with these shapes and labels.
        """
        if file.sha256 not in self._kept:
            file.check()
            self._kept[file.sha256] = _joined(file, self.split, self._reading, self._where)
            while len(self._kept) > 1 and sum(map(_bytes, self._kept.values())) > KEPT_BYTES:
                self._kept.popitem(last=False)
        features = self._kept[file.sha256]
        if modality not in features:
            raise BenchError(
                f"level file {file.path}: expected {modality}, which the protocol takes from it, got "
                f"{', '.join(features) or 'no modality of the data'}; leave it out with 'modalities' in the protocol"
            )
        return features[modality]


def recorded_corruption(protocol: Protocol, data: Dataset, recordings: Recordings) -> list[str]:
    """What the files of a protocol do to the samples, a sentence per file and modality; reads every file once.

    Args:
        protocol: The protocol.
        data: The clean data.
        recordings: Of the test split.

    Raises:
        BenchError: See `Recordings.frames`.
    """
    sentences = []
    for corruption in protocol.corruptions:
        if corruption["kind"] != FILES:
            continue
        modalities = [m for m in corruption["levels"] if m in data.spec.modalities]
        for level, digest in corruption["options"].items():
            file = protocol.files[digest]
            for m in modalities:
                effect = _effect(recordings, file, m, data.reference.std[m])
                sentences.append(f"level {float(level):g}, {Path(file.path).name}: {effect}.")
    return sentences


def _effect(recordings: Recordings, file: LevelFile, modality: str, std: Float[Tensor, " D"]) -> str:
    """The share of valid frames that differ, the share that is zero only in the file, and the energy of the rest."""
    split = recordings.split
    valid = split.batch().mask(modality)  # (N, T)
    new = recordings.frames(file, modality)
    differs = 0
    zeroed = 0
    energy = 0.0
    # Sample by sample, because the features may be mapped from a file that is larger than memory.
    for clean, frames, mask in zip(split.frames(modality), new, valid, strict=True):
        change = (frames - clean.float())[mask]  # (valid frames, D)
        lost = ((clean != 0).any(1) & (frames == 0).all(1))[mask]
        differs += int((change != 0).any(1).sum())
        zeroed += int(lost.sum())
        energy += float((change[~lost] / std).square().mean(1).sum())
    count = max(int(valid.sum()), 1)
    return (
        f"{differs / count:.1%} of the frames of {modality} differ from the clean data, {zeroed / count:.1%} are zero, "
        f"and the energy of the other differences is {energy / max(count - zeroed, 1):.3g} σ_ref² a frame"
    )


def _bytes(features: Mapping[str, Tensor]) -> int:
    return sum(x.nbytes for x in features.values())


def _joined(file: LevelFile, split: Split, reading: ReadingOptions, where: str) -> dict[str, Tensor]:
    """The features of a file in the order and shape of a split."""
    samples = _read(Path(file.path), reading)
    missing = [name for name in split.ids if name not in samples.rows]
    if missing:
        raise BenchError(
            f"level file {file.path}: expected all {len(split)} {where}, got {len(split) - len(missing)} of them "
            f"without {missing[0]!r}; add them, under the ids of the clean data"
        )
    places = [samples.rows[name] for name in split.ids]
    target = np.array([samples.targets[part][row] for part, row in places], np.float32)
    wrong = np.flatnonzero(~(np.abs(target - split.target.numpy()) <= LABEL_TOLERANCE))
    if len(wrong):
        raise BenchError(
            f"level file {file.path}: expected the labels of the clean data, got {target[wrong[0]]:g} for "
            f"{split.ids[wrong[0]]!r} instead of {float(split.target[wrong[0]]):g} ({len(wrong)} such in all); give "
            "the file that was made from these data"
        )
    return {
        m: _placed(file, split, m, [features[m] for features in samples.features], places)
        for m in split.modalities
        if all(m in features for features in samples.features)
    }


def _read(path: Path, reading: ReadingOptions) -> _Samples:
    """The samples of all splits of a file."""
    content = read(path)
    if isinstance(content, Dataset):
        splits = content.splits.values()
        names = [split.ids for split in splits]
        targets = [split.target.numpy() for split in splits]
        features: list[Mapping[str, Any]] = [split.features for split in splits]
    else:
        values = take_labels(content.splits, reading, [], content.task).values
        targets = [values[raw.name] for raw in content.splits]
        names = [sample_names(raw, len(t), []) for raw, t in zip(content.splits, targets, strict=True)]
        features = [_features(raw, len(t)) for raw, t in zip(content.splits, targets, strict=True)]
    rows: dict[str, tuple[int, int]] = {}
    for part, of_part in enumerate(names):
        for row, name in enumerate(of_part):
            rows[name] = (part, row)
    return _Samples(rows, targets, features)


def _features(raw: RawSplit, count: int) -> dict[str, NDArray[Any]]:
    features = {}
    for m in MODALITIES:
        if m in raw.content:
            array = raw.numbers(m, count)
            if array.ndim not in (2, 3) or 0 in array.shape:
                raise raw.wrong(m, "shape [N, T, D] or [N, D] without an axis of size 0", f"shape {array.shape}")
            features[m] = array.reshape(count, -1, array.shape[-1])
    return features


def _placed(
    file: LevelFile, split: Split, modality: str, parts: list[NDArray[Any]], places: list[tuple[int, int]]
) -> Float[Tensor, "N T D"]:
    """One modality in the shape of the clean split, finite, with exact zeros beyond the lengths."""
    clean = split.features[modality]
    width = clean.shape[2]
    if parts[0].shape[2] != width:
        raise BenchError(
            f"level file {file.path}: expected a width of {width} for {modality}, as in the clean data, got "
            f"{parts[0].shape[2]}; extract it in the same way"
        )
    lengths = split.lengths[modality].tolist()
    samples = [np.asarray(parts[part][row]) for part, row in places]  # views, (T, D) each
    at_front = _padded_at_front(file, split, modality, samples, lengths)
    placed = np.zeros(tuple(clean.shape), np.float32)
    for target, x, length in zip(placed, samples, lengths, strict=True):
        with np.errstate(over="ignore"):  # values beyond float32 are infinite, and not finite ones become 0
            frames = (x[len(x) - length :] if at_front else x[:length]).astype(np.float32)
        target[:length] = np.nan_to_num(frames, nan=0.0, posinf=0.0, neginf=0.0)
    return torch.from_numpy(placed)


def _padded_at_front(
    file: LevelFile, split: Split, modality: str, samples: Sequence[NDArray[Any]], lengths: Sequence[int]
) -> bool:
    """Whether a file pads at the front, which all its samples decide together: a corruption may zero any frames."""
    outside = np.array([_outside(x, length) for x, length in zip(samples, lengths, strict=True)])  # (N, 2)
    at_front = bool(outside[:, 0].sum() > outside[:, 1].sum())
    wrong = np.flatnonzero(outside[:, 1 if at_front else 0])
    if len(wrong):
        row = int(wrong[0])
        raise BenchError(
            f"level file {file.path}: expected {lengths[row]} frames of {modality} in {split.ids[row]!r}, as in the "
            f"clean data, and zeros elsewhere, got others ({len(wrong)} such samples); corrupt the frames of the clean "
            "data, and add or cut none"
        )
    return at_front


def _outside(x: NDArray[Any], length: int) -> tuple[bool, bool]:
    """Whether frames lie outside of a sample if the padding is at the back, and if it is at the front."""
    filled = np.asarray(x.any(axis=1))  # (T,)
    too_short = len(x) < length
    return bool(too_short or filled[length:].any()), bool(too_short or filled[: len(x) - length].any())
