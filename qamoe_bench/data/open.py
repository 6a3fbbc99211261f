"""A data set by name or path."""

from functools import lru_cache
from pathlib import Path

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.mmsa import read_mmsa
from qamoe_bench.data.synthetic import synthetic
from qamoe_bench.errors import BenchError


@lru_cache(maxsize=1)  # a worker process runs many cells of one data set
def open_dataset(name_or_path: str) -> Dataset:
    """`synthetic`, or the file at a path.

    Raises:
        BenchError: for a path that leads nowhere or a file that cannot be read as a data set.
    """
    if name_or_path == "synthetic":
        return synthetic()
    path = Path(name_or_path)
    if not path.is_file():
        raise BenchError(f"data {name_or_path!r}: expected 'synthetic' or the path of a data file; no such file")
    return read_mmsa(path)
