"""Writing the corrupted samples of a protocol as files that any program reads.

A folder is written completely or not at all. Samples are corrupted and written a block at a time, so that data may be
larger than memory; files are hashed and flushed to disk in a second thread, while the next one is written.

Dimension legend: S seeds, V draws, C conditions, N samples, M modalities.
"""

from __future__ import annotations  # keeps the signatures that help() shows short

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray

from qamoe_bench import __version__
from qamoe_bench.corruption.state import Corrupted
from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.label_scale import NARROW, WIDE, look_of_classes, option_for
from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.evaluation.columns import Columns, realised_corruption, stack
from qamoe_bench.evaluation.test_set import TestSet
from qamoe_bench.exchange.layouts import (
    MASKS,
    CaseLayout,
    blocks_of,
    check_describable,
    find_layout,
    noise_size,
    noises_of,
    write_noise,
)
from qamoe_bench.exchange.manifest import FACTS_FILE, MANIFEST_FILE, SAMPLES_FILE, TEST, sealed
from qamoe_bench.protocol.parse import load_protocol
from qamoe_bench.protocol.spec import Condition, Protocol
from qamoe_bench.run.arithmetic import one_thread
from qamoe_bench.run.planner import check_tokens
from qamoe_bench.store.folder import json_bytes
from qamoe_bench.store.new_folder import check_place, new_folder

LOADER_FILE = "load.py"
SHOWN_DIGITS = 12
"""Digits of a digest that cases carry; enough to distinguish any two protocols or data sets."""
_SPARE = 1.01  # of the features, for ids, lengths and headers
_CPU = torch.device("cpu")


def export_samples(
    output: Path | str,
    protocol: Protocol | str = "random-missing",
    data: Dataset | str = "synthetic",
    seeds: Sequence[int] = (1111, 1112, 1113),
    split: str = TEST,
    layout: str = "mmsa",
    tick: Callable[[int], None] = lambda _: None,
) -> dict[str, Any]:
    """Write the corrupted samples of every condition, as models receive them in a sweep.

    Args:
        output: The new folder; it must not exist or be empty.
        protocol: A protocol, its name, or the path of a TOML file.
        data: A data set, or the name or path of one as in `load_data`.
        seeds: Seeds of the corruption.
        split: `train`, `valid` or `test`; predictions can be imported for `test`.
        layout: `mmsa`, `npz` or `masks`; see `qamoe_bench.exchange.layouts`.
        tick: Called with 1 after each case.

    Returns:
        The manifest that was written as `manifest.json`; see `qamoe_bench.exchange.manifest`.

    Raises:
        BenchError: If a name is unknown, the protocol does not fit the data or the layout, or the folder is not empty
            or cannot be written; nothing is left behind then.

    Examples:
        >>> manifest = qamoe_bench.export_samples("exported", "fixed-missing", seeds=(1111,), layout="masks")
        >>> case = manifest["cases"][0]
        >>> case["condition"], case["file"], case["missing"]["text"]
        ('all', '1111-0-00-all.npz', 0.0)
    """
    folder = Path(output)
    check_place(folder)  # before the data are read, which may take minutes
    chosen = find_layout(layout)
    sweep = load_protocol(protocol) if isinstance(protocol, str) else protocol
    if layout == MASKS:
        check_describable(sweep)
    dataset = open_dataset(data) if isinstance(data, str) else data
    _check(dataset, sweep, split, seeds)
    export = _Export(dataset, sweep, tuple(dict.fromkeys(seeds)), split, layout, chosen)
    _check_space(export, folder)
    return _written(export, folder, tick)


def _written(export: "_Export", folder: Path, tick: Callable[[int], None]) -> dict[str, Any]:
    """Write an export with all its files, or nothing; returns its manifest."""
    # Several threads would compete with the one that hashes and flushes files.
    with one_thread(), new_folder(folder) as temporary, _Files(temporary) as files:
        cases = export.write(files, tick)
        manifest = sealed(export.description(cases, files.facts()))
        (temporary / MANIFEST_FILE).write_bytes(json_bytes(manifest))
    return manifest


def cases_in(protocol: Protocol, seeds: Sequence[int]) -> int:
    """The number of cases of an export."""
    return len(set(seeds)) * protocol.draws * len(protocol.conditions)


