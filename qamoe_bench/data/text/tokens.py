"""Raw text as token ids, so that the language model that reads them is trained with the rest of a model."""

import hashlib
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.text.language_model import LanguageModel
from qamoe_bench.errors import BenchError

TOKENS = 50
"""Length of a text, [CLS] and [SEP] included, as in MMSA's files; what is longer loses its end."""


def with_token_ids(data: Dataset, language: LanguageModel, longest: int = TOKENS) -> Dataset:
    """The data set with the tokens of its raw text in place of text features.

    A lost token becomes [UNK], as in TFR-Net and LNLN.

    Raises:
        BenchError: where the data hold no raw text.
    """
    tokenizer = language.tokenizer()
    splits, cut = {}, 0
    for name, split in data.splits.items():
        ids, lengths, longer = tokenise(split, data.name, tokenizer, longest)
        splits[name] = replace(
            split,
            features={**split.features, "text": ids.float()[..., None]},
            lengths={**split.lengths, "text": lengths},
        )
        cut += longer
    words = repr((data.digest, language.digest, longest))
    note = (
        f"text: token ids of {language.name}, at most {longest} a sample; {cut} samples were longer and lost their end."
    )
    return replace(
        data,
        name=f"{data.name}+{language.name}",
        splits=splits,
        digest=hashlib.sha256(words.encode()).hexdigest(),
        notes=(*data.notes, note),
        oracle=None,
        token_ids={"text": tokenizer.unk_token_id},
        pretrained={"text": str(language.folder)},
    )


def tokenise(
    split: Split, name: str, tokenizer: Any, longest: int
) -> tuple[Int[Tensor, "N T"], Int[Tensor, " N"], int]:
    """Token ids padded with 0, their number, and how many texts were cut; [CLS] and [SEP] are always there.

    Those of the raw text, or else the ids that the data hold, where they can be of this vocabulary.

    Raises:
        BenchError: where there is neither.
    """
    rows = _of_words(split, tokenizer) or _of_ids(split, name, tokenizer)
    if not rows:
        raise BenchError(
            f"data {name!r}: expected raw text, a 'raw_text' of each sample, or token ids, a 'text_bert', got neither; "
            "an encoder needs the words"
        )
    ids = np.zeros((len(split), longest), np.int64)
    for place, row in zip(ids, rows, strict=True):
        kept = row if len(row) <= longest else [*row[: longest - 1], row[-1]]
        place[: len(kept)] = kept
    lengths = [min(len(row), longest) for row in rows]
    return torch.from_numpy(ids), torch.tensor(lengths), sum(len(row) > longest for row in rows)


def _of_words(split: Split, tokenizer: Any) -> list[list[int]]:
    if not split.raw_text:
        return []
    found: list[list[int]] = tokenizer(list(split.raw_text), return_attention_mask=False)["input_ids"]
    return found


def _of_ids(split: Split, name: str, tokenizer: Any) -> list[list[int]]:
    """The first row of `text_bert` up to the end of the second, its mask; ids of another vocabulary are refused."""
    if split.tokens is None:
        return []
    ids, lengths = split.tokens[:, 0], split.tokens[:, 1].sum(1)
    rows: list[list[int]] = [row[:n] for row, n in zip(ids.tolist(), lengths.tolist(), strict=True)]
    ends = (tokenizer.cls_token_id, tokenizer.sep_token_id)
    if any(not row or (row[0], row[-1]) != ends for row in rows) or int(ids.max()) >= len(tokenizer):
        raise BenchError(
            f"data {name!r}: expected token ids of this encoder's vocabulary, from {ends[0]} to {ends[1]}, got others; "
            "use the encoder that they were made for, or data with raw text"
        )
    return rows
