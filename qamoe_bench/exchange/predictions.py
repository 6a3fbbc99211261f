"""Predictions that another program made, read from CSV, Parquet or an archive of NumPy.

seed, draw, condition, id       which sample, and how it was corrupted; as the loader of an export gives them
prediction                      in the units of the labels
variance, quality_<modality>    optional: predicted variance, reliability scores from 0 to 1
prediction_<metric>             optional: what a single metric judges instead of the prediction
probability_<class>             optional: stored, and used by no metric; in an archive also `probabilities` [R, K]
protocol_digest, data_digest    optional: what the predictions are of, at least eight digits
target                          optional: the labels, compared with those of the export

Dimension legend: R rows, K classes.
"""

import csv
import io
import re
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qamoe_bench.errors import BenchError, unknown_name
from qamoe_bench.metrics.catalogue import METRICS

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("seed", "draw", "condition", "id", "prediction")
DIGESTS = ("protocol_digest", "data_digest")
PROBABILITIES = "probabilities"
PROBABILITY = "probability_"
# Columns that pandas adds to files for its row numbers.
_ROW_NUMBERS = ("", "Unnamed: 0", "__index_level_0__")
_PARQUET = b"PAR1"
_ZIP = b"PK\x03\x04"
_FORMATS = "write CSV, Parquet, or an archive of np.savez"

Columns = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class PredictionTable:
    """A table as it was read.

    Attributes:
        where: The file, for error messages.
        columns: Columns by name, (R); numbers may be stored as text.
    """

    where: str
    columns: Mapping[str, NDArray[Any]]

    def wrong(self, expected: str, got: str, remedy: str) -> BenchError:
        """The one-line error for this table."""
        return BenchError(f"{self.where}: expected {expected}, got {got}; {remedy}")

    def texts(self, name: str) -> pa.DictionaryArray:
        """A column of names; whole numbers become their digits."""
        values = self.columns[name]
        if values.dtype.kind == "f" and bool((values == np.floor(values)).all()):
            values = values.astype(np.int64)
        texts = pa.array(values.tolist() if values.dtype.kind != "O" else values).cast(pa.string())
        return texts.fill_null("").dictionary_encode()

    def whole_numbers(self, name: str) -> NDArray[np.int64]:
        """A column of whole numbers.

        Raises:
            BenchError: A value is none.
        """
        values = self.numbers(name)
        bad = np.flatnonzero(~((values == np.floor(values)) & (np.abs(values) < 2**53)))  # NaN compares as false
        if len(bad):
            got = f"{self.shown(name, bad[0])} in row {bad[0] + 1}"
            raise self.wrong(f"whole numbers as {name!r}", got, "give the values that the loader of the export gives")
        return values.astype(np.int64)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column of numbers; NaN where a value is none."""
        values = self.columns[name]
        if values.dtype.kind in "fiub":
            return values.astype(np.float64)
        return np.array([_number(value) for value in values.tolist()], np.float64)

    def shown(self, name: str, row: int) -> str:
        """A value as it is in the file."""
        value = self.columns[name][row]
        return f"{str(value)!r:.30}" if isinstance(value, str) else f"{value}"


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, str | int | float | np.number) else np.nan
    except ValueError:
        return np.nan


def read_predictions(predictions: "Path | str | pd.DataFrame", modalities: Sequence[str]) -> PredictionTable:
    """Read predictions, and check the names of their columns.

    Args:
        predictions: A file, whose format is recognised by its content, or a table.
        modalities: Modalities of the data.

    Raises:
        BenchError: The file cannot be read, or a column is missing or unknown.
    """
    if isinstance(predictions, Path | str):
        table = PredictionTable(str(predictions), _read(Path(predictions)))
    else:
        table = PredictionTable("predictions", {str(name): predictions[name].to_numpy() for name in predictions})
    columns = {name.strip(): values for name, values in table.columns.items()}
    table = PredictionTable(table.where, {n: v for n, v in columns.items() if n not in _ROW_NUMBERS})
    _check_columns(table, modalities)
    return PredictionTable(table.where, _one_dimensional(table))


def _check_columns(table: PredictionTable, modalities: Sequence[str]) -> None:
    known = [*REQUIRED, "variance", *DIGESTS, "target", PROBABILITIES]
    known += [f"quality_{m}" for m in modalities]
    known += [f"prediction_{metric}" for metric in METRICS]
    lacking = [name for name in REQUIRED if name not in table.columns]
    if lacking:
        names = ", ".join(map(repr, list(table.columns)[:10]))
        raise table.wrong(f"columns {', '.join(REQUIRED)}", names or "none", f"add {', '.join(lacking)}")
    for name in table.columns:
        if name not in known and not name.startswith(PROBABILITY):
            unknown = str(unknown_name("column", name, known)).rstrip("?")
            raise BenchError(f"{table.where}: {unknown}, or remove it")


def _one_dimensional(table: PredictionTable) -> Columns:
    """Columns of equal length; `probabilities` become a column per class."""
    columns: Columns = {}
    rows = len(table.columns["id"]) if table.columns["id"].ndim == 1 else -1
    for name, values in table.columns.items():
        if name == PROBABILITIES and values.ndim == 2:
            columns |= {f"{PROBABILITY}{k}": values[:, k] for k in range(values.shape[1])}
        else:
            columns[name] = values
    for name, values in columns.items():
        if values.shape != (rows,):
            remedy = "give every column one value for each prediction"
            raise table.wrong(f"columns of one length (R,), {rows} as 'id' has", f"{name!r} in {values.shape}", remedy)
    return columns


def _read(path: Path) -> Columns:
    try:
        with path.open("rb") as file:
            start = file.read(4)
        if start == _PARQUET:
            return _of_arrow(pq.read_table(path))
        if start == _ZIP:
            return _read_archive(path)
        return _of_arrow(_read_csv(path))
    except IsADirectoryError as error:
        raise BenchError(f"{path}: expected a file of predictions, got a folder; {_FORMATS}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise BenchError(f"{path}: expected a file of predictions, got {reason!r}; {_FORMATS}") from error
    # A damaged file raises any of these, depending on its format.
    except (pa.ArrowException, ValueError, EOFError, zipfile.BadZipFile, zlib.error, csv.Error) as error:
        reason = " ".join(str(error).split())[:120]
        raise BenchError(
            f"{path}: expected a file of predictions, got an unreadable one ({reason}); {_FORMATS}"
        ) from error


def _read_archive(path: Path) -> Columns:
    # Objects are refused, because loading them could execute code.
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        return dict(archive)


def _read_csv(path: Path) -> pa.Table:
    content = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    header = next(csv.reader(io.StringIO(content.partition(b"\n")[0].decode())), [])
    if len(header) == 1 and re.search(r"\w[;\t|]\w", header[0]):
        raise BenchError(f"{path}: expected values with commas between, got another separator; write commas")
    if len(set(header)) < len(header):
        raise BenchError(f"{path}: expected different names of columns, got one twice in {header}; rename or remove it")
    # As text: an id such as 007 must not become a number.
    options = pa.csv.ConvertOptions(column_types={name: pa.string() for name in header}, strings_can_be_null=False)
    return pa.csv.read_csv(io.BytesIO(content), convert_options=options)


def _of_arrow(table: pa.Table) -> Columns:
    columns = {}
    for name in table.column_names:
        column = table.column(name)
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type):
            columns[name] = np.array(column.to_pylist(), np.float64)  # probabilities of classes
        else:
            columns[name] = column.to_numpy()
    return columns