def _check(data: Dataset, protocol: Protocol, split: str, seeds: Sequence[int]) -> None:
    if split not in data.splits:
        raise unknown_name("split", split, data.splits)
    if not data.task.is_regression:
        raise BenchError(
            f"data {data.name!r}: expected labels of regression, got {data.task.kind}; exported files and imported "
            "predictions are of sentiments only, so evaluate classes with 'qamoe-bench run' or evaluate()"
        )
    if not seeds:
        raise BenchError("seeds: expected at least one, got none; name some, as in 1111,1112")
    if data.token_ids:
        raise BenchError(
            f"data {data.name!r}: expected features, got token ids of a language model, which no other program reads "
            "as such; export the data file that they were made from"
        )
    check_tokens(protocol, data)


def _check_space(export: _Export, folder: Path) -> None:
    """Refuse an export that does not fit on the disk, before it fills it."""
    needed = _SPARE * export.bytes
    place = next(parent for parent in folder.absolute().parents if parent.exists())
    free = shutil.disk_usage(place).free
    if needed > free:
        smaller = "--as npz, fewer seeds," if export.layout_name == "mmsa" else "fewer seeds"
        raise BenchError(
            f"{folder}: expected {needed / 1e9:.1f} GB of free space for {len(export.trials)} cases, got "
            f"{free / 1e9:.1f}; free some, or choose {smaller} or another disk"
        )


@dataclass(frozen=True)
class _Export:
    """Everything that an export is made of."""

    data: Dataset
    protocol: Protocol
    seeds: tuple[int, ...]
    split: str
    layout_name: str
    layout: CaseLayout

    @property
    def trials(self) -> list[tuple[int, int, int, Condition]]:
        """Seed, draw, index of the condition, and the condition of every case; conditions change fastest."""
        draws = range(self.protocol.draws)
        conditions = list(enumerate(self.protocol.conditions))
        return [(seed, draw, i, condition) for seed in self.seeds for draw in draws for i, condition in conditions]

    @property
    def bytes(self) -> int:
        """Size of all features, or of masks and noise."""
        size = len(self.trials) * self.layout.size(self.data, self.split)
        if self.layout_name == MASKS:
            test = self._test(self.seeds[0])
            size += len(self.seeds) * self.protocol.draws * noise_size(test, noises_of(self.protocol, test))
        return size

    def _test(self, seed: int) -> TestSet:
        return TestSet(self.data, seed, _CPU, self.split)

    def write(self, files: _Files, tick: Callable[[int], None]) -> list[dict[str, Any]]:
        """Write all files except for the manifest; returns the manifest's entry of each case."""
        test = self._test(self.seeds[0])
        cases = []
        realised: list[Columns] = []
        for seed, draw, index, condition in self.trials:
            if test.seed != seed:
                test = self._test(seed)
            name = f"{seed}-{draw}-{index:02d}-{_readable(condition.name)}{self.layout.suffix}"
            noise = self._noise_file(files, test, draw, is_first=index == 0) if self.layout_name == MASKS else ""
            parts: list[Columns] = []
            with files.new(name) as file:
                self.layout.write(file, test, condition, _recorded(test, condition, draw, parts))
            columns = stack(parts)
            realised.append(columns)
            cases.append(self._entry((seed, draw), condition.name, (name, noise), columns))
            tick(1)
        self._write_shared(files, test, realised)
        return cases

    def _noise_file(self, files: _Files, test: TestSet, draw: int, *, is_first: bool) -> str:
        """Name of the file of noise of a seed and draw, which is written with its first case; empty without noise."""
        noises = noises_of(self.protocol, test)
        name = f"noise-{test.seed}-{draw}.npz"
        if noises and is_first:
            with files.new(name) as file:
                write_noise(file, test, draw, noises)
        return name if noises else ""

    def _entry(
        self, trial: tuple[int, int], condition: str, names: tuple[str, str], columns: Columns
    ) -> dict[str, Any]:
        """What the manifest says of a case."""
        means = {name: float(np.mean(values, dtype=np.float64)) for name, values in columns.items()}
        modalities = self.data.splits[self.split].modalities
        return {
            "protocol_digest": self.protocol.digest[:SHOWN_DIGITS],
            "data_digest": self.data.digest[:SHOWN_DIGITS],
            "seed": trial[0],
            "draw": trial[1],
            "condition": condition,
            "file": names[0],
            "noise_file": names[1],
            "missing": {m: means[f"missing_{m}"] for m in modalities},
            "noise": {m: means[f"noise_{m}"] for m in modalities},
        }

    def _write_shared(self, files: _Files, test: TestSet, realised: Sequence[Columns]) -> None:
        """Write the loader, the identity of the samples, and what a store records of them."""
        with files.new(LOADER_FILE) as file:
            file.write(self.layout.loader.read_bytes())
        lengths = {f"{m}_lengths": n.numpy() for m, n in test.clean.lengths.items()}
        with files.new(SAMPLES_FILE) as file:
            np.savez_compressed(file, id=np.array(test.ids), target=test.target, **lengths)  # type: ignore[arg-type]
        if self.split == TEST:
            with files.new(FACTS_FILE) as file:
                np.savez_compressed(file, **self._facts(test, realised))  # type: ignore[arg-type]

    def _facts(self, test: TestSet, realised: Sequence[Columns]) -> dict[str, NDArray[Any]]:
        """Realised corruption (S, V, C, N), and properties of the samples (N), by the names of their columns."""
        shape = (len(self.seeds), self.protocol.draws, len(self.protocol.conditions), len(test.ids))
        facts: dict[str, NDArray[Any]] = {name: stacked.reshape(shape) for name, stacked in stack(realised).items()}
        scatter = {f"scatter_{m}": tau.astype(np.float32) for m, tau in test.scatter.items()}
        return facts | scatter | test.properties

    def description(self, cases: Sequence[dict[str, Any]], files: dict[str, Any]) -> dict[str, Any]:
        """The content of the manifest."""
        protocol = self.protocol
        prose = {name: getattr(protocol, name) for name in ("name", "digest", "title", "source", "definition", "draws")}
        split = self.data.splits[self.split]
        return {
            "written_by": f"qamoe-bench {__version__}",
            "layout": self.layout_name,
            "protocol": prose,
            "data": {
                "name": self.data.name,
                "digest": self.data.digest,
                "label_range": list(self.data.label_range),
                "samples": {name: len(part) for name, part in self.data.splits.items()},
                "widths": dict(self.data.spec.widths),
                "notes": list(self.data.notes),
            },
            "split": self.split,
            "samples": len(split),
            "seeds": list(self.seeds),
            "conditions": [{"name": c.name, "levels": dict(c.levels)} for c in protocol.conditions],
            "cases": list(cases),
            "files": files,
            "reading": reading_option(self.data),
        }


