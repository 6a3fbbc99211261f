"""Pickles in MMSA's layout, `{"train" | "valid" | "test": {key: array}}`, with the keys of `qamoe_bench.data.source`.

MOSI, MOSEI, SIMS and SIMSv2 are shared in this layout, aligned or not, and MMSA-FET writes it. A split `dev` is read as
`valid`.
"""

from collections.abc import Mapping
from pathlib import Path

from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.source import RawSplit, Source, check_keys, kind_of, quoted_keys, rename_hint
from qamoe_bench.errors import BenchError

FORMAT = "MMSA pickle"
_REMEDY = "write the file again in MMSA's layout"


def matches(content: object) -> bool:
    """Always true: this is the fallback layout, because its error messages describe the expected layout."""
    return True


def read(path: Path, content: object) -> Source:
    """The splits of a file.

    Raises:
        BenchError: The content is not in this layout; the message names file, split and key.
    """
    splits = [split_of(path, value, name, {}) for name, value in three_splits(path, content).items()]
    for split in splits:
        check_keys(split)
    return Source(FORMAT, path, tuple(splits))


def splits_present(content: object) -> list[object]:
    """Those of the splits that a dict has, in any layout of pickles; empty if it is no dict."""
    if not isinstance(content, dict):
        return []
    return [content[name] for name in (*SPLITS, "dev") if name in content]


def three_splits(path: Path, content: object) -> dict[str, object]:
    """Train, valid and test of a dict, in this order.

    Raises:
        BenchError: The content is no dict, or lacks one of the splits.
    """
    if not isinstance(content, dict):
        raise BenchError(
            f"{path}: expected a dict of the splits {', '.join(SPLITS)}, got {kind_of(content)}; {_REMEDY}"
        )
    splits = {"valid": content["dev"], **content} if "dev" in content else content
    for name in SPLITS:
        if name not in splits:
            remedy = rename_hint(name, content, _REMEDY)
            raise BenchError(f"{path}: expected a split {name!r}, got {quoted_keys(content)}; {remedy}")
    return {name: splits[name] for name in SPLITS}


def split_of(path: Path, value: object, name: str, file_keys: Mapping[str, str]) -> RawSplit:
    """One split of a file.

    Args:
        path: The file.
        value: The dict of the split.
        name: Name of the split.
        file_keys: The file's own names of keys, where they differ from ours.

    Raises:
        BenchError: The value is no dict.
    """
    if not isinstance(value, dict):
        raise BenchError(f"{path}: split {name!r}: expected a dict of arrays, got {kind_of(value)}; {_REMEDY}")
    our_keys = {theirs: key for key, theirs in file_keys.items()}
    # A new dict, since reading removes keys and two splits of a file may be the same object.
    content = {}
    for key, array in value.items():
        content[our_keys.get(key, key) if isinstance(key, str) else key] = array
    return RawSplit(path, name, content, path.stat().st_size, _REMEDY, file_keys)
