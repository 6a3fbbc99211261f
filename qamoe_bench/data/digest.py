"""What identifies the content of a data set: everything that a model can see of it, in whatever file it came."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from qamoe_bench.data.dataset import Split

BLOCK = 2**24


def content_digest(
    splits: Mapping[str, Split], label_range: tuple[float, float], token_ids: Mapping[str, int] | None = None
) -> str:
    """SHA-256 of names, words, labels, features and lengths of all splits and of how they are meant, in hex."""
    facts = {name: {key: array_facts(x) for key, x in arrays(split).items()} for name, split in splits.items()}
    return digest_of_facts(facts, splits, label_range, token_ids or {})


def digest_of_facts(
    facts: Mapping[str, Mapping[str, Mapping[str, Any]]],
    splits: Mapping[str, Split],
    label_range: tuple[float, float],
    token_ids: Mapping[str, int],
) -> str:
    """The same from the facts of each array (see `array_facts`), for one who has these already."""
    content = {
        "arrays": facts,
        "ids": {name: split.ids for name, split in splits.items()},
        "raw_text": {name: split.raw_text for name, split in splits.items()},
        "label_range": [float(limit) for limit in label_range],
        "token_ids": dict(token_ids),
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def arrays(split: Split) -> dict[str, Tensor]:
    """The arrays of a split, by the names that files have for them."""
    lengths = {f"{m}_lengths": n for m, n in split.lengths.items()}
    tokens = {} if split.tokens is None else {"text_bert": split.tokens}
    return {"labels": split.target, **{m: split.features[m] for m in split.modalities}, **lengths, **tokens}


def array_facts(x: Tensor) -> dict[str, Any]:
    """Type, shape and the SHA-256 of the bytes of an array, row after row, lowest byte first."""
    return {"dtype": str(x.dtype).removeprefix("torch."), "shape": [*x.shape], "sha256": _sha256(x)}


def _sha256(x: Tensor) -> str:
    digest, flat = hashlib.sha256(), x.contiguous().view(-1)
    for start in range(0, len(flat), BLOCK):
        block = flat[start : start + BLOCK].numpy()
        digest.update(np.ascontiguousarray(block, block.dtype.newbyteorder("<")).data)
    return digest.hexdigest()


def dtype_of(name: str) -> torch.dtype:
    """The type of that name, of those that a data set has."""
    return {"float16": torch.float16, "float32": torch.float32, "int32": torch.int32, "int64": torch.int64}[name]
