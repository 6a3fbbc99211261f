"""Pickles as MAG-BERT reads them: `{"train" | "dev" | "test": [((words, visual, acoustic), label, segment), ...]}`.

    words                    T strings
    visual, acoustic         [T, D], one frame per word
    label                    a number, alone or in an array
    segment                  name of the sample, such as `video[3]`

There are words and no features of text, so the modality is absent until they are encoded.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.padding import padded
from qamoe_bench.data.readers.mmsa import three_splits
from qamoe_bench.data.source import LABELS, RawSplit, Source, kind_of, leaves

FORMAT = "MAG-BERT pickle"
REMEDY = "write each sample as ((words, visual, acoustic), label, segment)"
NOTE = "text: the file has words and no features of them; 'data encode' makes some, and --fine-tune reads words."


def matches(content: object) -> bool:
    """Whether the splits that there are are lists of tuples."""
    splits = [content[n] for n in (*SPLITS, "dev") if n in content] if isinstance(content, dict) else []
    return bool(splits) and all(isinstance(s, list | tuple) for s in splits) and any(map(_is_tuples, splits))


def _is_tuples(samples: Sequence[object]) -> bool:
    return isinstance(samples[0], tuple) if samples else False


def read(path: Path, content: object) -> Source:
    """The splits of a file.

    Raises:
        BenchError: The content is not in this layout; names file, split and row.
    """
    splits = [_split(path, name, found) for name, found in three_splits(path, content).items()]
    return Source(FORMAT, path, tuple(splits), (NOTE,))


def _split(path: Path, name: str, samples: object) -> RawSplit:
    split = RawSplit(path, name, {}, path.stat().st_size, REMEDY)
    if not isinstance(samples, list | tuple) or not samples:
        raise split.wrong("samples", "a list of samples", kind_of(samples))
    if leaves(samples, 5) > split.size:
        raise split.wrong("samples", "samples of their own", "the same ones again and again", "store each once")
    parts = [_sample(split, row, sample) for row, sample in enumerate(samples)]
    split.content["raw_text"] = [words for words, *_ in parts]
    split.content["vision"] = padded(split, "visual", [visual for _, visual, *_ in parts])
    split.content["audio"] = padded(split, "acoustic", [acoustic for _, _, acoustic, *_ in parts])
    for modality in ("vision", "audio"):
        split.content[f"{modality}_lengths"] = np.array([len(visual) for _, visual, *_ in parts])
    split.content[LABELS] = np.array([label for *_, label, _ in parts])
    split.content["id"] = [segment for *_, segment in parts]
    return split


_Sample = tuple[str, NDArray[np.float32], NDArray[np.float32], float, object]


def _sample(split: RawSplit, row: int, sample: Any) -> _Sample:
    match sample:
        case ((words, visual, acoustic), label, segment) if isinstance(words, list | tuple | np.ndarray):
            said = [_word(split, row, word) for word in words]
            seen, heard = (_frames(split, row, k, x) for k, x in (("visual", visual), ("acoustic", acoustic)))
            if not len(seen) == len(heard) == len(said):
                got = f"{len(seen)} and {len(heard)} in row {row}"
                raise split.wrong("visual and acoustic", f"a frame for each of {len(said)} words", got)
            return " ".join(said), seen, heard, _label(split, row, label), segment
    raise split.wrong("samples", "((words, visual, acoustic), label, segment)", f"another thing in row {row}")


def _word(split: RawSplit, row: int, word: object) -> str:
    if isinstance(word, bytes):
        return word.decode("utf-8", "replace")
    if isinstance(word, str):
        return str(word)
    raise split.wrong("words", "text", f"{kind_of(word)} in row {row}")


def _frames(split: RawSplit, row: int, key: str, value: object) -> NDArray[np.float32]:
    array = _numbers(value)
    if array is None or array.ndim != 2 or not array.shape[1]:
        got = kind_of(value) if array is None else f"shape {array.shape}"
        raise split.wrong(key, "numbers in shape [T, D]", f"{got} in row {row}")
    with np.errstate(over="ignore"):  # becomes infinite, and is mended as such
        return array.astype(np.float32)


def _label(split: RawSplit, row: int, value: object) -> float:
    array = _numbers([value] if isinstance(value, int | float) else value)
    if array is None or array.size != 1:
        got = kind_of(value) if array is None else f"shape {array.shape}"
        raise split.wrong("label", "one number", f"{got} in row {row}", "keep the sentiment only")
    return float(array.reshape(-1)[0])


def _numbers(value: object) -> NDArray[Any] | None:
    """An array of numbers, or one that a short list makes; None where it is neither."""
    if isinstance(value, list | tuple) and len(value) == 1 and isinstance(value[0], int | float):
        try:
            value = np.asarray(value, np.float64)
        except OverflowError:
            return None
    return value if isinstance(value, np.ndarray) and value.dtype.kind in "fiu" else None
