"""Writing a data set in the suite's own format, whole or not at all: see `qamoe_bench.data.folder.folder`."""

import hashlib
import json
import os
import shutil
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from qamoe_bench.data.dataset import Dataset, Split
from qamoe_bench.data.digest import digest_of_facts
from qamoe_bench.data.folder.folder import FORMAT, MANIFEST, SCHEMA, TOKENS, file_name
from qamoe_bench.errors import BenchError
from qamoe_bench.store.atomic import is_alive

BLOCK = 512  # samples that are written together
Tick = Callable[[int], None]


def blocks_in(data: Dataset) -> int:
    """How many blocks writing a data set takes, for those who show progress."""
    return sum(len(split.modalities) * -(-len(split) // BLOCK) for split in data.splits.values())


def write(data: Dataset, folder: Path, source: Mapping[str, Any], tick: Tick = lambda _: None) -> str:
    """Write a data set; returns its digest.

    Args:
        data: The data set; its features may be larger than memory.
        folder: Where to write; nothing may be there yet.
        source: What to remember of where it came from.
        tick: Told of every finished block.

    Raises:
        BenchError: Something is there already, or it cannot be written to; nothing is left behind.
    """
    with _new_folder(folder) as temporary:
        writer = _Writer(temporary, tick)
        about = {name: writer.split(name, split) for name, split in data.splits.items()}
        facts = {name: told["arrays"] for name, told in about.items()}
        digest = digest_of_facts(facts, data.splits, data.label_range, data.token_ids)
        manifest = {
            "format": FORMAT, "schema": SCHEMA, "name": data.name, "digest": digest, "source": dict(source),
            "label_range": [*data.label_range], "token_ids": dict(data.token_ids), "notes": [*data.notes],
            "splits": about,
        }  # fmt: skip
        _write_json(temporary / MANIFEST, manifest, indent=2)
    return digest


def check_place(folder: Path) -> None:
    """Refuse a place where something is already."""
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise BenchError(f"{folder}: expected a place where nothing is yet, got something; name another or remove it")


@contextmanager
def _new_folder(folder: Path) -> Iterator[Path]:
    """A folder beside the place, which takes the place when all went well, and goes when not."""
    check_place(folder)
    name = f".{folder.name}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex}.tmp"
    temporary = folder.absolute().parent / name
    try:
        _sweep(folder)
        temporary.mkdir(parents=True)
        yield temporary
        _sync(temporary)
        temporary.replace(folder.absolute())
        _sync(folder.absolute().parent)
    except OSError as error:
        reason = error.strerror or str(error)
        raise BenchError(
            f"cannot write {folder} ({reason}); free space, or name a place that can be written to"
        ) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Remove what a killed conversion to the same place left."""
    for left in folder.absolute().parent.glob(f".{folder.name}.*.tmp"):
        host, pid, *_ = left.name.removeprefix(f".{folder.name}.").rsplit(".", 3)
        if host == socket.gethostname() and pid.isdigit() and not is_alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _sync(folder: Path) -> None:
    with suppress(OSError):  # some systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class _Writer:
    def __init__(self, folder: Path, tick: Tick) -> None:
        self._folder, self._tick = folder, tick

    def split(self, name: str, split: Split) -> dict[str, Any]:
        """Write one split; returns what the manifest says of it."""
        arrays = {"labels": self._array(name, "labels", split.target)}
        for m in split.modalities:
            blocks = (split.features[m][start : start + BLOCK] for start in range(0, len(split), BLOCK))
            arrays[m] = self._blocks(name, m, split.features[m], blocks)
            arrays[f"{m}_lengths"] = self._array(name, f"{m}_lengths", split.lengths[m])
        if split.tokens is not None:
            arrays[TOKENS] = self._array(name, TOKENS, split.tokens)
        texts = {"id": split.ids, **({"raw_text": split.raw_text} if split.raw_text else {})}
        return {
            "samples": len(split),
            "arrays": arrays,
            "texts": {key: _write_json(self._folder / file_name(name, key, "json"), t) for key, t in texts.items()},
        }

    def _array(self, split: str, key: str, values: Tensor) -> dict[str, Any]:
        return self._blocks(split, key, values, iter([values]))

    def _blocks(self, split: str, key: str, like: Tensor, blocks: Iterator[Tensor]) -> dict[str, Any]:
        dtype = np.dtype(str(like.dtype).removeprefix("torch.")).newbyteorder("<")
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": tuple(like.shape)}
        digest = hashlib.sha256()
        with (self._folder / file_name(split, key, "npy")).open("xb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for block in blocks:
                content = np.ascontiguousarray(block.numpy(), dtype).data
                digest.update(content)
                file.write(content)
                self._tick(like.dim() == 3)
            _flush(file)
        return {"dtype": dtype.name, "shape": [*like.shape], "sha256": digest.hexdigest()}


def _write_json(path: Path, content: object, indent: int | None = None) -> str:
    """Write JSON; returns its SHA-256."""
    encoded = json.dumps(content, indent=indent, ensure_ascii=False).encode()
    with path.open("xb") as file:
        file.write(encoded)
        _flush(file)
    return hashlib.sha256(encoded).hexdigest()


def _flush(file: Any) -> None:
    file.flush()
    os.fsync(file.fileno())
