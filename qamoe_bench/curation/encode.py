"""Encoding raw text as token states of a frozen language model, for models that are trained on features.

Texts of similar length are encoded together, in chunks. Finished chunks are cached under a digest of their token ids,
the model and the precision, so that an interrupted run can be resumed and equal texts are encoded once. States are
stored in float16, in a temporary file that is mapped into memory.

Dimension legend: N samples, K texts of a chunk, L tokens, T of them kept, W width of a state.
"""

import hashlib
import io
import math
import os
import tempfile
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from qamoe_bench.contract import Batch, valid_frames
from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.text.language_model import LanguageModel
from qamoe_bench.data.text.tokens import MAX_TOKENS, TokenisedTexts, tokenise, without_text_notes
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.precision import Precision, at
from qamoe_bench.nn.language import TokenStates
from qamoe_bench.provenance.location import user_cache

# Texts that are cached together, and texts that the model reads at once. Both determine the padding of a batch, and
# thereby the last bits of the states.
_CHUNK = 256
_BATCH = 32
_CHECKSUM_BYTES = hashlib.sha256().digest_size

_CPU = torch.device("cpu")


def default_cache() -> Path:
    """`qamoe-bench/states` in the user's cache folder."""
    return user_cache("states")


def chunks_in(data: Dataset) -> int:
    """The number of chunks of texts in a data set, the total of the progress that `encode_text` reports."""
    return sum(math.ceil(len(split) / _CHUNK) for split in data.splits.values())


def encode_text(
    data: Dataset,
    language: LanguageModel,
    cache: Path,
    frames: int = MAX_TOKENS,
    tokens: int | None = None,
    precision: Precision = "float32",
    tick: Callable[[int], object] = lambda _: None,
    *,
    accept_unknown: bool = False,
) -> Dataset:
    """The data set with the model's last hidden states in place of its text features, [CLS] and [SEP] included.

    Args:
        data: Has raw text, or token ids of the model's vocabulary.
        language: The model.
        cache: Folder for finished chunks.
        frames: Largest number of states that are kept of a text, T.
        tokens: Largest number of tokens that the model reads of a text, L; by default as many as it supports.
        precision: Precision of the model's arithmetic.
        tick: Called with 1 after every chunk.
        accept_unknown: See `qamoe_bench.data.text.tokens.tokenise`.

    Raises:
        BenchError: as `tokenise` does, or the cache cannot be written.
    """
    tokenizer = language.tokenizer()  # an unsuitable one is refused before the model is loaded
    encoder = _Encoder(language, cache, precision, frames)
    longest = min(tokens or encoder.positions, encoder.positions)
    tokenised = tokenise(data, tokenizer, language.name, longest, accept_unknown=accept_unknown)
    texts = tokenised.texts
    # The axis of time is no longer than the longest text of any split.
    frames = min(frames, max(int(text.lengths.max()) for text in texts.values()))

    splits = {name: _with_states(split, encoder, texts[name], frames, tick) for name, split in data.splits.items()}
    truncated = sum(int((text.lengths > frames).sum()) for text in texts.values())
    note = (
        f"text: states of {language.name} ({precision}), which read at most {longest} tokens per sample; the first "
        f"{frames} states are kept, and {truncated} samples have more."
    )
    # The states are a function of these, up to the last bits, which depend on the machine.
    identity = repr((data.digest, language.digest, frames, longest, precision))
    return replace(
        data,
        name=f"{data.name}-{language.name}",
        splits=splits,
        digest=hashlib.sha256(identity.encode()).hexdigest(),
        notes=(*without_text_notes(data), *tokenised.notes, note),
        oracle=None,  # its distribution is that of the original features
        token_model=language.name,
    )


def _with_states(
    split: Split, encoder: "_Encoder", texts: TokenisedTexts, frames: int, tick: Callable[[int], object]
) -> Split:
    """A split with the states of its texts, at most `frames` of each."""
    shape = (len(texts.ids), frames, encoder.width)  # (N, T, W)
    with tempfile.TemporaryFile(dir=encoder.cache) as file:  # the mapping outlives the name of the file
        states: NDArray[np.float16] = np.memmap(file, np.float16, "w+", shape=shape)

    # Texts of similar length share a chunk, so that little is computed for padding.
    order = torch.argsort(texts.lengths, stable=True)
    for start in range(0, len(order), _CHUNK):
        rows = order[start : start + _CHUNK]
        chunk = encoder.states(texts.ids[rows], texts.lengths[rows])  # (K, T of the chunk, W)
        states[rows.numpy(), : chunk.shape[1]] = chunk
        tick(1)
    lengths = texts.lengths.clamp(max=frames)  # (N,)
    return replace(
        split,
        features={**split.features, "text": torch.from_numpy(states)},
        lengths={**split.lengths, "text": lengths},
        tokens=_tokens_of_states(texts.ids[:, :frames], lengths),
    )


