"""From the content of a file to a data set: finite frames, padded at the back with exact zeros.

Every repair is reported in the notes of the data set.
"""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from qamoe_bench.data.dataset import SPLITS, Dataset, Split
from qamoe_bench.data.digest import content_digest
from qamoe_bench.data.features import ModalityPart, front_votes, take_part
from qamoe_bench.data.labels import take_labels
from qamoe_bench.data.names import sample_names, sample_transcripts
from qamoe_bench.data.options import DEFAULT_READING, ReadingOptions
from qamoe_bench.data.readers.splits import named
from qamoe_bench.data.source import RawSplit, Source
from qamoe_bench.data.stored_tokens import StoredTokens, take_tokens, text_note
from qamoe_bench.vocabulary import MODALITIES

_Counts = Mapping[str, int]
_Tokens = Mapping[str, StoredTokens | None]


def cleaned(source: Source, name: str, options: ReadingOptions = DEFAULT_READING) -> Dataset:
    """The data set in a file, with every repair reported in its `notes`.

    Args:
        source: Content of the file; its arrays are removed while they are read.
        name: Name of the data set, used in tables.
        options: What the labels say, and what the user accepts.

    Raises:
        BenchError: The content cannot be repaired; the message names file, split and key.
    """
    notes = list(source.notes)
    raw = source.splits
    labels = take_labels(raw, options, notes, source.task)
    counts = {split: len(values) for split, values in labels.values.items()}
    tokens = take_tokens(raw, counts, notes)
    notes += text_note(raw, all(array is not None for array in tokens.values()), notes)
    ids = {split.name: sample_names(split, counts[split.name], notes) for split in raw}
    transcripts = {split.name: sample_transcripts(split, counts[split.name]) for split in raw}
    features, lengths = _features(raw, counts, tokens, notes)
    notes += _unread(raw)

    splits = {}
    for split in SPLITS:
        splits[split] = Split(
            ids[split],
            torch.from_numpy(labels.values[split]),
            features[split],
            lengths[split],
            transcripts[split],
            _as_tensor(tokens[split]),
        )
    digest = content_digest(splits, labels.label_range, task=labels.task)
    return Dataset(
        name,
        splits,
        digest,
        labels.label_range,
        tuple(notes),
        token_model=source.token_model,
        reading=options,
        task=labels.task,
    )


def _unread(raw: Sequence[RawSplit]) -> list[str]:
    """A note on the keys of a file that nothing was read from."""
    keys = dict.fromkeys(split.file_key(key) if isinstance(key, str) else key for split in raw for key in split.content)
    return [f"Not read: {named(keys)}."] if keys else []


def _as_tensor(tokens: StoredTokens | None) -> torch.Tensor | None:
    return None if tokens is None else torch.from_numpy(tokens)


# Features.

_Tensors = dict[str, dict[str, torch.Tensor]]  # by split, then by modality


def _features(raw: Sequence[RawSplit], counts: _Counts, tokens: _Tokens, notes: list[str]) -> tuple[_Tensors, _Tensors]:
    """Features [N, T, D] and lengths [N] by split and modality; adds a sentence on each repair to `notes`."""
    features: _Tensors = {split: {} for split in SPLITS}
    lengths: _Tensors = {split: {} for split in SPLITS}
    # One modality at a time, so that the file's arrays of one are freed before those of the next are converted.
    for modality in _modalities(raw):
        parts = [take_part(split, modality, counts[split.name], tokens[split.name]) for split in raw]
        _check_widths(raw, modality, parts)
        notes += _repair_padding(modality, parts)
        for name, part in zip(SPLITS, parts, strict=True):
            features[name][modality] = torch.from_numpy(part.frames)
            lengths[name][modality] = torch.from_numpy(part.lengths())
    return features, lengths


def _modalities(splits: Sequence[RawSplit]) -> tuple[str, ...]:
    """The modalities that all splits have, in canonical order."""
    present = {}
    for split in splits:
        present[split.name] = [m for m in MODALITIES if m in split.content]
    anywhere = set().union(*present.values())
    for split in splits:
        for m in MODALITIES:
            if m in anywhere and m not in present[split.name]:
                expected = "the same modalities in every split"
                raise split.wrong(m, expected, "none here", "add it here or remove it from the other splits")
    return tuple(present[SPLITS[0]])


def _check_widths(splits: Iterable[RawSplit], modality: str, parts: Sequence[ModalityPart]) -> None:
    width = parts[0].frames.shape[2]
    for split, part in zip(splits, parts, strict=True):
        if part.frames.shape[2] != width:
            raise split.wrong(modality, f"width {width} as in {SPLITS[0]!r}", str(part.frames.shape[2]))


def _repair_padding(modality: str, parts: Sequence[ModalityPart]) -> list[str]:
    """Pad all splits at the back, in place.

    Returns:
        A note on each repair, one sentence each.
    """
    notes = []
    low, high, nan = np.sum([part.not_finite for part in parts], axis=0)
    total = low + high + nan
    if total:
        notes.append(
            f"{modality}: {total} values were not finite ({low} -inf, {high} +inf, {nan} NaN) and were set to 0."
        )

    too_long = sum(part.cut_lengths for part in parts)
    if too_long:
        notes.append(
            f"{modality}: {too_long} stored lengths exceed the {parts[0].frames.shape[1]} frames and were cut."
        )
    if all(part.whole for part in parts):
        notes.append(f"{modality}: all values are whole numbers; make sure that they are features.")

    # The splits of a file are padded alike, so all samples vote on the side together.
    if sum(front_votes(part.filled, part.stored_lengths) for part in parts) > 0:
        moved = sum(part.move_padding_to_back() for part in parts)
        notes.append(f"{modality}: {moved} samples were padded at the front; their padding was moved to the back.")

    # Corruptions and models take an exact zero beyond the length for granted.
    cleared = sum(part.clear_padding() for part in parts)
    if cleared:
        notes.append(f"{modality}: {cleared} frames beyond the given length were not zero and were set to 0.")
    return notes
