"""What samples say: the raw text of a data file, which a store does not hold."""

from collections.abc import Collection, Mapping
from pathlib import Path

from qamoe_bench.data.pickles.safe_pickle import load
from qamoe_bench.errors import BenchError


def raw_texts(path: Path, wanted: Collection[str]) -> dict[str, str]:
    """The text of each wanted sample of the test split of a pickle in MMSA's layout, by id.

    Raises:
        BenchError: where the file has no such text, or none of these samples.
    """
    content = load(path)
    split = content.get("test") if isinstance(content, Mapping) else None
    if not isinstance(split, Mapping) or "raw_text" not in split or "id" not in split:
        raise BenchError(
            f"{path}: expected a data file whose test split has 'raw_text' and 'id', got one without; leave --texts "
            "out, or name the file that the data come from"
        )
    texts = {_word(name): _word(text) for name, text in zip(split["id"], split["raw_text"], strict=False)}
    found = {name: texts[name] for name in wanted if name in texts}
    if not found:
        raise BenchError(
            f"{path}: expected the samples of the stored runs, got {len(texts)} others; name the file that was run on"
        )
    return found


def _word(value: object) -> str:
    return str(value, "utf-8", "replace") if isinstance(value, bytes) else str(value)
