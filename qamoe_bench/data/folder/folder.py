"""Reading the project's own format: a folder of arrays that are mapped, not loaded, with a manifest of their hashes.

    manifest.json                       what each file must contain, see `manifest.py`
    <split>.labels.npy                  [N] float32
    <split>.<modality>.npy              [N, T, D] float16 or float32, padded at the back with exact zeros
    <split>.<modality>_lengths.npy      [N] int64
    <split>.text_bert.npy               [N, 3, L] int32, optional
    <split>.id.json, raw_text.json      lists of N strings; the second optional

`qamoe-bench data convert` writes it. When a folder is opened, every byte is checked against the manifest, in blocks, so
that a data set may be larger than memory. File names are derived from the split and the key, never from the manifest.
"""

import hashlib
import json
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from qamoe_bench.data.dataset import SPLITS, Dataset, Split
from qamoe_bench.data.digest import ArrayFacts, digest_of_facts
from qamoe_bench.data.folder.manifest import (
    MANIFEST,
    REMEDY,
    ArrayFact,
    FolderManifest,
    SplitManifest,
    file_name,
    wrong_file,
)
from qamoe_bench.data.folder.mapped import MappedArrays
from qamoe_bench.data.folder.npy import MismatchError, check_array
from qamoe_bench.data.source import BERT_TOKENS
from qamoe_bench.errors import BenchError
from qamoe_bench.vocabulary import MODALITIES, Task

# Largest size of a JSON file in bytes.
_MAX_JSON_BYTES = 2**28


def read(folder: Path) -> Dataset:
    """The data set in a folder, with its features mapped from their files.

    Raises:
        BenchError: The folder is in another format, incomplete, or differs from its manifest.
    """
    try:
        return _Reader(folder).dataset()
    except OSError as error:
        where = error.filename or folder
        raise BenchError(f"{where}: expected a readable file, got {error.strerror}; {REMEDY}") from error


@dataclass(frozen=True)
class _Part:
    """A split as read, and the facts of its arrays, which enter the digest."""

    split: Split
    facts: dict[str, ArrayFacts]


