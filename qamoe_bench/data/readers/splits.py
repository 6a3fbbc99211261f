"""The splits of a data set under the names that the field gives them, in one file or in one file each."""

from collections.abc import Iterable, Mapping

from qamoe_bench.data.contents import Contents
from qamoe_bench.data.dataset import SPLITS
from qamoe_bench.data.readers.foreign import known_layout
from qamoe_bench.data.source import kind_of, quoted_keys, rename_hint
from qamoe_bench.errors import BenchError

NAMES: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training", "trn"),
    "valid": ("valid", "val", "dev", "validation", "devel", "development"),
    "test": ("test", "testing", "tst"),
}
"""Names of each split, in lower case."""

_REMEDY = "store a dict with the splits train, valid and test"
_NO_VALID = (
    "move all samples of about every tenth video of the training split into a new split 'valid'; never validate on "
    "'test', because results would be too good"
)


def role_of(name: object) -> str | None:
    """The split that a name means; None if it means none."""
    lower = name.strip().lower() if isinstance(name, str) else ""
    return next((split for split, names in NAMES.items() if lower in names), None)


def splits_present(value: object) -> dict[str, object]:
    """Those of the splits that a dict has, in any layout, by our name; empty if it is no dict."""
    if not isinstance(value, dict):
        return {}
    present = {}
    for name in SPLITS:
        keys = _keys_of(value, name)
        if keys:
            present[name] = value[keys[0]]
    return present


def three_splits(contents: Contents) -> tuple[dict[str, object], list[str]]:
    """Train, valid and test of a dict, in this order, with a note on what else it holds.

    Raises:
        BenchError: The content is no dict, lacks one of the splits, or has one twice.
    """
    value = contents.value
    path = contents.path
    known = known_layout(value)
    if known:
        raise BenchError(f"{path}: expected a data set, got {known[0]}; {known[1]}")
    if not isinstance(value, dict):
        raise BenchError(f"{path}: expected a dict of the splits {', '.join(SPLITS)}, got {kind_of(value)}; {_REMEDY}")
    chosen: dict[str, object] = {}
    used: set[object] = set()
    for name in SPLITS:
        keys = _keys_of(value, name)
        if not keys:
            raise _lacks(contents, value, name)
        if len(keys) > 1 and keys[0] != name:
            raise BenchError(
                f"{path}: expected one split {name!r}, got {keys[0]!r} and {keys[1]!r}; rename the one that is meant "
                f"to {name!r}, or remove the other"
            )
        chosen[name] = value[keys[0]]
        used.add(keys[0])
    others = [key for key in value if key not in used]
    return chosen, [f"Not read, since it is no split: {named(others)}."] if others else []


def named(keys: Iterable[object]) -> str:
    """Keys of a file as a quoted list of bounded length; not all of them need be text."""
    texts = [repr(key)[:42] if isinstance(key, str) else f"a key of type {type(key).__name__}" for key in keys]
    hidden = len(texts) - _MAX_NAMED
    return ", ".join(texts[:_MAX_NAMED]) + (f" and {hidden} more" if hidden > 0 else "")


# Keys that a note lists.
_MAX_NAMED = 20


def _keys_of(value: Mapping[object, object], name: str) -> list[object]:
    """The keys that mean a split, an exact one first."""
    keys = [key for key in value if role_of(key) == name]
    return sorted(keys, key=lambda key: key != name)


def _lacks(contents: Contents, value: Mapping[object, object], name: str) -> BenchError:
    """The error for a dict without one of the splits."""
    present = splits_present(value)
    if present and name == "valid":
        remedy = _NO_VALID
    elif present:
        remedy = rename_hint(name, value, f"add the split {name!r}, or give a file that has it")
    elif any(splits_present(part) for part in value.values()):
        remedy = "these are several data sets or folds; store one of them as a file of its own"
    elif any(str(key).lower() in _KEYS_OF_A_SPLIT for key in value):
        remedy = (
            "this is one split; put it beside the others as train.pkl, valid.pkl and test.pkl into a folder, and give "
            "the folder"
        )
    else:
        remedy = rename_hint(name, value, _REMEDY)
    return BenchError(f"{contents.path}: expected a split {name!r}, got {quoted_keys(value)}; {remedy}")


# A dict with one of these keys holds arrays, not splits.
_KEYS_OF_A_SPLIT = ("text", "audio", "vision", "visual", "acoustic", "language", "labels", "regression_labels", "id")
