"""The layouts of an export: what the file of a case holds. Features are written a few samples at a time.

mmsa    a pickle of train, valid and test in MMSA's layout, of which the exported split is corrupted: a complete data
        set, which `--data` takes. Transcripts and token ids of corrupted samples are left out, because they would give
        away what was lost; empty transcripts stand in, since MMSA's own code asks for some.
npz     an archive of NumPy with the samples of the exported split only.
masks   an archive of one bit per frame and modality that says what is erased, and of the scale of added noise. The
        noise itself is in one file for each seed and draw. Other corruptions cannot be described in this way.

Dimension legend: N samples, K of them in a block, T frames, D features of a frame.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from qamoe_bench.contract import Batch
from qamoe_bench.corruption.apply import apply_condition
from qamoe_bench.corruption.draws import CommonDraws
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.source import BERT_TOKENS, LABELS
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.exchange import load_masks, load_samples
from qamoe_bench.exchange.mmsa_pickle import MmsaFile, Value, slot_name
from qamoe_bench.exchange.npz_archive import NpzFile
from qamoe_bench.exchange.slots import Hole
from qamoe_bench.protocol.kinds import kind_named
from qamoe_bench.protocol.level import is_active
from qamoe_bench.protocol.spec import Condition, Protocol, Step

BLOCK = 64  # samples that are corrupted and written together; as in a sweep, they fit into the processor's cache
MASKS = "masks"
_FLOAT32 = np.dtype("<f4")

WriteCase = Callable[[BinaryIO, TestSet, Condition, Iterator[Corrupted]], None]
"""Writes a case to an open file: the samples before corruption, the condition, and the corrupted ones in blocks."""


@dataclass(frozen=True)
class CaseLayout:
    """A layout.

    Attributes:
        suffix: Ending of the files of cases.
        loader: Source file of the loader that is copied into the folder.
        write: Writes a case.
        size: Bytes of the features of a case, for the check of free space; of a data set and the exported split.
    """

    suffix: str
    loader: Path
    write: WriteCase
    size: Callable[[Dataset, str], int]


def find_layout(name: str) -> CaseLayout:
    """A layout by name.

    Raises:
        BenchError: There is none of this name.
    """
    if name not in LAYOUTS:
        raise unknown_name("--as", name, LAYOUTS)
    return LAYOUTS[name]


def blocks_of(samples: int) -> list[slice]:
    """The rows of each block of samples."""
    return [slice(start, start + BLOCK) for start in range(0, samples, BLOCK)]


def is_corrupting(condition: Condition) -> bool:
    """Whether a condition may change any sample; steps of level 0 change none."""
    return any(is_active(level) for step in condition.steps for level in step.levels.values())


def _features(corrupted: Corrupted) -> dict[str, NDArray[Any]]:
    """The corrupted features of a block, (K, T, D) by modality."""
    return {m: corrupted.batch.features[m].numpy() for m in corrupted.batch.modalities}


# A pickle of all splits.


def _write_mmsa(file: BinaryIO, test: TestSet, condition: Condition, blocks: Iterator[Corrupted]) -> None:
    is_corrupted = is_corrupting(condition)
    contents = {}
    for name, split in test.data.splits.items():
        contents[name] = _mmsa_content(split, is_exported=name == test.split, hides_text=is_corrupted)
    writer = MmsaFile(file, contents)
    for name, split in test.data.splits.items():
        if name != test.split:
            _append_clean(writer, name, split)
    for corrupted in blocks:
        writer.append({slot_name(test.split, m): x for m, x in _features(corrupted).items()})
    writer.finish()


def _append_clean(writer: MmsaFile, name: str, split: Split) -> None:
    for modality in split.modalities:
        for rows in blocks_of(len(split)):
            # Each look-up gives features that are mapped from a file a chance to release memory.
            writer.append({slot_name(name, modality): split.features[modality][rows].numpy()})


def _mmsa_content(split: Split, *, is_exported: bool, hides_text: bool) -> dict[str, Value]:
    content: dict[str, Value] = {}
    for m in split.modalities:
        # Corrupted samples are float32 as models see them, others as they are stored.
        stored = np.dtype(str(split.features[m].dtype).removeprefix("torch."))
        content[m] = Hole(_FLOAT32 if is_exported else stored.newbyteorder("<"), tuple(split.features[m].shape))
        content[f"{m}_lengths"] = split.lengths[m].numpy()
    content["id"] = list(split.ids)
    content[LABELS] = split.target.numpy()
    is_hidden = is_exported and hides_text
    if split.raw_text:
        content["raw_text"] = [""] * len(split) if is_hidden else list(split.raw_text)
    if split.tokens is not None and not is_hidden:
        content[BERT_TOKENS] = split.tokens.numpy()
    return content


def _mmsa_size(data: Dataset, exported: str) -> int:
    sizes = {name: _stored_bytes(split) for name, split in data.splits.items()}
    return sum(sizes.values()) - sizes[exported] + _npz_size(data, exported)


def _stored_bytes(split: Split) -> int:
    return sum(split.features[m].numel() * split.features[m].element_size() for m in split.modalities)


# An archive of the exported split.


def _write_npz(file: BinaryIO, test: TestSet, _: Condition, blocks: Iterator[Corrupted]) -> None:
    holes = {m: Hole(_FLOAT32, tuple(x.shape)) for m, x in test.clean.features.items()}
    lengths = {f"{m}_lengths": n.numpy() for m, n in test.clean.lengths.items()}
    writer = NpzFile(file, {"id": np.array(test.ids), LABELS: test.target, **lengths, **holes})
    for corrupted in blocks:
        writer.append(_features(corrupted))
    writer.finish()


def _npz_size(data: Dataset, exported: str) -> int:
    split = data.splits[exported]
    return sum(split.features[m].numel() for m in split.modalities) * _FLOAT32.itemsize


# Masks and noise.


def check_describable(protocol: Protocol) -> None:
    """Refuse a protocol whose corruption is more than erased frames and added noise.

    Raises:
        BenchError: With the kind that is more.
    """
    for corruption in protocol.corruptions:
        kind = corruption["kind"]
        others = sorted(kind_named(kind).effects - {"erases", "adds"})
        if others:
            raise BenchError(
                f"--as masks with protocol {protocol.name!r}: expected corruptions that erase frames or add noise, got "
                f"{kind!r}, which {others[0]} content; use --as npz"
            )


def _write_masks(file: BinaryIO, test: TestSet, condition: Condition, blocks: Iterator[Corrupted]) -> None:
    packed: dict[str, list[NDArray[np.uint8]]] = {m: [] for m in test.clean.modalities}
    for corrupted in blocks:
        for m, parts in packed.items():
            parts.append(np.packbits(corrupted.erased[m].numpy(), axis=1))  # (K, ⌈T / 8⌉)
    arrays: dict[str, NDArray[Any]] = {f"erased_{m}": np.concatenate(parts) for m, parts in packed.items()}
    for place, step, modality in _noises(condition.steps, test):
        # The factor of the draw, in the same arithmetic as the corruption itself.
        arrays[f"scale_{modality}_{place}"] = np.float32(step.levels[modality]) * test.reference.std[modality].numpy()
    np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # the stub takes the names for options


def _noises(steps: tuple[Step, ...], test: TestSet) -> Iterator[tuple[int, Step, str]]:
    """Place of each step that adds noise, the step, and each modality that it adds some to."""
    for place, step in enumerate(steps):
        if kind_named(step.kind).noise is not None:
            for modality in test.clean.modalities:
                if is_active(step.levels.get(modality, 0)):
                    yield place, step, modality


def noises_of(protocol: Protocol, test: TestSet) -> dict[str, tuple[Step, str]]:
    """The noises of a protocol by the name of their array, each as a step of level 1 for one modality."""
    noises = {}
    for condition in protocol.conditions:
        for place, step, modality in _noises(condition.steps, test):
            noises[f"noise_{modality}_{place}"] = (replace(step, levels={modality: 1.0}), modality)
    return noises


def write_noise(file: BinaryIO, test: TestSet, draw: int, noises: Mapping[str, tuple[Step, str]]) -> None:
    """Write the draws of noises at valid frames, sample after sample without padding, (frames of all samples, D)."""
    holes = {}
    for name, (_, modality) in noises.items():
        width = test.clean.features[modality].shape[2]
        holes[name] = Hole(_FLOAT32, (int(test.clean.lengths[modality].sum()), width))
    writer = NpzFile(file, holes)
    draws = CommonDraws(test.seed, test.ids, test.clean, draw)
    ones = {m: torch.ones_like(std) for m, std in test.reference.std.items()}
    unit = replace(test.reference, std=ones)
    for rows in blocks_of(len(test.ids)):
        clean = test.clean.rows(rows)
        # Noise of level 1 and σ_ref 1 on features of zero is the draw itself.
        zeros = Batch({m: torch.zeros_like(x) for m, x in clean.features.items()}, clean.lengths)
        for name, (step, modality) in noises.items():
            noisy = apply_condition(zeros, Condition(name, {}, (step,)), draws.rows(rows), unit).batch
            writer.append({name: noisy.features[modality][noisy.mask(modality)].numpy()})
    writer.finish()


def noise_size(test: TestSet, noises: Mapping[str, tuple[Step, str]]) -> int:
    """Bytes of the noises of one seed and draw."""
    sizes = [int(test.clean.lengths[m].sum()) * test.clean.features[m].shape[2] for _, m in noises.values()]
    return sum(sizes) * _FLOAT32.itemsize


def _masks_size(data: Dataset, exported: str) -> int:
    split = data.splits[exported]
    return sum(len(split) * (split.features[m].shape[1] // 8 + 1) for m in split.modalities)


LAYOUTS: Mapping[str, CaseLayout] = {
    "mmsa": CaseLayout(".pkl", Path(load_samples.__file__), _write_mmsa, _mmsa_size),
    "npz": CaseLayout(".npz", Path(load_samples.__file__), _write_npz, _npz_size),
    MASKS: CaseLayout(".npz", Path(load_masks.__file__), _write_masks, _masks_size),
}
"""The layouts by name."""