def reading_option(data: Dataset) -> str:
    """The option with which exported labels are read on the scale of the data set; empty if none is needed."""
    labels = np.concatenate([split.target.numpy().astype(np.float64) for split in data.splits.values()])
    by_default = NARROW if np.abs(labels).max() <= NARROW[1] else WIDE
    is_default = data.label_range == by_default and not look_of_classes(labels)
    return "" if is_default else option_for(data.label_range)


def _recorded(test: TestSet, condition: Condition, draw: int, parts: list[Columns]) -> Iterator[Corrupted]:
    """The corrupted samples in blocks; adds what the corruption of each block came out as to `parts`."""
    for rows in blocks_of(len(test.ids)):
        corrupted = test.corrupted(condition, rows, draw)
        parts.append(realised_corruption(corrupted))
        yield corrupted


def _readable(name: str) -> str:
    """The name of a condition as a part of a file name; the index before it makes it unique."""
    return re.sub(r"[^A-Za-z0-9.=+-]+", "_", name)[:60]


@dataclass
class _Files:
    """New files in a folder, each hashed and flushed to disk in the background after it was written."""

    folder: Path
    _facts: dict[str, Future[dict[str, Any]]] = field(default_factory=dict)
    # One thread: a second one would compete with the writer for the disk.
    _thread: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1))

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    @contextmanager
    def new(self, name: str) -> Iterator[BinaryIO]:
        """A new file of this name."""
        path = self.folder / name
        # Not to be far ahead of the disk: the files that wait are in memory until they are flushed.
        for earlier in list(self._facts.values())[:-1]:
            earlier.result()
        with path.open("xb") as file:
            yield file
        self._facts[name] = self._thread.submit(_flushed_facts, path)

    def facts(self) -> dict[str, Any]:
        """Size and SHA-256 of all files."""
        return {name: future.result() for name, future in self._facts.items()}


def _flushed_facts(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
        return {"bytes": os.fstat(file.fileno()).st_size, "sha256": digest}
