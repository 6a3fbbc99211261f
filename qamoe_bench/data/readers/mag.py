"""Pickles as MAG-BERT reads them: `{"train" | "dev" | "test": [((words, visual, acoustic), label, segment), ...]}`.

    words                    T strings
    visual, acoustic         [T, D], one frame per word
    label                    a number, alone or in an array
    segment                  name of the sample, such as `video[3]`

The files contain words but no text features, so the modality is absent until the words are encoded.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.padding import padded
from qamoe_bench.data.readers.mmsa import splits_present, three_splits
from qamoe_bench.data.source import LABELS, RawSplit, Source, count_leaves, kind_of

FORMAT = "MAG-BERT pickle"
_REMEDY = "write each sample as ((words, visual, acoustic), label, segment)"

NO_TEXT_FEATURES = (
    "text: the data have words but no features of them; 'data encode' adds some, --fine-tune reads words."
)

# A split is nested as [sample][part][modality][word], and numbers or letters lie below.
_MAX_NESTING = 5


def matches(content: object) -> bool:
    """Whether all splits are sequences, and the first sample of at least one is a tuple."""
    splits = splits_present(content)
    if not splits or not all(isinstance(split, list | tuple) for split in splits):
        return False
    return any(bool(split) and isinstance(split[0], tuple) for split in splits)  # type: ignore[index]  # checked above


def read(path: Path, content: object) -> Source:
    """The splits of a file.

    Raises:
        BenchError: The content is not in this layout; the message names file, split and row.
    """
    splits = [_split(path, name, samples) for name, samples in three_splits(path, content).items()]
    return Source(FORMAT, path, tuple(splits), (NO_TEXT_FEATURES,))


@dataclass(frozen=True)
class _Sample:
    """One sample: words joined by spaces, features [T, D] with a frame per word, label and name."""

    words: str
    visual: NDArray[np.float32]
    acoustic: NDArray[np.float32]
    label: float
    segment: object


def _split(path: Path, name: str, samples: object) -> RawSplit:
    split = RawSplit(path, name, {}, path.stat().st_size, _REMEDY)
    if not isinstance(samples, list | tuple) or not samples:
        raise split.wrong("samples", "a list of samples", kind_of(samples))
    # A pickle can refer to one sample thousands of times, which would fill the memory once padded.
    if count_leaves(samples, _MAX_NESTING) > split.size:
        raise split.wrong("samples", "different samples", "the same ones many times", "store each once")
    parsed = [_sample(split, row, sample) for row, sample in enumerate(samples)]
    lengths = np.array([len(sample.visual) for sample in parsed])  # (N,)
    split.content["raw_text"] = [sample.words for sample in parsed]
    split.content["vision"] = padded(split, "visual", [sample.visual for sample in parsed])  # (N, T, D)
    split.content["audio"] = padded(split, "acoustic", [sample.acoustic for sample in parsed])  # (N, T, D)
    split.content["vision_lengths"] = lengths
    split.content["audio_lengths"] = lengths
    split.content[LABELS] = np.array([sample.label for sample in parsed])
    split.content["id"] = [sample.segment for sample in parsed]
    return split


def _sample(split: RawSplit, row: int, sample: Any) -> _Sample:
    match sample:
        case ((words, visual, acoustic), label, segment) if isinstance(words, list | tuple | np.ndarray):
            text = [_word(split, row, word) for word in words]
            visual_frames = _frames(split, row, "visual", visual)
            acoustic_frames = _frames(split, row, "acoustic", acoustic)
            if not len(visual_frames) == len(acoustic_frames) == len(text):
                got = f"{len(visual_frames)} and {len(acoustic_frames)} in row {row}"
                raise split.wrong("visual and acoustic", f"a frame for each of {len(text)} words", got)
            return _Sample(" ".join(text), visual_frames, acoustic_frames, _label(split, row, label), segment)
    raise split.wrong("samples", "((words, visual, acoustic), label, segment)", f"something else in row {row}")


def _word(split: RawSplit, row: int, word: object) -> str:
    if isinstance(word, bytes):
        return word.decode("utf-8", "replace")
    if isinstance(word, str):
        return str(word)  # a plain string if it is an instance of a subclass
    raise split.wrong("words", "text", f"{kind_of(word)} in row {row}")


def _frames(split: RawSplit, row: int, key: str, value: object) -> NDArray[np.float32]:
    """Features [T, D] of one sample."""
    array = _numbers(value)
    if array is None or array.ndim != 2 or not array.shape[1]:
        got = kind_of(value) if array is None else f"shape {array.shape}"
        raise split.wrong(key, "numbers in shape [T, D]", f"{got} in row {row}")
    with np.errstate(over="ignore"):  # values beyond float32 become infinite, and cleaning sets them to zero
        return array.astype(np.float32)


def _label(split: RawSplit, row: int, value: object) -> float:
    array = _numbers([value] if isinstance(value, int | float) else value)
    if array is None or array.size != 1:
        got = kind_of(value) if array is None else f"shape {array.shape}"
        raise split.wrong("label", "one number", f"{got} in row {row}", "keep the sentiment only")
    return float(array.reshape(-1)[0])


def _numbers(value: object) -> NDArray[Any] | None:
    """An array of numbers, also from a list of one number; None for anything else."""
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], int | float):
        try:
            value = np.asarray(value, np.float64)
        except OverflowError:  # an integer beyond float64
            return None
    return value if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" else None
