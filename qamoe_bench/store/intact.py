"""Whether every cell of a small folder is intact, seen without Arrow, which takes longer to load than they to read."""

from qamoe_bench.errors import BenchError
from qamoe_bench.store.checksum import sealed_metadata
from qamoe_bench.store.folder import ResultsFolder, file_names, is_cell_file
from qamoe_bench.store.identity import Damage, check_metadata

MOST_FILES = 256
"""Files up to which reading all of them is faster than loading Arrow, with which `Store` reads their index."""


def intact_keys(folder: ResultsFolder) -> set[str] | None:
    """The keys of all cells of a folder if each is intact, as `Store.contents` would find them.

    None means that this takes a closer look, by `Store`: a file has no checksum or one that does not hold, a key has
    two contents, the samples of two cells differ, a file cannot be read, or there are more than `MOST_FILES`.
    """
    paths = []
    for predictions in folder.prediction_folders():
        paths += [predictions / name for name in file_names(predictions, is_cell_file)]
    if len(paths) > MOST_FILES:
        return None
    checksums: dict[str, str] = {}  # by key
    samples: dict[str, str] = {}  # their digest, by digest of the data
    try:
        for path in paths:
            about = check_metadata(path, sealed_metadata(path.read_bytes()))
            if checksums.setdefault(about["key"], about["checksum"]) != about["checksum"]:
                return None
            of_samples = about.get("samples", "")
            if samples.setdefault(about["cell"]["data_digest"], of_samples) != of_samples:
                return None
    except (OSError, ValueError, RecursionError, Damage, BenchError):
        return None
    return set(checksums)
