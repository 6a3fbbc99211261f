"""Transcripts of samples, read from a data file because a store does not hold them."""

from collections.abc import Collection, Mapping
from pathlib import Path

from qamoe_bench.data.pickles.safe_pickle import load
from qamoe_bench.errors import BenchError


def raw_texts(path: Path, wanted: Collection[str]) -> dict[str, str]:
    """The text of each wanted sample by id, from the test split of a pickle in MMSA's layout.

    Wanted ids that the file lacks are left out of the result.

    Raises:
        BenchError: if the file has no raw text, or none of the wanted samples.
    """
    content = load(path)
    split = content.get("test") if isinstance(content, Mapping) else None
    if not isinstance(split, Mapping) or "raw_text" not in split or "id" not in split:
        raise BenchError(
            f"{path}: expected a data file whose test split has 'raw_text' and 'id', got one without; leave --texts "
            "out, or name the file that the data come from"
        )
    texts = {_as_text(name): _as_text(text) for name, text in zip(split["id"], split["raw_text"], strict=False)}
    selected = {name: texts[name] for name in wanted if name in texts}
    if not selected:
        raise BenchError(
            f"{path}: expected the samples of the stored runs, got {len(texts)} others; name the file that was run on"
        )
    return selected


def _as_text(value: object) -> str:
    # Pickles written by Python 2 hold bytes.
    return str(value, "utf-8", "replace") if isinstance(value, bytes) else str(value)
