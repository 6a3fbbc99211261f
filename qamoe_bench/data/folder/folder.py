"""The suite's own format: a folder of arrays that are mapped and not loaded, with a manifest that vouches for them.

    manifest.json                       format, schema, name, digest, label range, notes, and what each file must hold
    <split>.labels.npy                  [N] float32
    <split>.<modality>.npy              [N, T, D] float16 or float32, padded at the back with exact zeros
    <split>.<modality>_lengths.npy      [N] int64
    <split>.text_bert.npy               [N, 3, L] int32, where known
    <split>.id.json, raw_text.json      lists of N strings; the second where known

`qamoe-bench data convert` writes it. Every byte is checked against the manifest when a folder is opened, in blocks, so
that a data set may be larger than memory; names of files come from here and not from the manifest.
"""

import hashlib
import json
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qamoe_bench.data.dataset import SPLITS, Dataset, Split
from qamoe_bench.data.digest import digest_of_facts, dtype_of
from qamoe_bench.data.folder.mapped import MappedArrays
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES

FORMAT = "qamoe-bench data set"
MANIFEST = "manifest.json"
SCHEMA = 1
BLOCK = 2**24
LARGEST_TEXT = 2**28  # bytes of a JSON file
TOKENS = "text_bert"
NPY = b"\x93NUMPY\x01\x00"
HEADER = re.compile(
    NPY + rb"..\{'descr': '([<|\w]+)', 'fortran_order': (True|False), 'shape': (\([\d, ]*\)), \} *\n", re.DOTALL
)
REMEDY = "convert the original file again with 'qamoe-bench data convert'"


def file_name(split: str, key: str, kind: str) -> str:
    """The file of an array (`npy`) or of a list of strings (`json`)."""
    return f"{split}.{key}.{kind}"


def read(folder: Path) -> Dataset:
    """The data set in a folder, its features mapped from their files.

    Raises:
        BenchError: It is not in this format, not whole, or not what its manifest says.
    """
    try:
        return _Reader(folder).dataset()
    except OSError as error:
        where = error.filename or folder
        raise BenchError(f"{where}: expected a readable file, got {error.strerror}; {REMEDY}") from error


