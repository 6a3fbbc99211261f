"""Opening a data set by name or path, in any supported format.

The readers of files and the language models are imported when the first one is needed: most commands work on embedded
data, and importing the readers takes longer than drawing those.
"""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from qamoe_bench.data.dataset import Dataset
from qamoe_bench.data.embedded import EMBEDDED
from qamoe_bench.data.folder.manifest import FORMAT as FOLDER_FORMAT
from qamoe_bench.data.known import known_file
from qamoe_bench.data.memory import too_little_memory
from qamoe_bench.data.options import DEFAULT_READING, ReadingOptions
from qamoe_bench.data.source import Source
from qamoe_bench.data.train_size import with_train_size
from qamoe_bench.errors import BenchError


@lru_cache(maxsize=2)  # a worker process evaluates many cells of the same data set, of one training size after another
def open_dataset(name_or_path: str, fine_tune: str = "", options: ReadingOptions = DEFAULT_READING) -> Dataset:
    """Open a data set.

    Args:
        name_or_path: Name of an embedded data set (see `EMBEDDED`), or the path of a data file or folder.
        fine_tune: Name or folder of a language model to fine-tune; its token ids replace the text features.
        options: How the file is read.

    Raises:
        BenchError: The path does not exist or is no data set, the language model is not on this machine, or there are
            fewer training samples than the options say.
    """
    if options.train_size is not None:
        whole = open_dataset(name_or_path, fine_tune, replace(options, train_size=None))
        return with_train_size(whole, options.train_size)
    open_dataset.cache_clear()  # of several files, only one is in memory
    if not fine_tune:
        return as_dataset(read(name_or_path), options)
    from qamoe_bench.data.text.language_model import find_language_model
    from qamoe_bench.data.text.tokens import with_token_ids

    language = find_language_model(fine_tune)  # before the data, which may take long to read
    data = as_dataset(read(name_or_path), options)
    return with_token_ids(data, language, accept_unknown=options.accept_unknown_tokens)


def as_dataset(content: Source | Dataset, options: ReadingOptions = DEFAULT_READING) -> Dataset:
    """The content of a file as a clean data set; embedded data and a folder of our own format are one already.

    Raises:
        BenchError: The content cannot be repaired or does not fit into memory, or the options give another scale, task
            or classes than its labels are known to have.
    """
    if isinstance(content, Source):
        from qamoe_bench.data.cleaning import cleaned

        try:
            return cleaned(content, _name(content.path), options)
        except MemoryError as error:
            raise too_little_memory(content.path, content.splits[0].size) from error
    _check_known(content, options)
    return content


def _check_known(data: Dataset, options: ReadingOptions) -> None:
    """Refuse options that contradict what is known of the labels."""
    if options.label_range not in (None, data.label_range):
        low, high = data.label_range
        raise BenchError(
            f"data {data.name!r}: expected no --label-range, because its labels are known to be from {low:g} to "
            f"{high:g}, got one; drop the option, or give the original file"
        )
    is_same = options.task in ("", data.task.kind) and options.classes in ((), data.task.names)
    if not is_same:
        names = f" of {', '.join(data.task.names)}" if data.task.names else ""
        raise BenchError(
            f"data {data.name!r}: expected no other --task or --classes, because its labels are known to be "
            f"{data.task.kind}{names:.200}, got one; drop the option, or give the original file"
        )


def format_of(content: Source | Dataset) -> str:
    """The name of the format that some content was read from."""
    if isinstance(content, Source):
        return content.format
    # Only of embedded data the distribution is known.
    return FOLDER_FORMAT if content.oracle is None else "embedded data"


def read(name_or_path: str | Path) -> Source | Dataset:
    """The unmodified content of a data file, or the embedded data set or that in a folder of our own format.

    Args:
        name_or_path: Name of an embedded data set, or a path. A `Path` is always that of a file or folder.

    Raises:
        BenchError: The path does not exist, or its content is in none of the supported formats.
    """
    if isinstance(name_or_path, str) and name_or_path in EMBEDDED:
        return EMBEDDED[name_or_path].draw()
    from qamoe_bench.data.data_files import read_path

    return read_path(Path(name_or_path), str(name_or_path))


def _name(path: Path) -> str:
    """The name of the data set in a file: that of a known file, otherwise the file's own without its suffix."""
    known = known_file(path) if path.is_file() else None
    return known.name if known else path.resolve().stem
