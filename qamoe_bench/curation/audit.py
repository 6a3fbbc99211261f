"""Inspection of a data file: its content as stored, repairs made by reading, and problems that remain.

Dimension legend: N samples, B samples of a block, T frames, D features of a frame.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.contract import label_indicators
from qamoe_bench.curation.audit_warnings import warnings_about
from qamoe_bench.data.dataset import SAMPLES_AT_ONCE, SPLITS, Dataset
from qamoe_bench.data.features import front_votes, margins
from qamoe_bench.data.known import known_file
from qamoe_bench.data.label_columns import stored_labels
from qamoe_bench.data.labels import take_labels
from qamoe_bench.data.names import are_row_numbers, stored_names
from qamoe_bench.data.open import as_dataset, format_of, read
from qamoe_bench.data.options import DEFAULT_READING, ReadingOptions
from qamoe_bench.data.source import LABELS, RawSplit, Source, is_list
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES, Task


@dataclass(frozen=True)
class FeatureFacts:
    """One modality of one split: shapes and shares of frames as stored, lengths as in the clean data set.

    Attributes:
        split: Name of the split.
        modality: Name of the modality.
        shape: Shape of the stored array.
        dtype: Type of the stored array.
        shortest: Smallest number of valid frames of a sample that has the modality.
        median: Median number of valid frames of these samples.
        longest: Largest number of valid frames.
        absent: Number of samples that lack the modality.
        nan: Share of frames with a value that is not a number.
        infinite: Share of frames with an infinite value.
        zero: Share of frames in which all values are zero.
        padding: Position of the padding: `back`, `front` or `none`.
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
class LabelFacts:
    """The labels of one split.

    Attributes:
        split: Name of the split.
        samples: Number of labels.
        mean: Mean label; None for classes, as the next one.
        zero: Number of labels that are exactly 0, which some metrics include and others exclude.
        histogram: Number of labels that are nearest to each point of the scale; of classes or several labels, the
            number of samples of each by its name.
    """

    split: str
    samples: int
    mean: float | None
    zero: int | None
    histogram: Mapping[str, int]


@dataclass(frozen=True)
class Audit:
    """The result of inspecting a data file.

    Attributes:
        path: The file or folder, or the name of embedded data.
        format: Name of the file format.
        known: Title of the known file with this SHA-256; empty if there is none.
        name: Name of the data set, used in tables.
        digest: SHA-256 that identifies its content, in hex; empty with a defect.
        task: What a label says.
        label_range: Lowest and highest label of the annotation scale; with a defect those of the labels as stored, or
            None if they are no numbers, and for classes, which have no scale.
        features: Facts about the features of each split and modality.
        labels: Facts about the labels of each split; with a defect of the labels as stored, or none.
        raw_text: Whether all splits have transcripts.
        notes: Decisions and repairs made by reading, one sentence each.
        warnings: Problems that reading does not repair, with advice, one sentence each.
        defect: The error with which other commands refuse the labels; empty if they do not.
    """

    path: str
    format: str
    known: str
    name: str
    digest: str
    task: Task
    label_range: tuple[float, float] | None
    features: tuple[FeatureFacts, ...]
    labels: tuple[LabelFacts, ...]
    raw_text: bool
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    defect: str

    def record(self) -> dict[str, Any]:
        """The same as plain dicts, for JSON."""
        return asdict(self)


def audit(path: str | Path, options: ReadingOptions = DEFAULT_READING) -> Audit:
    """Inspect a data file or folder, or embedded data.

    Args:
        path: The file or folder, or the name of embedded data.
        options: How it is read.

    Raises:
        BenchError: It cannot be read as a data set, for other reasons than its labels.
    """
    content = read(path)
    path = Path(path)
    file_format = format_of(content)
    defect = ""
    if isinstance(content, Source):
        # Cleaning removes what it reads from the source to free its memory, so this is inspected before.
        stored = _stored_features(content)
        stored_ids = [split.content.get("id") for split in content.splits]
        numbers = [stored_labels(split) for split in content.splits]
        defect = _label_defect(content, options)
        data = _without_labels(content, defect) if defect else as_dataset(content, options)
        ids = _ids(content.splits, stored_ids)
    else:
        data = as_dataset(content, options)
        stored = _mapped_features(data)
        ids = {name: split.ids for name, split in data.splits.items()}
    known = known_file(path) if path.is_file() else None
    if defect:
        scale = _range_of(numbers)
        labels = _label_facts(numbers, scale)
    else:
        scale = data.label_range if data.task.is_regression else None
        labels = _facts_of_labels(data)
    return Audit(
        path=str(path),
        format=file_format,
        known=known.title if known else "",
        name=data.name,
        digest="" if defect else data.digest,
        task=data.task,
        label_range=scale,
        features=tuple(_with_lengths(features, data) for features in stored),
        labels=labels,
        raw_text=all(split.raw_text for split in data.splits.values()),
        notes=data.notes,
        warnings=tuple(warnings_about(data, ids)),
        defect=defect,
    )