class _Reader:
    """Reads one folder; every value is checked before it is used."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._manifest = FolderManifest(folder, self._json(MANIFEST, sha256=None))

    def dataset(self) -> Dataset:
        """The whole data set."""
        parts = {name: self._part(self._manifest.split(name)) for name in SPLITS}
        splits = {name: part.split for name, part in parts.items()}
        label_range = self._manifest.label_range
        task = self._manifest.task
        self._check_splits(splits, label_range, task)
        token_ids = self._manifest.token_ids
        facts = {name: part.facts for name, part in parts.items()}
        digest = digest_of_facts(facts, splits, label_range, token_ids, task)
        if digest != self._manifest.digest:
            raise self._manifest.wrong("the digest of this content", "another")
        notes = self._manifest.notes
        token_model = self._manifest.token_model
        return Dataset(
            self._manifest.name,
            splits,
            digest,
            label_range,
            notes,
            token_ids=token_ids,
            token_model=token_model,
            task=task,
        )

    def _check_splits(self, splits: dict[str, Split], label_range: tuple[float, float], task: Task) -> None:
        """Refuse splits that do not fit together, and labels outside of the scale or of no class."""
        if len({tuple(split.features) for split in splits.values()}) > 1:
            raise self._manifest.wrong("the same modalities in every split", "others")
        widths = set()
        for split in splits.values():
            widths.add(tuple(features.shape[2] for features in split.features.values()))
        if len(widths) > 1:
            raise self._manifest.wrong("the same widths in every split", "others")
        low, high = label_range
        for split in splits.values():
            if not bool(((split.target >= low) & (split.target <= high)).all()):
                raise self._manifest.wrong(f"labels from {low:g} to {high:g}", "others")
            if not task.is_regression and not bool((split.target == split.target.round()).all()):
                raise self._manifest.wrong("whole numbers as labels of classes", "others")
        count = len(task.names)
        codes = {"classes": (0, count - 1), "multi-label": (0, 2.0**count - 1)}
        if task.kind in codes and label_range != codes[task.kind]:
            raise self._manifest.wrong(f"label_range {codes[task.kind]} for {count} names", f"{label_range}")

    # One split.

    def _part(self, manifest: SplitManifest) -> _Part:
        modalities = [m for m in MODALITIES if m in manifest.arrays]
        labels = self._load(manifest, "labels", manifest.array("labels", ("float32",), rank=1))  # (N,)
        lengths: dict[str, Tensor] = {}
        features = MappedArrays()
        for m in modalities:
            fact = manifest.array(m, ("float16", "float32"), rank=3)
            lengths[m] = self._lengths(manifest, m, fact)
            file = file_name(manifest.name, m, "npy")
            offset = self._check(file, fact, lengths[m])
            features.add(m, self._folder / file, offset, fact.dtype, fact.shape)  # (N, T, D)
        tokens = None
        if BERT_TOKENS in manifest.arrays:
            tokens = self._load(manifest, BERT_TOKENS, manifest.array(BERT_TOKENS, ("int32",), rank=3))  # (N, 3, L)
        ids = self._texts(manifest, "id")
        raw_text = self._texts(manifest, "raw_text") if "raw_text" in manifest.texts else ()
        split = Split(ids, labels, features, lengths, raw_text, tokens)
        self._check_counts(manifest.name, split)

        # Arrays under unknown keys were not checked, so they must not enter the digest.
        keys = ["labels", *modalities, *(f"{m}_lengths" for m in modalities)]
        if tokens is not None:
            keys.append(BERT_TOKENS)
        return _Part(split, {key: manifest.arrays[key] for key in keys})

    def _lengths(self, manifest: SplitManifest, modality: str, features: ArrayFact) -> Tensor:
        """Number of valid frames [N] of a modality whose features have these facts."""
        key = f"{modality}_lengths"
        lengths = self._load(manifest, key, manifest.array(key, ("int64",), rank=1))
        samples, frames, _ = features.shape
        if len(lengths) != samples or not bool(((lengths >= 0) & (lengths <= frames)).all()):
            raise self._wrong(file_name(manifest.name, key, "npy"), f"lengths to {frames}", "others")
        return lengths

    def _check_counts(self, name: str, split: Split) -> None:
        """Refuse arrays and lists of different numbers of samples, and repeated ids."""
        counts = {len(split.ids), len(split.target)}
        counts.update(len(lengths) for lengths in split.lengths.values())
        if split.raw_text:
            counts.add(len(split.raw_text))
        if split.tokens is not None:
            counts.add(len(split.tokens))
        if len(counts) > 1 or len(set(split.ids)) < len(split.ids):
            raise self._manifest.wrong(f"the same number of samples in all files of {name!r}, and unique ids", "others")
        if not split.features:
            raise self._manifest.wrong(f"features in {name!r}", "none")

    # Files.

    def _open(self, file: str) -> BinaryIO:
        path = self._folder / file
        # A link could make the process read any file of the machine, and a pipe could block it.
        if not stat.S_ISREG(path.lstat().st_mode):
            raise self._wrong(file, "a regular file", "a link or something else")
        return path.open("rb")

    def _json(self, file: str, sha256: str | None) -> Any:
        """The content of a JSON file, which must have a hash if one is given."""
        with self._open(file) as opened:
            content = opened.read(_MAX_JSON_BYTES + 1)
        if len(content) > _MAX_JSON_BYTES:
            raise self._wrong(file, f"at most {_MAX_JSON_BYTES} bytes", "more")
        if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
            raise self._wrong(file, "the SHA-256 in the manifest", "another")
        try:
            return json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._wrong(file, "JSON", "something else or a part of it") from error

    def _texts(self, manifest: SplitManifest, key: str) -> tuple[str, ...]:
        file = file_name(manifest.name, key, "json")
        texts = self._json(file, str(manifest.texts.get(key)))
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise self._wrong(file, "a list of strings", "something else")
        return tuple(texts)

    def _load(self, manifest: SplitManifest, key: str, fact: ArrayFact) -> Tensor:
        """An array in memory."""
        file = file_name(manifest.name, key, "npy")
        offset = self._check(file, fact, lengths=None)
        with self._open(file) as opened:
            opened.seek(offset)
            content = bytearray(opened.read())  # writable, as torch requires
        return torch.frombuffer(content, dtype=fact.dtype).reshape(fact.shape)

    def _check(self, file: str, fact: ArrayFact, lengths: Tensor | None) -> int:
        """Check a whole array; returns the offset of its values in the file."""
        with self._open(file) as opened:
            size = (self._folder / file).lstat().st_size
            try:
                return check_array(opened, size, fact, None if lengths is None else lengths.numpy())
            except MismatchError as error:
                raise self._wrong(file, error.expected, error.got) from error

    def _wrong(self, file: str, expected: str, got: str) -> BenchError:
        return wrong_file(self._folder, file, expected, got)
