"""The digest of a data set: a hash of everything that a model can see of it, independent of the file format."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qamoe_bench.data.dataset import Split
from qamoe_bench.data.source import BERT_TOKENS
from qamoe_bench.vocabulary import REGRESSION, Task

# Values of a mapped array that are read into memory and hashed together.
_HASHED_VALUES = 2**24

ArrayFacts = dict[str, Any]
"""What identifies an array: `dtype`, `shape` and `sha256`."""


def content_digest(
    splits: Mapping[str, Split],
    label_range: tuple[float, float],
    token_ids: Mapping[str, int] | None = None,
    task: Task = REGRESSION,
) -> str:
    """SHA-256 of the content of a data set, in hex.

    Args:
        splits: Splits by name; ids, transcripts, labels, features and lengths are hashed.
        label_range: Lowest and highest label of the annotation scale.
        token_ids: Modalities that hold token ids, see `DataSpec`.
        task: What a label says.
    """
    facts = {}
    for name, split in splits.items():
        facts[name] = {key: array_facts(array) for key, array in arrays(split).items()}
    return digest_of_facts(facts, splits, label_range, token_ids or {}, task)


def digest_of_facts(
    facts: Mapping[str, Mapping[str, ArrayFacts]],
    splits: Mapping[str, Split],
    label_range: tuple[float, float],
    token_ids: Mapping[str, int],
    task: Task = REGRESSION,
) -> str:
    """The same digest from precomputed facts of the arrays by split and key, see `array_facts`."""
    content = {
        "arrays": facts,
        "ids": {name: split.ids for name, split in splits.items()},
        "raw_text": {name: split.raw_text for name, split in splits.items()},
        "label_range": [float(limit) for limit in label_range],
        "token_ids": dict(token_ids),
    }
    if not task.is_regression:
        content["task"] = task.facts
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def arrays(split: Split) -> dict[str, Tensor]:
    """The arrays of a split, by their keys in files."""
    result = {"labels": split.target}
    for modality in split.modalities:
        result[modality] = split.features[modality]
        result[f"{modality}_lengths"] = split.lengths[modality]
    if split.tokens is not None:
        result[BERT_TOKENS] = split.tokens
    return result


def array_facts(array: Tensor) -> ArrayFacts:
    """Type, shape and SHA-256 of an array; its bytes are hashed in row-major order, little-endian."""
    return {"dtype": dtype_name(array.dtype), "shape": list(array.shape), "sha256": _sha256(array)}


def _sha256(array: Tensor) -> str:
    digest = hashlib.sha256()
    flat = array.contiguous().view(-1)
    for start in range(0, len(flat), _HASHED_VALUES):
        block = flat[start : start + _HASHED_VALUES].numpy()
        # The digest must not depend on the byte order of the machine.
        digest.update(np.ascontiguousarray(block, block.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def dtype_name(dtype: torch.dtype) -> str:
    """The name of a type that NumPy shares, such as `float32`."""
    return str(dtype).removeprefix("torch.")


def dtype_of(name: str) -> torch.dtype:
    """The type with this name, one of those that a data set may have."""
    return {"float16": torch.float16, "float32": torch.float32, "int32": torch.int32, "int64": torch.int64}[name]