def _label_defect(source: Source, options: ReadingOptions) -> str:
    """The error with which reading refuses the labels; empty if it does not. Removes nothing from the source."""
    copies = []
    for split in source.splits:
        # Names of samples are part of the message.
        content: dict[object, object] = {LABELS: split.content[LABELS], "id": split.content.get("id")}
        copies.append(replace(split, content=content))
    try:
        take_labels(copies, options, [], source.task)
    except BenchError as error:
        return str(error)
    return ""


def _without_labels(source: Source, defect: str) -> Dataset:
    """The data set with zeros in place of labels that cannot be read, to see whatever else is in the file.

    Raises:
        BenchError: The defect itself, if the number of samples is unknown, or if there are further defects.
    """
    for split in source.splits:
        value = split.content[LABELS]
        if not is_list(value) or np.ndim(value[:1]) < 1:
            raise BenchError(defect)
        split.content[LABELS] = np.zeros(len(value))
    try:
        return as_dataset(replace(source, task=None))
    except BenchError as error:
        raise BenchError(defect) from error


def _ids(splits: Sequence[RawSplit], stored_ids: Sequence[object]) -> dict[str, Sequence[str]] | None:
    """Ids of each split as stored, repetitions included; None if a split has none."""
    ids: dict[str, Sequence[str]] = {}
    for split, value in zip(splits, stored_ids, strict=True):
        if not is_list(value):  # cleaning accepts only these
            return None
        ids[split.name] = stored_names(split, value, len(value))
    # Splits that number their samples from zero share no sample.
    return None if all(are_row_numbers(names) for names in ids.values()) else ids


# Features.


def _stored_features(source: Source) -> list[FeatureFacts]:
    """Facts about all features in a file."""
    features = []
    for split in source.splits:
        features += [_stored_modality(split, m) for m in MODALITIES if m in split.content]
    return features


def _stored_modality(split: RawSplit, modality: str) -> FeatureFacts:
    # `numbers` removes what it reads, so it gets a shallow copy.
    array = replace(split, content=dict(split.content)).numbers(modality)
    width = array.shape[-1] if array.ndim > 1 else 1
    # Cleaning refuses an array without values, with a better message than NumPy's.
    shape = (len(array), -1, width) if array.size else (len(array), 0, 1)
    frames = array.reshape(shape)  # (N, T, D)
    lengths = _usable_lengths(split, modality, len(array))
    return _facts(split.name, modality, array, lambda rows: np.asarray(frames[rows]), lengths)


def _usable_lengths(split: RawSplit, modality: str, count: int) -> NDArray[Any] | None:
    """Stored lengths [N]; None if there are none, or if cleaning refuses them."""
    value = split.content.get(f"{modality}_lengths")
    if not is_list(value):
        return None
    lengths = np.asarray(value).reshape(-1)
    return lengths if lengths.dtype.kind in "fiu" and len(lengths) == count else None


def _mapped_features(data: Dataset) -> list[FeatureFacts]:
    """Facts about all features in a folder of our own format."""
    return [_mapped_modality(data, name, m) for name, split in data.splits.items() for m in split.modalities]


def _mapped_modality(data: Dataset, split: str, modality: str) -> FeatureFacts:
    part = data.splits[split]

    def block(rows: slice) -> NDArray[Any]:
        return np.asarray(part.features[modality][rows].numpy())

    return _facts(split, modality, part.features[modality].numpy(), block, part.lengths[modality].numpy())


def _facts(
    split: str,
    modality: str,
    stored: NDArray[Any],
    block: Callable[[slice], NDArray[Any]],
    lengths: NDArray[Any] | None,
) -> FeatureFacts:
    """Facts about an array, without lengths, which are known once the data set is clean; see `_with_lengths`.

    Args:
        split: Name of the split.
        modality: Name of the modality.
        stored: The stored array, of which only type and shape are used.
        block: Returns features [B, T, D] of some samples.
        lengths: Number of valid frames [N], if it is stored.
    """
    filled, nan, infinite = _frame_masks(block, len(stored))
    return FeatureFacts(
        split,
        modality,
        stored.shape,
        str(stored.dtype),
        *(0, 0.0, 0, 0),
        nan=_share(nan),
        infinite=_share(infinite),
        zero=_share(~filled),
        padding=_padding(filled, lengths),
    )


