"""Pickles in MMSA's layout, `{"train" | "valid" | "test": {key: array}}`, with the keys of `qamoe_bench.data.source`.

MOSI, MOSEI, SIMS and SIMSv2 come so, aligned or not, and so does what MMSA-FET extracts. "dev" is taken for "valid".
"""

from collections.abc import Mapping
from pathlib import Path

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.source import KEYS, RawSplit, Source, check_names, hint, kind_of, listed
from qamoe_bench.errors import BenchError

FORMAT = "MMSA pickle"
REMEDY = "write the file again in MMSA's layout"


def matches(content: object) -> bool:
    """Whatever no other layout claims is read as this one, for its messages say what was expected."""
    return True


def read(path: Path, content: object) -> Source:
    """The splits of a file.

    Raises:
        BenchError: The content is not in this layout; names file, split and key.
    """
    splits = tuple(split_of(path, found, name, {}) for name, found in three_splits(path, content).items())
    for split in splits:
        check_names(split, KEYS)
    return Source(FORMAT, path, splits)


def three_splits(path: Path, content: object) -> dict[str, object]:
    """Train, valid and test of a dict that has them, in this order."""
    if not isinstance(content, dict):
        raise BenchError(f"{path}: expected a dict of the splits {', '.join(SPLITS)}, got {kind_of(content)}; {REMEDY}")
    found = {"valid": content["dev"], **content} if "dev" in content else content
    for name in SPLITS:
        if name not in found:
            raise BenchError(f"{path}: expected a split {name!r}, got {listed(content)}; {hint(name, content, REMEDY)}")
    return {name: found[name] for name in SPLITS}


def split_of(path: Path, value: object, name: str, called: Mapping[str, str]) -> RawSplit:
    """One split; `called` gives what the file calls a key."""
    if not isinstance(value, dict):
        raise BenchError(f"{path}: split {name!r}: expected a dict of arrays, got {kind_of(value)}; {REMEDY}")
    ours = {theirs: key for key, theirs in called.items()}
    keys = {ours.get(k, k) if isinstance(k, str) else k: v for k, v in value.items()}  # splits may be one and the same
    return RawSplit(path, name, keys, path.stat().st_size, REMEDY, called)
