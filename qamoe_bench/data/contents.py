"""The objects in a data file, before its layout is recognised."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from qamoe_bench.data.file_kinds import ZIP
from qamoe_bench.data.memory import check_memory
from qamoe_bench.data.pickles import safe_pickle
from qamoe_bench.data.unpacking import is_torch_archive
from qamoe_bench.errors import BenchError

# Nesting of a data set: splits, keys, and lists of lists.
_MAX_NESTING = 6

_TORCH_REMEDY = "save the same dict with pickle and NumPy arrays, or only tensors, lists and text with torch.save"


@dataclass(frozen=True)
class Contents:
    """The objects in a file.

    Attributes:
        path: The file, or the folder whose files were put together.
        size: Bytes of the uncompressed file; what would expand to many times more is refused.
        value: The objects: dicts, lists, text, numbers and NumPy arrays.
        notes: Decisions made while reading, one sentence each.
    """

    path: Path
    size: int
    value: object
    notes: tuple[str, ...] = ()


def contents_of(path: Path) -> Contents:
    """The objects in a pickle or a file of torch; no code in it is executed.

    Raises:
        BenchError: The file is damaged, or holds anything but arrays, containers, text and numbers.
    """
    with path.open("rb") as file:
        start = file.read(len(ZIP))
    size = path.stat().st_size
    check_memory(path, size)
    if start != ZIP:
        return Contents(path, size, safe_pickle.load(path))
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        unpacked_size = sum(member.file_size for member in archive.infolist())
    if not is_torch_archive(names):
        raise BenchError(
            f"{path}: expected a data file, got an archive of NumPy arrays; store train, valid and test as dicts of "
            "arrays in a pickle"
        )
    if unpacked_size > size:  # torch does not compress
        raise BenchError(f"{path}: expected a file of torch.save, got a compressed one; {_TORCH_REMEDY}")
    return Contents(path, size, _torch_content(path, size))


def _torch_content(path: Path, size: int) -> object:
    """The content of a file of torch, with tensors as arrays."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged file can raise anything
        reason = ascii(" ".join(str(error).split("\n")[0].split()))[1:-1][:160]
        raise BenchError(
            f"{path}: expected a file of torch with tensors, lists and text only, got another or a damaged one "
            f"({reason}); nothing was executed; {_TORCH_REMEDY}"
        ) from error
    return _as_arrays(content, path, size, _MAX_NESTING)


def _as_arrays(value: object, path: Path, size: int, levels: int) -> object:
    """The same object with an array in place of every tensor."""
    if isinstance(value, torch.Tensor):
        dense = value.layout == torch.strided and not value.is_quantized and not value.is_complex()
        # Strides of zero make a tensor of any size from one number.
        if not dense or value.numel() * value.element_size() > size:
            raise BenchError(f"{path}: expected ordinary tensors, got a {value.dtype} of another kind; {_TORCH_REMEDY}")
        return (value.float() if value.dtype == torch.bfloat16 else value.detach()).numpy()
    if levels and isinstance(value, Mapping):
        return {key: _as_arrays(item, path, size, levels - 1) for key, item in value.items()}
    if levels and isinstance(value, list | tuple) and not all(isinstance(item, str | float | int) for item in value):
        items = [_as_arrays(item, path, size, levels - 1) for item in value]
        return tuple(items) if isinstance(value, tuple) else items
    return np.asarray(value) if isinstance(value, np.generic) else value