def _share(mask: NDArray[np.bool_]) -> float:
    return float(mask.sum()) / max(mask.size, 1)  # 0 if there are no frames


def _frame_masks(block: Callable[[slice], NDArray[Any]], count: int) -> list[NDArray[np.bool_]]:
    """Whether each frame is filled, has a NaN, and has an infinite value, three arrays [N, T].

    Blocks of samples are inspected one after another, because an array may be larger than memory.
    """
    filled, nan, infinite = [], [], []
    for start in range(0, count, SAMPLES_AT_ONCE):
        x = block(slice(start, start + SAMPLES_AT_ONCE))  # (B, T, D)
        filled.append(np.any(x, axis=2))  # (B, T)
        nan.append(np.any(np.isnan(x), axis=2))
        infinite.append(np.any(np.isinf(x), axis=2))
    return [np.concatenate(masks).astype(bool) for masks in (filled, nan, infinite)]


def _padding(filled: NDArray[np.bool_], lengths: NDArray[Any] | None) -> str:
    """The position of the padding, with the rules of cleaning.

    Args:
        filled: Whether a frame has any value other than zero [N, T].
        lengths: Number of valid frames [N] as stored, of any values.
    """
    if not filled.size:
        return "none"
    if lengths is not None:
        lengths = np.clip(np.nan_to_num(lengths), 0, filled.shape[1]).astype(np.int64)
    if front_votes(filled, lengths) > 0:
        return "front"
    _, after = margins(filled)
    return "back" if bool((after > 0).any()) else "none"


def _with_lengths(features: FeatureFacts, data: Dataset) -> FeatureFacts:
    """The same facts with the lengths of the clean data set."""
    lengths = data.splits[features.split].lengths[features.modality].numpy()  # (N,)
    present = lengths[lengths > 0]
    absent = int((lengths == 0).sum())
    if not len(present):
        return replace(features, absent=absent)
    return replace(
        features,
        shortest=int(present.min()),
        median=float(np.median(present)),
        longest=int(present.max()),
        absent=absent,
    )


# Labels.


def _range_of(stored: Sequence[NDArray[np.float64] | None]) -> tuple[float, float] | None:
    """Lowest and highest finite label of all splits; None if a split has no numbers."""
    finite = [numbers[np.isfinite(numbers)] for numbers in stored if numbers is not None]
    if len(finite) < len(stored) or not sum(map(len, finite)):
        return None
    everything = np.concatenate(finite)
    return float(everything.min()), float(everything.max())


def _label_facts(
    labels: Sequence[NDArray[np.float64] | None], scale: tuple[float, float] | None
) -> tuple[LabelFacts, ...]:
    """Facts about the labels of each split; none if they are no numbers.

    Args:
        labels: Labels of each split [N]; those that are not finite are not counted in mean and histogram.
        scale: Lowest and highest label.
    """
    if scale is None:
        return ()
    points = np.linspace(*scale, _points_of(scale))
    facts = []
    for name, numbers in zip(SPLITS, labels, strict=True):
        assert numbers is not None  # or there would be no scale
        finite = numbers[np.isfinite(numbers)]
        nearest = np.abs(finite[:, None] - points).argmin(1)  # (N,)
        histogram = {f"{point:g}": int((nearest == i).sum()) for i, point in enumerate(points)}
        mean = float(finite.mean()) if len(finite) else 0.0
        facts.append(LabelFacts(name, len(numbers), mean, int((finite == 0).sum()), histogram))
    return tuple(facts)


def _facts_of_labels(data: Dataset) -> tuple[LabelFacts, ...]:
    if not data.task.is_regression:
        return _class_facts(data)
    return _label_facts([split.target.double().numpy() for split in data.splits.values()], data.label_range)


def _class_facts(data: Dataset) -> tuple[LabelFacts, ...]:
    """Facts about the classes or labels of each split."""
    facts = []
    for name, split in data.splits.items():
        counts = label_indicators(split.target, data.task).sum(0).tolist()  # (C,)
        histogram = dict(zip(data.task.names, counts, strict=True))
        facts.append(LabelFacts(name, len(split), None, None, histogram))
    return tuple(facts)


def _points_of(scale: tuple[float, float]) -> int:
    """Points of the histogram: the whole steps of scales such as 1 to 5 and 1 to 7, centred or not."""
    width = scale[1] - scale[0]
    return 5 if width in (1, 2, 4) else 7  # steps of 0.5 on the scale of SIMS