class _Reader:
    """Reads a folder, believing nothing that it has not checked."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manifest = self._json(MANIFEST, None)
        if not isinstance(self._manifest, dict) or self._manifest.get("format") != FORMAT:
            raise self._wrong(MANIFEST, f"format {FORMAT!r}", "another")
        schema = self._manifest.get("schema")
        if type(schema) is not int or schema > SCHEMA:
            raise self._wrong(MANIFEST, f"schema {SCHEMA} or older", f"{schema!r:.20}", "update qamoe-bench to read it")

    def dataset(self) -> Dataset:
        """All of it."""
        splits, facts = {}, {}
        for name in SPLITS:
            splits[name], facts[name] = self._split(name)
        if len({tuple(s.features) for s in splits.values()}) > 1:
            raise self._wrong(MANIFEST, "the same modalities in every split", "others")
        if len({tuple(x.shape[2] for x in s.features.values()) for s in splits.values()}) > 1:
            raise self._wrong(MANIFEST, "the same widths in every split", "others")
        low, high = self._numbers("label_range", 2)
        token_ids = self._told("token_ids", dict)
        if not all(m in MODALITIES and type(n) is int for m, n in token_ids.items()):
            raise self._wrong(MANIFEST, "token ids by modality", f"{token_ids!r:.60}")
        for split in splits.values():
            if not bool(((split.target >= low) & (split.target <= high)).all()):
                raise self._wrong(MANIFEST, f"labels from {low:g} to {high:g}", "others")
        if self._told("digest", str) != digest_of_facts(facts, splits, (low, high), token_ids):
            raise self._wrong(MANIFEST, "the digest of this content", "another")
        notes = tuple(str(note)[:500] for note in self._told("notes", list))
        name = self._told("name", str)[:100]
        return Dataset(name, splits, self._told("digest", str), (low, high), notes, token_ids=token_ids)

    def _split(self, name: str) -> tuple[Split, dict[str, Any]]:
        told = self._about(self._told("splits", dict), name)
        arrays, texts = (self._about(told, kind) for kind in ("arrays", "texts"))
        modalities = [m for m in MODALITIES if m in arrays]
        labels = self._load(name, "labels", self._fact(name, arrays, "labels", ("float32",), 1))
        lengths, features = {}, MappedArrays()
        for m in modalities:
            fact = self._fact(name, arrays, m, ("float16", "float32"), 3)
            lengths[m] = self._load(name, f"{m}_lengths", self._fact(name, arrays, f"{m}_lengths", ("int64",), 1))
            if len(lengths[m]) != fact.shape[0] or not bool(((lengths[m] >= 0) & (lengths[m] <= fact.shape[1])).all()):
                raise self._wrong(file_name(name, f"{m}_lengths", "npy"), f"lengths to {fact.shape[1]}", "others")
            file = file_name(name, m, "npy")
            features.add(m, self._folder / file, self._check(file, fact, lengths[m].numpy()), fact.dtype, fact.shape)
        tokens = None
        if TOKENS in arrays:
            tokens = self._load(name, TOKENS, self._fact(name, arrays, TOKENS, ("int32",), 3))
        ids, raw_text = self._texts(name, "id", texts), self._texts(name, "raw_text", texts)
        counts = {len(labels), len(ids), *(len(n) for n in lengths.values()), len(raw_text) or len(ids)}
        if len(counts | ({len(tokens)} if tokens is not None else set())) > 1 or len({*ids}) < len(ids):
            raise self._wrong(MANIFEST, f"equally many samples with ids of their own in {name!r}", "others")
        if not modalities:
            raise self._wrong(MANIFEST, f"features in {name!r}", "none")
        known = ("labels", *modalities, *(f"{m}_lengths" for m in modalities), *([TOKENS] if TOKENS in arrays else []))
        return Split(ids, labels, features, lengths, raw_text, tokens), {key: arrays[key] for key in known}

    # The manifest.

    def _told(self, key: str, kind: type) -> Any:
        value = self._manifest.get(key)
        if type(value) is not kind:
            raise self._wrong(MANIFEST, f"a {kind.__name__} {key!r}", type(value).__name__)
        return value

    def _about(self, told: Mapping[str, Any], key: str) -> dict[str, Any]:
        value = told.get(key)
        if not isinstance(value, dict):
            raise self._wrong(MANIFEST, f"an object {key!r}", type(value).__name__)
        return value

    def _numbers(self, key: str, count: int) -> list[float]:
        value = self._told(key, list)
        if len(value) != count or not all(type(n) in (int, float) and abs(n) <= 3 for n in value):
            raise self._wrong(MANIFEST, f"{count} numbers from -3 to 3 as {key!r}", f"{value!r:.60}")
        return [float(n) for n in value]

    def _fact(self, split: str, arrays: Mapping[str, Any], key: str, dtypes: tuple[str, ...], rank: int) -> "_Fact":
        told = self._about(arrays, key)
        dtype, shape, digest = (told.get(k) for k in ("dtype", "shape", "sha256"))
        whole = isinstance(shape, list) and len(shape) == rank and all(type(n) is int and 0 < n < 2**40 for n in shape)
        if dtype not in dtypes or not whole or not isinstance(digest, str) or len(told) != 3:
            raise self._wrong(MANIFEST, f"dtype, shape and sha256 of {split}.{key}", f"{told!r:.80}")
        return _Fact(dtype_of(dtype), tuple(shape), digest)  # type: ignore[arg-type]  # checked above

    # The files.

    def _open(self, file: str) -> BinaryIO:
        path = self._folder / file
        if not stat.S_ISREG(path.lstat().st_mode):
            raise self._wrong(file, "a file of its own", "a link or something else")
        return path.open("rb")

    def _json(self, file: str, digest: str | None) -> Any:
        with self._open(file) as opened:
            content = opened.read(LARGEST_TEXT + 1)
        if len(content) > LARGEST_TEXT:
            raise self._wrong(file, f"at most {LARGEST_TEXT} bytes", "more")
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            raise self._wrong(file, "the SHA-256 that the manifest tells", "another")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._wrong(file, "JSON", "something else or a part of it") from error

    def _texts(self, split: str, key: str, told: Mapping[str, Any]) -> tuple[str, ...]:
        if key not in told and key != "id":
            return ()
        file = file_name(split, key, "json")
        texts = self._json(file, str(told.get(key)))
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise self._wrong(file, "a list of strings", "something else")
        return tuple(texts)

    def _load(self, split: str, key: str, fact: "_Fact") -> Tensor:
        file = file_name(split, key, "npy")
        offset = self._check(file, fact, None)
        with self._open(file) as opened:
            opened.seek(offset)
            content = bytearray(opened.read())
        return torch.frombuffer(content, dtype=fact.dtype).reshape(fact.shape)

    def _check(self, file: str, fact: "_Fact", lengths: NDArray[Any] | None) -> int:
        """Check a whole array, block by block; returns where its values begin in the file."""
        with self._open(file) as opened:
            offset = self._header(file, opened, fact)
            if (self._folder / file).lstat().st_size != offset + fact.bytes:
                raise self._wrong(file, f"{offset + fact.bytes} bytes", f"{(self._folder / file).lstat().st_size}")
            digest, row = hashlib.sha256(), fact.bytes // fact.shape[0]
            step = max(1, BLOCK // row)
            for start in range(0, fact.shape[0], step):
                block = opened.read(row * min(step, fact.shape[0] - start))
                digest.update(block)
                if fact.dtype.is_floating_point:
                    values = np.frombuffer(block, fact.numpy).reshape(-1, *fact.shape[1:])
                    self._check_values(file, values, None if lengths is None else lengths[start : start + step])
        if digest.hexdigest() != fact.sha256:
            raise self._wrong(file, "the SHA-256 that the manifest tells", "another")
        return offset

    def _header(self, file: str, opened: BinaryIO, fact: "_Fact") -> int:
        """Check what stands in front of the values; returns where they begin."""
        size = int.from_bytes(opened.read(len(NPY) + 2)[len(NPY) :], "little")
        opened.seek(0)
        match = HEADER.fullmatch(opened.read(len(NPY) + 2 + size))  # NumPy's own parser fails in many ways
        if match is None:
            raise self._wrong(file, "an array as NumPy stores it", "something else")
        descr, order, shape = (group.decode() for group in match.groups())
        if (descr, order, shape) != (fact.numpy.str, "False", f"{fact.shape}"):
            got = f"{descr:.40} in shape {shape:.60}"
            raise self._wrong(file, f"{fact.numpy.str} in shape {fact.shape}, row after row", got)
        return opened.tell()

    def _check_values(self, file: str, values: NDArray[Any], lengths: NDArray[Any] | None) -> None:
        if not np.isfinite(values).all():
            raise self._wrong(file, "finite numbers", "others")
        if lengths is not None and values[np.arange(values.shape[1]) >= lengths[:, None]].any():
            raise self._wrong(file, "zeros from each sample's length on", "others")

    def _wrong(self, file: str, expected: str, got: str, remedy: str = REMEDY) -> BenchError:
        return BenchError(f"{self._folder / file}: expected {expected}, got {got}; {remedy}")


@dataclass(frozen=True)
class _Fact:
    """What the manifest tells of an array."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    sha256: str

    @property
    def numpy(self) -> np.dtype[Any]:
        """The type as it is stored."""
        return np.dtype(str(self.dtype).removeprefix("torch.")).newbyteorder("<")

    @property
    def bytes(self) -> int:
        """How many the values take."""
        return self.numpy.itemsize * torch.Size(self.shape).numel()
