"""A data set by name or path."""

from functools import lru_cache
from pathlib import Path

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.language_model import find_language_model
from qamoe_bench.data.mmsa import read_mmsa
from qamoe_bench.data.synthetic import synthetic
from qamoe_bench.data.tokens import with_token_ids
from qamoe_bench.errors import BenchError


@lru_cache(maxsize=2)  # a worker process runs many cells of one data set
def open_dataset(name_or_path: str, fine_tune: str = "") -> Dataset:
    """`synthetic`, or the file at a path; with a language model to fine-tune, its raw text as token ids.

    Raises:
        BenchError: for a path that leads nowhere, a file that cannot be read as a data set, or a language model that
            is not there.
    """
    if fine_tune:
        return with_token_ids(open_dataset(name_or_path), find_language_model(fine_tune))
    if name_or_path == "synthetic":
        return synthetic()
    path = Path(name_or_path)
    if not path.is_file():
        raise BenchError(f"data {name_or_path!r}: expected 'synthetic' or the path of a data file; no such file")
    return read_mmsa(path)
