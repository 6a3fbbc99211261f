"""Checking a NumPy file against the facts of its manifest, block by block."""

import hashlib
import re
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from qamoe_bench.data.folder.manifest import ArrayFact

# Bytes that are read and checked together.
_BLOCK_BYTES = 2**24

# Magic string and version 1.0; two bytes with the size of the header follow.
_START = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    _START + rb"..\{'descr': '([<|\w]+)', 'fortran_order': (True|False), 'shape': (\([\d, ]*\)), \} *\n", re.DOTALL
)


class MismatchError(ValueError):
    """A file differs from the manifest; its arguments are the expected property and the property of the file."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(expected, got)
        self.expected = expected
        self.got = got


def check_array(file: BinaryIO, size: int, fact: ArrayFact, lengths: NDArray[np.int64] | None) -> int:
    """Check a NumPy file without loading it as a whole.

    Args:
        file: The file, open at its start.
        size: Size of the file in bytes.
        fact: Facts that the array must have.
        lengths: Number of valid frames [N] of features, which must be zero from there on; None for other arrays.

    Returns:
        Offset of the values in the file, in bytes.

    Raises:
        MismatchError: The file has another header, size, content or hash, or values that are not finite.
    """
    offset = _check_header(file, fact)
    if size != offset + fact.bytes:
        raise MismatchError(f"{offset + fact.bytes} bytes", f"{size}")
    samples = fact.shape[0]
    row_bytes = fact.bytes // samples
    step = max(1, _BLOCK_BYTES // row_bytes)  # samples per block
    digest = hashlib.sha256()
    for start in range(0, samples, step):
        block = file.read(row_bytes * min(step, samples - start))
        digest.update(block)
        if fact.dtype.is_floating_point:
            values = np.frombuffer(block, fact.stored_dtype).reshape(-1, *fact.shape[1:])  # (samples, ...)
            _check_values(values, None if lengths is None else lengths[start : start + step])
    if digest.hexdigest() != fact.sha256:
        raise MismatchError("the SHA-256 in the manifest", "another")
    return offset


def _check_header(file: BinaryIO, fact: ArrayFact) -> int:
    """Check the header of a file; returns the offset of the values."""
    prefix = len(_START) + 2
    header_bytes = int.from_bytes(file.read(prefix)[len(_START) :], "little")
    file.seek(0)
    # NumPy's own parser evaluates the header as Python and raises many kinds of errors.
    match = _HEADER.fullmatch(file.read(prefix + header_bytes))
    if match is None:
        raise MismatchError("an array as NumPy stores it", "something else")
    descr, fortran_order, shape = (group.decode() for group in match.groups())
    if (descr, fortran_order, shape) != (fact.stored_dtype.str, "False", str(fact.shape)):
        expected = f"{fact.stored_dtype.str} in shape {fact.shape}, in row-major order"
        raise MismatchError(expected, f"{descr:.40} in shape {shape:.60}")
    return file.tell()


def _check_values(values: NDArray[Any], lengths: NDArray[np.int64] | None) -> None:
    """Check a block of samples."""
    if not np.isfinite(values).all():
        raise MismatchError("finite numbers", "others")
    if lengths is None:
        return
    beyond = np.arange(values.shape[1]) >= lengths[:, None]  # (samples, T)
    if values[beyond].any():
        raise MismatchError("zeros from each sample's length on", "others")
