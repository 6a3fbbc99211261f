"""Raw text as token ids, for models that fine-tune a language model together with their other parameters.

Dimension legend: N samples, L tokens stored in the file, T tokens kept.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.readers.sample_tuples import NO_TEXT_FEATURES
from qamoe_bench.data.stored_tokens import TOKENS_ONLY, is_same_model
from qamoe_bench.data.text.language_model import LanguageModel
from qamoe_bench.errors import BenchError

MAX_TOKENS = 50
"""Largest length of a text, [CLS] and [SEP] included, as in MMSA's files; longer texts are truncated."""


MOST_UNKNOWN = 0.05
"""Share of unknown tokens above which a text is refused.

A text in the language of the encoder has far below 1 %, since a vocabulary holds single letters. An English vocabulary
does not know 79 % of the tokens of Chinese texts, 38 % of Japanese and 8 % of Korean ones.
"""

CONSENT = "--accept-unknown-tokens"


@dataclass(frozen=True)
class TokenisedTexts:
    """The texts of a split as token ids.

    Attributes:
        ids: Token ids, padded with 0.
        lengths: Number of tokens of each sample, [CLS] and [SEP] included.
    """

    ids: Int[Tensor, "N T"]
    lengths: Int[Tensor, " N"]


@dataclass(frozen=True)
class TokenisedData:
    """The texts of all splits as token ids.

    Attributes:
        texts: By split.
        truncated: Number of samples with a longer text.
        notes: One sentence each on unknown tokens, and on token ids in the file that differ.
    """

    texts: Mapping[str, TokenisedTexts]
    truncated: int
    notes: tuple[str, ...]


def with_token_ids(
    data: Dataset, language: LanguageModel, longest: int = MAX_TOKENS, *, accept_unknown: bool = False
) -> Dataset:
    """The data set with the token ids of its raw text in place of text features.

    Corruptions replace a missing token by [UNK], as in TFR-Net and LNLN.

    Args:
        data: The data set; see `tokenise` for the text that it must have.
        language: The language model whose vocabulary is used.
        longest: Largest number of tokens of a text.
        accept_unknown: See `tokenise`.

    Raises:
        BenchError: as `tokenise` does.
    """
    tokenizer = language.tokenizer()
    tokenised = tokenise(data, tokenizer, language.name, longest, accept_unknown=accept_unknown)
    splits = {}
    for name, split in data.splits.items():
        texts = tokenised.texts[name]
        # Ids are stored as features of width 1, in float like all features; float32 is exact up to 2^24.
        splits[name] = replace(
            split,
            features={**split.features, "text": texts.ids.float()[..., None]},
            lengths={**split.lengths, "text": texts.lengths},
        )
    # The tokens are a function of these, so they need not be hashed themselves.
    identity = repr((data.digest, language.digest, longest))
    note = (
        f"text: token ids of {language.name}, at most {longest} per sample; {tokenised.truncated} samples were "
        "truncated."
    )
    return replace(
        data,
        name=f"{data.name}+{language.name}",
        splits=splits,
        digest=hashlib.sha256(identity.encode()).hexdigest(),
        notes=(*without_text_notes(data), *tokenised.notes, note),
        oracle=None,  # its distribution is that of features
        token_ids={"text": tokenizer.unk_token_id},
        pretrained={"text": str(language.folder)},
    )


def without_text_notes(data: Dataset) -> tuple[str, ...]:
    """The notes of a data set but those on text without features, which it has once a language model reads it."""
    return tuple(note for note in data.notes if note not in (NO_TEXT_FEATURES, TOKENS_ONLY))


def tokenise(data: Dataset, tokenizer: Any, encoder: str, longest: int, *, accept_unknown: bool) -> TokenisedData:
    """Token ids of all splits, from their raw text or, where there is none, from the ids in the file.

    Args:
        data: The data set.
        tokenizer: Tokenizer of transformers.
        encoder: Name of its language model, for messages.
        longest: Largest number of tokens of a text, T; [CLS] and [SEP] are kept when a text is truncated.
        accept_unknown: Accept ids without raw text, whose vocabulary cannot be checked, and any share of unknown
            tokens.

    Raises:
        BenchError: A split has neither raw text nor token ids, or ids of another vocabulary, or too much is unknown.
    """
    rows = {name: _rows_of(split, data.name, tokenizer) for name, split in data.splits.items()}
    notes = _unchecked_ids(data, encoder, accept_unknown=accept_unknown)
    notes += _unknown_tokens(rows, data.name, tokenizer, encoder, accept_unknown=accept_unknown)
    notes += _different_ids(data, rows, encoder)
    texts = {name: _padded_texts(split, longest) for name, split in rows.items()}
    truncated = sum(len(row) > longest for split in rows.values() for row in split)
    return TokenisedData(texts, truncated, tuple(notes))


