"""Writing a data set in the project's own folder format, completely or not at all.

The format is documented in `qamoe_bench.data.folder.folder`.
"""

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.digest import ArrayFacts, digest_of_facts, dtype_name
from qamoe_bench.data.folder.manifest import FORMAT, MANIFEST, MANIFEST_SCHEMA, file_name
from qamoe_bench.data.source import BERT_TOKENS
from qamoe_bench.store.new_folder import new_folder
from qamoe_bench.vocabulary import MODALITIES

_SAMPLES_PER_BLOCK = 512
"""Samples of a modality that are written together, since all of them may not fit into memory."""

BlockCallback = Callable[[int], None]


def blocks_in(data: Dataset) -> int:
    """The number of blocks of features in a data set, the total of the progress that `write` reports."""
    blocks = 0
    for split in data.splits.values():
        blocks += len(split.modalities) * math.ceil(len(split) / _SAMPLES_PER_BLOCK)
    return blocks


def write(data: Dataset, folder: Path, source: Mapping[str, Any], tick: BlockCallback = lambda _: None) -> str:
    """Write a data set.

    Args:
        data: The data set; its features may be larger than memory.
        folder: The new folder; it must not exist or be empty.
        source: Facts about the origin of the data, stored in the manifest.
        tick: Called after every array block with 1 for features and 0 for other arrays.

    Returns:
        The digest of the data set.

    Raises:
        BenchError: The folder is not empty or cannot be written; no partial folder remains.
    """
    with new_folder(folder) as temporary:
        writer = _Writer(temporary, tick)
        splits = {name: writer.split(name, split) for name, split in data.splits.items()}
        facts = {name: content["arrays"] for name, content in splits.items()}
        digest = digest_of_facts(facts, data.splits, data.label_range, data.token_ids, data.task)
        manifest = {
            "format": FORMAT,
            "schema": MANIFEST_SCHEMA,
            "name": data.name,
            "digest": digest,
            "source": dict(source),
            "label_range": list(data.label_range),
            "token_ids": dict(data.token_ids),
            "token_model": data.token_model,
            "notes": list(data.notes),
            "splits": splits,
        }
        if not data.task.is_regression:
            manifest["task"] = data.task.facts
        _write_json(temporary / MANIFEST, manifest, indent=2)
    return digest


class _Writer:
    """Writes the files of a folder, except for the manifest."""

    def __init__(self, folder: Path, tick: BlockCallback) -> None:
        self._folder = folder
        self._tick = tick

    def split(self, name: str, split: Split) -> dict[str, Any]:
        """Write one split; returns its part of the manifest."""
        arrays = {"labels": self._array(name, "labels", split.target)}
        for m in split.modalities:
            arrays[m] = self._blocks(name, m, split.features[m], _blocks_of(split, m))
            arrays[f"{m}_lengths"] = self._array(name, f"{m}_lengths", split.lengths[m])
        if split.tokens is not None:
            arrays[BERT_TOKENS] = self._array(name, BERT_TOKENS, split.tokens)
        texts = {"id": _write_json(self._folder / file_name(name, "id", "json"), split.ids)}
        if split.raw_text:
            texts["raw_text"] = _write_json(self._folder / file_name(name, "raw_text", "json"), split.raw_text)
        return {"samples": len(split), "arrays": arrays, "texts": texts}

    def _array(self, split: str, key: str, values: Tensor) -> ArrayFacts:
        """Write an array at once; returns its facts."""
        return self._blocks(split, key, values, iter([values]))

    def _blocks(self, split: str, key: str, like: Tensor, blocks: Iterator[Tensor]) -> ArrayFacts:
        """Write blocks that together are an array with the type and shape of `like`; returns its facts."""
        dtype = np.dtype(dtype_name(like.dtype)).newbyteorder("<")
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(like.shape)}
        digest = hashlib.sha256()
        # Mode x fails if the file exists: two keys must never share a file.
        with (self._folder / file_name(split, key, "npy")).open("xb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks:
                content = np.ascontiguousarray(block.numpy(), dtype).data
                digest.update(content)
                file.write(content)
                self._tick(1 if key in MODALITIES else 0)
            _flush(file)
        return {"dtype": dtype.name, "shape": list(like.shape), "sha256": digest.hexdigest()}


def _blocks_of(split: Split, modality: str) -> Iterator[Tensor]:
    """Features of a modality, some samples at a time."""
    for start in range(0, len(split), _SAMPLES_PER_BLOCK):
        yield split.features[modality][start : start + _SAMPLES_PER_BLOCK]


def _write_json(path: Path, content: object, indent: int | None = None) -> str:
    """Write JSON; returns its SHA-256."""
    encoded = json.dumps(content, indent=indent, ensure_ascii=False).encode()
    with path.open("xb") as file:
        file.write(encoded)
        _flush(file)
    return hashlib.sha256(encoded).hexdigest()


def _flush(file: Any) -> None:
    """Make the content of a file durable."""
    file.flush()
    os.fsync(file.fileno())
