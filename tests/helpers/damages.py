"""Damages to the files of a finished store, one at a time: each is named or changes nothing, and other cells stay."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from torch import nn

from qamoe_bench.data.open import open_dataset
from qamoe_bench.errors import BenchError
from qamoe_bench.registry import find_model
from qamoe_bench.store.store import Store
from qamoe_bench.training.checkpoint import load_weights

Damage = Callable[[bytes, list[bytes], random.Random], bytes]


def flipped_bit(content: bytes, others: list[bytes], numbers: random.Random) -> bytes:
    """One bit changed."""
    changed = bytearray(content)
    changed[numbers.randrange(len(changed))] ^= 1 << numbers.randrange(8)
    return bytes(changed)


def zeroed_block(content: bytes, others: list[bytes], numbers: random.Random) -> bytes:
    """A block of zeros, as a disk returns for what was never written."""
    first = numbers.randrange(len(content))
    size = min(numbers.randrange(1, 4096), len(content) - first)
    return content[:first] + bytes(size) + content[first + size :]


def truncated(content: bytes, others: list[bytes], numbers: random.Random) -> bytes:
    """The end is missing."""
    return content[: numbers.randrange(len(content))]


def extended(content: bytes, others: list[bytes], numbers: random.Random) -> bytes:
    """Random bytes at the end."""
    return content + numbers.randbytes(numbers.randrange(1, 4096))


def another_cell(content: bytes, others: list[bytes], numbers: random.Random) -> bytes:
    """The content of another file under this name."""
    return numbers.choice(others)


def edited_value(content: bytes, others: list[bytes], numbers: random.Random) -> bytes:
    """A valid file with one other number, and the metadata as they were."""
    if not content.startswith(b"PAR1"):
        return flipped_bit(content, others, numbers)
    table = pq.read_table(pa.BufferReader(content))
    name = numbers.choice(["prediction", "target"])
    values = table[name].to_numpy().copy()
    values[numbers.randrange(len(values))] += 0.25
    place = table.schema.get_field_index(name)
    sink = pa.BufferOutputStream()
    pq.write_table(table.set_column(place, table.schema.field(name), pa.array(values)), sink, compression="zstd")
    edited: bytes = sink.getvalue().to_pybytes()
    return edited


KINDS: tuple[Damage, ...] = (flipped_bit, zeroed_block, truncated, extended, another_cell, edited_value)


def damage_files(root: Path, data: Path, models: Sequence[str], numbers: random.Random, count: int) -> Counter[str]:
    """Damage `count` files of predictions and weights in turn; what was stored is read back after each.

    Args:
        root: A small store, of these models alone.
        data: The data that they were trained on.
        models: Their names.
        numbers: Chooses files and places.
        count: How many damages.
    """
    cells = {c.cell.file_name: c.predictions for c in Store(root).cells()}
    predictions = sorted(Store(root).runs.glob("*/predictions/[!.]*.parquet"))
    weights = sorted(Store(root).runs.glob("*/checkpoints/[!.]*.safetensors"))
    built = [_built(name, data) for name in models]
    model_of = {path: next(model for model in built if _fits(model, path)) for path in weights}
    events = Counter[str]()
    for k in range(count):
        damage = KINDS[k % len(KINDS)]
        paths = weights if numbers.random() < 0.25 else predictions
        path = numbers.choice(paths)
        content = path.read_bytes()
        changed = damage(content, [p.read_bytes() for p in paths if p != path], numbers)
        path.write_bytes(changed)
        events["files damaged"] += 1
        named = not _fits(model_of[path], path) if path in model_of else _check_cells(root, path, cells)
        # A block that held zeros already is the only damage that changes nothing.
        assert named or changed == content, f"{path}: {damage.__doc__} was not noticed"
        events["damages named"] += named
        path.write_bytes(content)
    assert {c.cell.file_name for c in Store(root).cells()} == cells.keys()
    return events


def _check_cells(root: Path, damaged: Path, cells: dict[str, pd.DataFrame]) -> bool:
    """Whether the damaged file is named; all other cells are as before, and so is this one if it is accepted."""
    contents = Store(root, keeps_index=False).contents()
    names = [str(damage.path) for damage in contents.damaged]
    assert names in ([], [str(damaged)])
    read = {c.cell.file_name: c.predictions for c in contents.cells}
    assert cells.keys() - read.keys() <= ({damaged.name} if names else set())
    for name, expected in cells.items():
        if name in read:
            pd.testing.assert_frame_equal(read[name], expected, check_exact=True)
    return bool(names)


def _built(name: str, data: Path) -> nn.Module:
    ref = find_model(name)
    model = ref.builder()(open_dataset(str(data)).spec)
    assert isinstance(model, nn.Module)
    return model


def _fits(model: nn.Module, path: Path) -> bool:
    """Whether a file is accepted as the weights of a model under the key that names it."""
    try:
        load_weights(model, path)
    except BenchError:
        return False
    return True