def _tokens_of_states(ids: Int[Tensor, "N T"], lengths: Int[Tensor, " N"]) -> Int[Tensor, "N 3 T"]:
    """Ids, attention mask and segments of the tokens whose states are kept; they show where [CLS] and [SEP] are."""
    mask = valid_frames(lengths, ids.shape[1])  # (N, T)
    return torch.stack([ids * mask, mask, torch.zeros_like(mask)], dim=1).to(torch.int32)


class _Encoder:
    """Encodes chunks of texts, or reads them from the cache.

    Args:
        language: The model.
        cache: Folder for finished chunks.
        precision: Precision of the model's arithmetic.
        frames: Largest number of states that are kept of a text.

    Raises:
        BenchError: The cache cannot be written.
    """

    def __init__(self, language: LanguageModel, cache: Path, precision: Precision, frames: int) -> None:
        self._language = language
        self._precision = precision
        self._frames = frames
        self._states = TokenStates(str(language.folder)).eval()
        self.cache = cache
        self.width = self._states.width
        self.positions = self._states.positions
        try:
            cache.mkdir(parents=True, exist_ok=True)
            if not os.access(cache, os.W_OK):  # fail now instead of after the first chunk
                raise PermissionError(13, "it is not writable")
        except OSError as error:
            raise BenchError(
                f"cache {cache}: expected a writable folder, got {error.strerror}; give --cache"
            ) from error

    def states(self, ids: Int[Tensor, "K L"], lengths: Int[Tensor, " K"]) -> NDArray[np.float16]:
        """States [K, T, W] of texts in ascending order of length; T is at most the length of the last."""
        ids = ids[:, : int(lengths[-1])]  # (K, longest of the chunk)
        frames = min(ids.shape[1], self._frames)
        identity = (self._language.digest, self._precision, tuple(ids.shape), frames)
        key = hashlib.sha256(repr(identity).encode() + ids.numpy().tobytes()).hexdigest()
        path = self.cache / f"{key}.states"
        cached = _load_chunk(path)
        if cached is not None and cached.shape == (len(ids), frames, self.width):
            return cached
        states = np.concatenate(list(self._batches(ids, lengths)))
        self._save_chunk(path, states)
        return states

    def _batches(self, ids: Int[Tensor, "K L"], lengths: Int[Tensor, " K"]) -> Iterator[NDArray[np.float16]]:
        """States of some texts at a time."""
        for start in range(0, len(ids), _BATCH):
            rows = slice(start, start + _BATCH)
            # Models take token ids as features of width 1.
            batch = Batch({"text": ids[rows].float()[..., None]}, {"text": lengths[rows]})
            with at(self._precision, _CPU):
                yield self._states(batch, "text")[:, : self._frames].to(torch.float16).numpy()

    def _save_chunk(self, path: Path, states: NDArray[np.float16]) -> None:
        # Written under another name first, so that other processes never read half a chunk.
        temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            array = io.BytesIO()
            np.save(array, states)
            with temporary.open("xb") as file:
                file.write(_checksum(path, array.getvalue()) + array.getvalue())
            temporary.replace(path)
        except OSError as error:
            raise BenchError(
                f"cache {self.cache}: cannot be written ({error.strerror}); choose another with --cache"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


def _load_chunk(path: Path) -> NDArray[np.float16] | None:
    """A chunk of the cache; None if it is missing, or not as it was written."""
    try:
        content = path.read_bytes()
    except OSError:
        return None
    array = content[_CHECKSUM_BYTES:]
    if content[:_CHECKSUM_BYTES] != _checksum(path, array):
        return None
    chunk: NDArray[np.float16] = np.load(io.BytesIO(array), allow_pickle=False)
    return chunk


def _checksum(path: Path, array: bytes) -> bytes:
    """What stands before the array in a file of this name; a file that was renamed has another."""
    return hashlib.sha256(path.name.encode() + b"\0" + array).digest()
