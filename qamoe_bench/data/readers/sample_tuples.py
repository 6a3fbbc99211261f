"""Lists of samples by split, `{"train" | "dev" | "test": [(parts, label, segment), ...]}`, in the field's four forms.

    parts    (words, visual, acoustic)                              MAG-BERT, ITHP, MIB: a frame per word
             (word ids, visual, acoustic, words)                    MISA: aligned, and empty where nothing was seen
             (word ids, visual, acoustic, words, v_len, a_len)      MMIM, BBFN, UniMSE: lengths of their own
             (words, visual, acoustic, ...)                         CENet: four more columns of ids
    words                    T strings
    visual, acoustic         [T, D]
    label                    a number, alone or in an array, the name of a class, or CMU-MOSEI's seven columns
    segment                  name of the sample, such as `video[3]`

The files contain words but no text features, so the modality is absent until the words are encoded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.contents import Contents
from qamoe_bench.data.padding import padded
from qamoe_bench.data.readers.splits import splits_present, three_splits
from qamoe_bench.data.source import LABELS, RawSplit, Source, count_leaves, is_list, kind_of

FORMAT = "pickle of samples"
_FORMATS = {3: "MAG-BERT pickle", 4: "MISA pickle", 6: "MMIM pickle", 7: "CENet pickle"}
_REMEDY = "write each sample as ((words, visual, acoustic), label, segment)"

NO_TEXT_FEATURES = (
    "text: the data have words but no features of them; 'data encode' adds some, --fine-tune reads words."
)

# A split is nested as [sample][part][modality][word], and numbers or letters lie below.
_MAX_NESTING = 5

# Columns of CMU-MOSEI's labels: sentiment and six emotions.
_MOSEI_COLUMNS = 7


def matches(value: object) -> bool:
    """Whether all splits are sequences, and the first sample of at least one is a sequence too."""
    splits = list(splits_present(value).values())
    if not splits or not all(isinstance(split, list | tuple) for split in splits):
        return False
    return any(bool(split) and isinstance(split[0], tuple | list) for split in splits)  # type: ignore[index]


def read(contents: Contents) -> Source:
    """The splits of a file.

    Raises:
        BenchError: The content is not in this layout; the message names file, split and row.
    """
    parts, notes = three_splits(contents)
    events = _Events()
    splits = [_split(contents, name, samples, events) for name, samples in parts.items()]
    notes += [NO_TEXT_FEATURES, *events.notes()]
    return Source(_FORMATS.get(events.parts, FORMAT), contents.path, tuple(splits), tuple(notes))


@dataclass
class _Events:
    """Counts of what reading had to decide, over all splits.

    Attributes:
        parts: Number of parts of a sample.
        cut_lengths: Stored lengths that exceed the frames.
        ids: Whether samples have word ids or other columns of ids.
    """

    parts: int = 0
    cut_lengths: int = 0
    ids: bool = False

    def notes(self) -> list[str]:
        """One sentence for each kind that occurred."""
        notes = []
        if self.ids:
            notes.append("Not read: word ids and other columns of ids, which are no features.")
        if self.cut_lengths:
            notes.append(f"{self.cut_lengths} stored lengths exceed the frames and were cut.")
        return notes


@dataclass(frozen=True)
class _Sample:
    """One sample: words joined by spaces, features [T, D], label (a number, a name or seven columns) and name."""

    words: str
    visual: NDArray[np.float32]
    acoustic: NDArray[np.float32]
    label: float | str | NDArray[Any]
    segment: object


def _split(contents: Contents, name: str, samples: object, events: _Events) -> RawSplit:
    split = RawSplit(contents.path, name, {}, contents.size, _REMEDY)
    if not isinstance(samples, list | tuple) or not samples:
        raise split.wrong("samples", "a list of samples", kind_of(samples))
    # A pickle can refer to one sample thousands of times, which would fill the memory once padded.
    if count_leaves(samples, _MAX_NESTING) > split.size:
        raise split.wrong("samples", "different samples", "the same ones many times", "store each once")
    parsed = [_sample(split, row, sample, events) for row, sample in enumerate(samples)]
    split.content["raw_text"] = [sample.words for sample in parsed]
    _add_features(split, "vision", [sample.visual for sample in parsed])
    _add_features(split, "audio", [sample.acoustic for sample in parsed])
    split.content[LABELS] = _labels(split, [sample.label for sample in parsed])
    split.content["id"] = [sample.segment for sample in parsed]
    return split


def _add_features(split: RawSplit, modality: str, sequences: Sequence[NDArray[np.float32]]) -> None:
    split.content[modality] = padded(split, modality, sequences)  # (N, T, D)
    split.content[f"{modality}_lengths"] = np.array([len(frames) for frames in sequences])  # (N,)


def _sample(split: RawSplit, row: int, sample: Any, events: _Events) -> _Sample:
    match sample:
        case (list() | tuple() as parts, label, segment) if len(parts) in _FORMATS:
            pass
        case (list() | tuple() as parts, *_) if len(parts) > max(_FORMATS):
            raise split.wrong("samples", _REMEDY, f"{len(parts)} arrays per sample, as in CubeMLP's files", _CHOOSE)
        case _:
            raise split.wrong("samples", "((words, visual, acoustic), label, segment)", f"something else in row {row}")
    words, others = _words(split, row, parts)
    events.parts = max(events.parts, len(parts))
    events.ids = events.ids or any(len(other) for other in others)
    visual = _frames(split, row, "visual", parts[1])
    acoustic = _frames(split, row, "acoustic", parts[2])
    if len(parts) == 6:
        visual = _cut(split, row, "v_len", visual, parts[4], events)
        acoustic = _cut(split, row, "a_len", acoustic, parts[5], events)
    if len(parts) == 3 and not len(visual) == len(acoustic) == len(words):
        got = f"{len(visual)} and {len(acoustic)} in row {row}"
        raise split.wrong("visual and acoustic", f"a frame for each of {len(words)} words", got)
    return _Sample(" ".join(words), visual, acoustic, _label(split, row, label), segment)


_CHOOSE = "choose one array of each modality, and write each sample as ((words, visual, acoustic), label, segment)"


def _words(split: RawSplit, row: int, parts: Sequence[Any]) -> tuple[list[str], list[Any]]:
    """The words of a sample, and its columns of ids."""
    place = 3 if len(parts) in (4, 6) else 0
    words = parts[place]
    if not is_list(words):
        raise split.wrong("words", "a list of words", f"{kind_of(words)} in row {row}")
    others = [part for i, part in enumerate(parts) if i not in (place, 1, 2) and is_list(part)]
    return [_word(split, row, word) for word in words], others


def _word(split: RawSplit, row: int, word: object) -> str:
    if isinstance(word, bytes):
        return word.decode("utf-8", "replace")
    if isinstance(word, str):
        return str(word)  # a plain string if it is an instance of a subclass
    raise split.wrong("words", "text", f"{kind_of(word)} in row {row}")


def _frames(split: RawSplit, row: int, key: str, value: object) -> NDArray[np.float32]:
    """Features [T, D] of one sample; without values if it lacks the modality."""
    array = _numbers(value)
    if array is not None and array.size == 0:
        return np.zeros((0, 0), np.float32)
    if array is None or array.ndim != 2:
        got = kind_of(value) if array is None else f"shape {array.shape}"
        raise split.wrong(key, "numbers in shape [T, D]", f"{got} in row {row}")
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and cleaning sets them to zero
        return array.astype(np.float32)


def _cut(
    split: RawSplit, row: int, key: str, frames: NDArray[np.float32], stored: object, events: _Events
) -> NDArray[np.float32]:
    """The frames up to the stored length."""
    array = _numbers([stored] if isinstance(stored, int | float) else stored)
    if array is None or array.size != 1 or not array.reshape(-1)[0] >= 0:
        raise split.wrong(key, "a length", f"{kind_of(stored)} in row {row}")
    length = float(array.reshape(-1)[0])
    events.cut_lengths += length > len(frames)
    return frames[: int(min(length, len(frames)))]


def _labels(split: RawSplit, labels: Sequence[float | str | NDArray[Any]]) -> NDArray[Any]:
    """The labels of a split [N], or [N, 7]."""
    sizes = {np.size(label) for label in labels}
    if len(sizes) > 1:
        raise split.wrong("label", "as many columns in each row", " and ".join(map(str, sorted(sizes))), _SENTIMENT)
    return np.array(labels)


def _label(split: RawSplit, row: int, value: object) -> float | str | NDArray[Any]:
    if isinstance(value, str | bytes):
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    array = _numbers([value] if isinstance(value, int | float) else value)
    if array is None or array.size not in (1, _MOSEI_COLUMNS):
        got = kind_of(value) if array is None else f"shape {array.shape}"
        raise split.wrong("label", "a number, a name, or sentiment and emotions", f"{got} in row {row}", _SENTIMENT)
    return float(array.reshape(-1)[0]) if array.size == 1 else array.reshape(-1)


_SENTIMENT = "store one label per sample"


def _numbers(value: object) -> NDArray[Any] | None:
    """An array of numbers, also from a list of one number or of none; None for anything else."""
    if isinstance(value, list | tuple) and len(value) <= 1 and all(isinstance(item, int | float) for item in value):
        try:
            value = np.asarray(value, np.float64)
        except OverflowError:  # an integer beyond float64
            return None
    return value if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" else None
