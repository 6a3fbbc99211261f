"""Raw text as token ids, for models that fine-tune a language model together with their other parameters.

Dimension legend: N samples, L tokens stored in the file, T tokens kept.
"""

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

MAX_TOKENS = 50
"""Largest length of a text, [CLS] and [SEP] included, as in MMSA's files; longer texts are truncated."""


def with_token_ids(data: Dataset, language: LanguageModel, longest: int = MAX_TOKENS) -> Dataset:
    """The data set with the token ids of its raw text in place of text features.

    Corruptions replace a missing token by [UNK], as in TFR-Net and LNLN.

    Args:
        data: The data set; see `tokenise` for the text that it must have.
        language: The language model whose vocabulary is used.
        longest: Largest number of tokens of a text.

    Raises:
        BenchError: The data have neither raw text nor token ids of this vocabulary.
    """
    tokenizer = language.tokenizer()
    splits = {}
    truncated = 0
    for name, split in data.splits.items():
        ids, lengths, longer = tokenise(split, data.name, tokenizer, longest)
        # Ids are stored as features of width 1, in float like all features; float32 is exact up to 2^24.
        splits[name] = replace(
            split,
            features={**split.features, "text": ids.float()[..., None]},
            lengths={**split.lengths, "text": lengths},
        )
        truncated += longer
    # The tokens are a function of these, so they need not be hashed themselves.
    identity = repr((data.digest, language.digest, longest))
    note = f"text: token ids of {language.name}, at most {longest} per sample; {truncated} samples were truncated."
    return replace(
        data,
        name=f"{data.name}+{language.name}",
        splits=splits,
        digest=hashlib.sha256(identity.encode()).hexdigest(),
        notes=(*data.notes, note),
        oracle=None,  # its distribution is that of features
        token_ids={"text": tokenizer.unk_token_id},
        pretrained={"text": str(language.folder)},
    )


def tokenise(
    split: Split, name: str, tokenizer: Any, longest: int
) -> tuple[Int[Tensor, "N T"], Int[Tensor, " N"], int]:
    """Token ids of a split, from its raw text or, if there is none, from the ids in the file.

    Args:
        split: The split.
        name: Name of the data set, for error messages.
        tokenizer: Tokenizer of transformers.
        longest: Largest number of tokens of a text, T; [CLS] and [SEP] are kept when a text is truncated.

    Returns:
        Token ids padded with 0, the number of tokens of each sample, and the number of truncated samples.

    Raises:
        BenchError: The split has neither raw text nor token ids, or ids of another vocabulary.
    """
    rows = _tokenised_text(split, tokenizer) or _stored_ids(split, name, tokenizer)
    if not rows:
        raise BenchError(
            f"data {name!r}: expected raw text, a 'raw_text' of each sample, or token ids, a 'text_bert', got neither; "
            "an encoder needs the words"
        )
    ids = np.zeros((len(split), longest), np.int64)
    for padded, row in zip(ids, rows, strict=True):
        kept = row if len(row) <= longest else [*row[: longest - 1], row[-1]]  # ends with [SEP]
        padded[: len(kept)] = kept
    lengths = [min(len(row), longest) for row in rows]
    return torch.from_numpy(ids), torch.tensor(lengths), sum(len(row) > longest for row in rows)


def _tokenised_text(split: Split, tokenizer: Any) -> list[list[int]]:
    """Token ids of each transcript; empty if there are none."""
    if not split.raw_text:
        return []
    rows: list[list[int]] = tokenizer(list(split.raw_text), return_attention_mask=False)["input_ids"]
    return rows


def _stored_ids(split: Split, name: str, tokenizer: Any) -> list[list[int]]:
    """Token ids of each sample in the file, without padding; empty if there are none.

    Raises:
        BenchError: They cannot be of this vocabulary.
    """
    if split.tokens is None:
        return []
    ids = split.tokens[:, 0]  # (N, L)
    lengths = split.tokens[:, 1].sum(1)  # of the attention mask, (N,)
    rows: list[list[int]] = [row[:n] for row, n in zip(ids.tolist(), lengths.tolist(), strict=True)]
    # The file does not say which tokenizer made them; its special tokens are the best evidence.
    first = tokenizer.cls_token_id
    last = tokenizer.sep_token_id
    fits = all(row and (row[0], row[-1]) == (first, last) for row in rows) and int(ids.max()) < len(tokenizer)
    if not fits:
        raise BenchError(
            f"data {name!r}: expected token ids of this encoder's vocabulary, from {first} to {last}, got others; "
            "use the encoder that they were made for, or data with raw text"
        )
    return rows