def _rows_of(split: Split, name: str, tokenizer: Any) -> list[list[int]]:
    """Token ids of each sample, without padding, [CLS] and [SEP] included."""
    rows = _tokenised_text(split, tokenizer) or _stored_ids(split, name, tokenizer)
    if not rows:
        raise BenchError(
            f"data {name!r}: expected raw text, a 'raw_text' of each sample, or token ids, a 'text_bert', got neither; "
            "an encoder needs the words"
        )
    return rows


def _padded_texts(rows: Sequence[list[int]], longest: int) -> TokenisedTexts:
    """Token ids of a split, truncated and padded with 0."""
    ids = np.zeros((len(rows), longest), np.int64)  # (N, T)
    for padded, row in zip(ids, rows, strict=True):
        kept = row if len(row) <= longest else [*row[: longest - 1], row[-1]]  # ends with [SEP]
        padded[: len(kept)] = kept
    lengths = [min(len(row), longest) for row in rows]
    return TokenisedTexts(torch.from_numpy(ids), torch.tensor(lengths))


# Whether the vocabulary is that of the data.


def _unchecked_ids(data: Dataset, encoder: str, *, accept_unknown: bool) -> list[str]:
    """Refuse ids without raw text, or note them: most fit any vocabulary of BERT's family, but mean other words."""
    mute = [name for name, split in data.splits.items() if not split.raw_text]
    if not mute:
        return []
    if is_same_model(data.token_model, encoder):
        return [f"text: the token ids are of {encoder}, as the file says."]
    if not accept_unknown:
        stated = f" that the file says are of {data.token_model!r}" if data.token_model else ""
        raise BenchError(
            f"data {data.name!r}: expected raw text, to check that the token ids are of {encoder!r}, got ids alone in "
            f"{mute[0]!r}{stated}; add 'raw_text', or give {CONSENT} if the ids were made with the vocabulary of this "
            "encoder"
        )
    return [f"text: without raw text, it is not checked that the token ids are of {encoder} ({CONSENT})."]


def _unknown_tokens(
    rows: Mapping[str, Sequence[Sequence[int]]], name: str, tokenizer: Any, encoder: str, *, accept_unknown: bool
) -> list[str]:
    """A note on the share of unknown tokens, [CLS] and [SEP] not counted; too many are refused."""
    unknown = sum(row.count(tokenizer.unk_token_id) for split in rows.values() for row in split)
    total = sum(max(len(row) - 2, 0) for split in rows.values() for row in split)
    share = unknown / max(total, 1)
    if share > MOST_UNKNOWN and not accept_unknown:
        raise BenchError(
            f"data {name!r}: expected texts in the language of {encoder!r}, got {100 * share:.1f} % of their tokens "
            f"unknown to it; use an encoder for this language, or give {CONSENT}"
        )
    return [f"text: {100 * share:.1f} % of {total} tokens are unknown to {encoder}."]


def _different_ids(data: Dataset, rows: Mapping[str, Sequence[Sequence[int]]], encoder: str) -> list[str]:
    """A note on token ids in the file that are not those of its raw text; the raw text counts."""
    different = 0
    compared = 0
    for name, split in data.splits.items():
        if split.raw_text and split.tokens is not None:
            compared += len(split)
            ids = split.tokens[:, 0].tolist()  # (N, L)
            masks = split.tokens[:, 1].tolist()
            for row, stored, mask in zip(rows[name], ids, masks, strict=True):
                kept = [token for token, is_valid in zip(stored, mask, strict=True) if is_valid]
                # A stored text may be truncated, so only its beginning is compared, without its [SEP].
                different += kept[:-1] != list(row[: max(len(kept) - 1, 0)])
    if not different:
        return []
    return [
        f"text: the token ids in the file differ from those of {encoder} in {different} of {compared} samples; the raw "
        "text was read."
    ]


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
