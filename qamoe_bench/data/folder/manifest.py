"""The manifest of a folder: what each file must contain, checked before anything else is read.

format, schema          FORMAT and a version; later versions are refused
name, digest            name and digest of the data set
label_range             lowest and highest label
task                    kind and names of `qamoe_bench.vocabulary.Task`; optional, regression without it
token_ids               modalities that hold token ids, see `DataSpec`
token_model             language model that made the stored tokens; optional
notes                   notes of the data set
splits.<split>.arrays   dtype, shape and sha256 of each array, by key
splits.<split>.texts    SHA-256 of each list of strings, by key
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from qamoe_bench.data.digest import ArrayFacts, dtype_name, dtype_of
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES, REGRESSION, Task

FORMAT = "qamoe-bench data set"
MANIFEST = "manifest.json"
MANIFEST_SCHEMA = 1
REMEDY = "convert the original file again with 'qamoe-bench data convert'"

# Bounds on text from an untrusted manifest.
_MAX_NAME_LETTERS = 100
_MAX_NOTE_LETTERS = 500

# Labels are stored in float32; no annotation scale comes near this bound.
_MAX_LABEL = 10**9

# Largest size of an axis; products of three such sizes do not fit into memory, so they fail the check of the file size.
_MAX_AXIS = 2**40


def file_name(split: str, key: str, suffix: str) -> str:
    """The file of an array (suffix `npy`) or of a list of strings (suffix `json`)."""
    return f"{split}.{key}.{suffix}"


def wrong_file(folder: Path, file: str, expected: str, got: str, remedy: str = REMEDY) -> BenchError:
    """The one-line error for a file of a folder."""
    return BenchError(f"{folder / file}: expected {expected}, got {got}; {remedy}")


@dataclass(frozen=True)
class ArrayFact:
    """Properties that an array must have.

    Attributes:
        dtype: Type of the values.
        shape: Shape of the array.
        sha256: Hash of the values in row-major order, little-endian, in hex.
    """

    dtype: torch.dtype
    shape: tuple[int, ...]
    sha256: str

    @property
    def stored_dtype(self) -> np.dtype[Any]:
        """The type of the values in the file."""
        return np.dtype(dtype_name(self.dtype)).newbyteorder("<")

    @property
    def bytes(self) -> int:
        """Size of the values in bytes."""
        return self.stored_dtype.itemsize * torch.Size(self.shape).numel()


class FolderManifest:
    """A manifest whose values are checked when they are read.

    Args:
        folder: The folder, for error messages.
        content: The parsed JSON, of any type.

    Raises:
        BenchError: The content is of another format or of a later schema.
    """

    def __init__(self, folder: Path, content: Any) -> None:
        self._folder = folder
        if not isinstance(content, dict) or content.get("format") != FORMAT:
            raise self.wrong(f"format {FORMAT!r}", "another")
        schema = content.get("schema")
        if type(schema) is not int or schema > MANIFEST_SCHEMA:
            expected = f"schema {MANIFEST_SCHEMA} or older"
            raise self.wrong(expected, f"{schema!r:.20}", "update qamoe-bench to read it")
        self._content: dict[str, Any] = content

    def wrong(self, expected: str, got: str, remedy: str = REMEDY) -> BenchError:
        """The one-line error for the manifest."""
        return wrong_file(self._folder, MANIFEST, expected, got, remedy)

    @property
    def name(self) -> str:
        """Name of the data set."""
        return str(self._value("name", str))[:_MAX_NAME_LETTERS]

    @property
    def digest(self) -> str:
        """Digest of the content."""
        return str(self._value("digest", str))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes of the data set."""
        return tuple(str(note)[:_MAX_NOTE_LETTERS] for note in self._value("notes", list))

    @property
    def label_range(self) -> tuple[float, float]:
        """Lowest and highest label, two finite numbers in ascending order."""
        numbers = self._value("label_range", list)
        is_range = len(numbers) == 2 and all(type(n) in (int, float) and abs(n) < _MAX_LABEL for n in numbers)
        if not (is_range and numbers[0] < numbers[1]):
            raise self.wrong("2 numbers in ascending order as 'label_range'", f"{numbers!r:.60}")
        low, high = numbers
        return float(low), float(high)

    @property
    def task(self) -> Task:
        """What a label says."""
        if "task" not in self._content:
            return REGRESSION
        task = self._value("task", dict)
        kind = task.get("kind")
        names = task.get("names")
        is_list = isinstance(names, list) and all(isinstance(name, str) and name for name in names)
        if kind not in ("classes", "multi-label") or not is_list or not 2 <= len(set(names)) == len(names):
            raise self.wrong("a kind of task and at least 2 different names as 'task'", f"{task!r:.60}")
        return Task(kind, tuple(name[:_MAX_NAME_LETTERS] for name in names))

    @property
    def token_ids(self) -> dict[str, int]:
        """Modalities that hold token ids."""
        token_ids: dict[str, int] = self._value("token_ids", dict)
        if not all(m in MODALITIES and type(n) is int for m, n in token_ids.items()):
            raise self.wrong("token ids by modality", f"{token_ids!r:.60}")
        return token_ids

    @property
    def token_model(self) -> str:
        """Language model that made the stored tokens; empty if the manifest names none."""
        return str(self._content.get("token_model", ""))[:_MAX_NAME_LETTERS]

    def split(self, name: str) -> "SplitManifest":
        """The part about one split."""
        split = self.member(self._value("splits", dict), name)
        return SplitManifest(self, name, self.member(split, "arrays"), self.member(split, "texts"))

    def member(self, parent: Mapping[str, Any], key: str) -> dict[str, Any]:
        """A member of an object that must be an object itself."""
        value = parent.get(key)
        if not isinstance(value, dict):
            raise self.wrong(f"an object {key!r}", type(value).__name__)
        return value

    def _value(self, key: str, kind: type) -> Any:
        value = self._content.get(key)
        if type(value) is not kind:  # `isinstance` would take `true` for a number
            raise self.wrong(f"a {kind.__name__} {key!r}", type(value).__name__)
        return value


@dataclass(frozen=True)
class SplitManifest:
    """The part of a manifest about one split.

    Attributes:
        manifest: The manifest.
        name: Name of the split.
        arrays: Facts of each array by key, unchecked; see `array`.
        texts: SHA-256 of each list of strings by key, unchecked.
    """

    manifest: FolderManifest
    name: str
    arrays: Mapping[str, ArrayFacts]
    texts: Mapping[str, Any]

    def array(self, key: str, dtypes: Sequence[str], rank: int) -> ArrayFact:
        """The facts of an array, which must have one of some types and a number of axes."""
        facts = self.manifest.member(self.arrays, key)
        dtype = facts.get("dtype")
        shape = facts.get("shape")
        digest = facts.get("sha256")
        is_complete = len(facts) == 3 and dtype in dtypes and isinstance(digest, str) and _is_shape(shape, rank)
        if not is_complete:
            raise self.manifest.wrong(f"dtype, shape and sha256 of {self.name}.{key}", f"{facts!r:.80}")
        return ArrayFact(dtype_of(str(dtype)), tuple(shape or ()), str(digest))


def _is_shape(value: object, rank: int) -> bool:
    """Whether a value from JSON is a shape with this number of axes, none of them empty."""
    return isinstance(value, list) and len(value) == rank and all(type(n) is int and 0 < n < _MAX_AXIS for n in value)
