"""Raw text to token states of a frozen language model, for those who train on features.

Texts of like length are encoded together, a chunk at a time. Finished chunks are kept in a cache under a digest of
their token ids, the model and the precision, so that a killed run goes on and the same words are encoded once. States
are kept in float16, and lie in a file and not in memory.

Dimension legend: N samples, K texts of a chunk, L tokens, T of them kept, W width of a state.
"""

import hashlib
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

from qamoe_bench.contract import Batch
from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.text.language_model import LanguageModel
from qamoe_bench.data.text.tokens import TOKENS, tokenise
from qamoe_bench.errors import BenchError
from qamoe_bench.evaluation.precision import Precision, at
from qamoe_bench.nn.language import TokenStates

CHUNK, BATCH = 256, 32
CPU = torch.device("cpu")


def default_cache() -> Path:
    """`qamoe-bench/states` in the user's folder for caches."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "qamoe-bench" / "states"


def chunks_in(data: Dataset) -> int:
    """How many chunks the texts of a data set are, for those who show progress."""
    return sum(-(-len(split) // CHUNK) for split in data.splits.values())


def encode_text(
    data: Dataset,
    language: LanguageModel,
    cache: Path,
    frames: int = TOKENS,
    tokens: int | None = None,
    precision: Precision = "float32",
    tick: Callable[[int], object] = lambda _: None,
) -> Dataset:
    """The data set with the model's last hidden states in place of its text features, [CLS] and [SEP] included.

    Args:
        data: Holds raw text, or token ids of the model's vocabulary.
        language: The model.
        cache: Folder for finished chunks.
        frames: States that are kept of a text at most.
        tokens: Tokens that the model reads of a text at most; by default all that it can.
        precision: Of the model's arithmetic.
        tick: Told of every finished chunk.

    Raises:
        BenchError: Where there are no words, or the cache cannot be written to.
    """
    tokenizer = language.tokenizer()
    encoder = _Encoder(language, cache, precision, frames)
    reads = min(tokens or encoder.positions, encoder.positions)
    found = {name: tokenise(split, data.name, tokenizer, reads) for name, split in data.splits.items()}
    frames = min(frames, max(int(lengths.max()) for _, lengths, _ in found.values()))
    splits = {name: _with_states(split, encoder, *found[name][:2], frames, tick) for name, split in data.splits.items()}
    cut = sum(int((lengths > frames).sum()) for _, lengths, _ in found.values())
    note = (
        f"text: states of {language.name} ({precision}), which read {reads} tokens of a sample at most; the first "
        f"{frames} are kept, and {cut} samples have more."
    )
    words = repr((data.digest, language.digest, frames, reads, precision))
    return replace(
        data,
        name=f"{data.name}-{language.name}",
        splits=splits,
        digest=hashlib.sha256(words.encode()).hexdigest(),
        notes=(*data.notes, note),
        oracle=None,
    )


def _with_states(
    split: Split,
    encoder: "_Encoder",
    ids: Int[Tensor, "N L"],
    lengths: Int[Tensor, " N"],
    frames: int,
    tick: Callable[[int], object],
) -> Split:
    shape = (len(ids), frames, encoder.width)
    with tempfile.TemporaryFile(dir=encoder.cache) as file:  # the mapping outlives it
        states: NDArray[np.float16] = np.memmap(file, np.float16, "w+", shape=shape)
    order = torch.argsort(lengths, stable=True)
    for start in range(0, len(order), CHUNK):
        rows = order[start : start + CHUNK]
        chunk = encoder.states(ids[rows], lengths[rows])  # (K, T of the chunk, W)
        states[rows.numpy(), : chunk.shape[1]] = chunk
        tick(1)
    return replace(
        split,
        features={**split.features, "text": torch.from_numpy(states)},
        lengths={**split.lengths, "text": lengths.clamp(max=frames)},
    )


class _Encoder:
    """Encodes chunks, or finds them in the cache."""

    def __init__(self, language: LanguageModel, cache: Path, precision: Precision, frames: int) -> None:
        self._language, self._precision, self._frames = language, precision, frames
        self._states = TokenStates(str(language.folder)).eval()
        self.cache, self.width, self.positions = cache, self._states.width, self._states.positions
        try:
            cache.mkdir(parents=True, exist_ok=True)
            if not os.access(cache, os.W_OK):
                raise PermissionError(13, "it may not be written to")
        except OSError as error:
            raise BenchError(
                f"cache {cache}: expected a folder to write to, got {error.strerror}; give --cache"
            ) from error

    def states(self, ids: Int[Tensor, "K L"], lengths: Int[Tensor, " K"]) -> NDArray[np.float16]:
        """Of texts whose lengths rise; T is that of the longest, or as many as are kept."""
        ids = ids[:, : int(lengths[-1])]
        frames = min(ids.shape[1], self._frames)
        words = (self._language.digest, self._precision, tuple(ids.shape), frames)
        key = hashlib.sha256(repr(words).encode() + ids.numpy().tobytes()).hexdigest()
        path = self.cache / f"{key}.npy"
        found = _kept(path)
        if found is not None and found.shape == (len(ids), frames, self.width):
            return found
        made = np.concatenate([*self._batches(ids, lengths)])
        self._keep(path, made)
        return made

    def _batches(self, ids: Int[Tensor, "K L"], lengths: Int[Tensor, " K"]) -> Iterator[NDArray[np.float16]]:
        for start in range(0, len(ids), BATCH):
            rows = slice(start, start + BATCH)
            batch = Batch({"text": ids[rows].float()[..., None]}, {"text": lengths[rows]})
            with at(self._precision, CPU):
                yield self._states(batch, "text")[:, : self._frames].to(torch.float16).numpy()

    def _keep(self, path: Path, states: NDArray[np.float16]) -> None:
        temporary = path.with_name(f".{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("xb") as file:
                np.save(file, states)
            temporary.replace(path)
        except OSError as error:
            raise BenchError(
                f"cache {self.cache}: cannot be written to ({error.strerror}); name another with --cache"
            ) from error
        finally:
            temporary.unlink(missing_ok=True)


def _kept(path: Path) -> NDArray[np.float16] | None:
    """A chunk of the cache; None where there is none, or a damaged one."""
    try:
        found: NDArray[np.float16] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found if found.dtype == np.float16 else None
