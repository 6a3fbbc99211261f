"""Raw text as token ids, so that the language model that reads them is trained with the rest of a model."""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.language_model import LanguageModel
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

    Raises:
        BenchError: where there is no raw text.
    """
    if len(split.raw_text) != len(split):
        raise BenchError(
            f"data {name!r}: expected raw text, a 'raw_text' of each sample, got none; an encoder needs the words"
        )
    whole: Mapping[str, list[list[int]]] = tokenizer(list(split.raw_text), return_attention_mask=False)
    cut = [row if len(row) <= longest else [*row[: longest - 1], row[-1]] for row in whole["input_ids"]]
    ids = np.zeros((len(split), longest), np.int64)
    for row, tokens in zip(ids, cut, strict=True):
        row[: len(tokens)] = tokens
    longer = sum(len(a) < len(b) for a, b in zip(cut, whole["input_ids"], strict=True))
    return torch.from_numpy(ids), torch.tensor([len(tokens) for tokens in cut]), longer
