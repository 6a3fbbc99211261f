"""The numbers that `report` derives from the stored reference predictions do not change unnoticed.

`reference_numbers.csv` holds, for every row, the statistics of `SELECTED` (one line each) and, for every protocol and
statistic, the number of records and the sum of their values, which covers all other records. After an intended change
of a metric or an interval, `RENEW_GOLDEN=1 pytest tests/report/test_reference_numbers.py` rewrites the file; review the
difference.
"""

import csv
import io
import os
from collections import defaultdict
from pathlib import Path

import pytest

import qamoe_bench
from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.records import Record, records
from qamoe_bench.report.tables import analyses
from qamoe_bench.store.store import Store

REFERENCE = Path(qamoe_bench.__file__).parent.parent / "results" / "reference"
STORED = Path(__file__).parent / "reference_numbers.csv"
SELECTED = ("mean", "difference", "rank", "audit")
HEADER = ("protocol", "row", "statistic", "metric", "value", "low", "high", "p")
EVERY = "*"  # in place of a row or metric: the line is about all of them

Key = tuple[str, str, str, str]
Numbers = tuple[float | None, ...]

pytestmark = pytest.mark.skipif(not REFERENCE.is_dir(), reason="only a checkout has the reference")


def numbers_of(results: list[Record]) -> dict[Key, Numbers]:
    """The lines of `reference_numbers.csv`: (protocol, row, statistic, metric) to value, low, high and p."""
    lines: dict[Key, Numbers] = {}
    totals: dict[Key, list[float]] = defaultdict(list)
    for r in results:
        if r["statistic"] in SELECTED and not r["metric"].startswith("coverage_"):
            key = (r["protocol"], r["row"], r["statistic"], r["metric"])
            lines[key] = (r["value"], r["low"], r["high"], r["p"])
        totals[r["protocol"], EVERY, r["statistic"], EVERY].append(r["value"] or 0.0)
    for key, values in totals.items():
        lines[key] = (float(len(values)), float(sum(values)), None, None)
    return lines


def as_text(lines: dict[Key, Numbers]) -> str:
    """The lines as CSV with 9 significant digits."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADER)
    for key, numbers in lines.items():
        writer.writerow([*key, *("" if x is None else f"{x:.9g}" for x in numbers)])
    return text.getvalue()


def test_the_report_of_the_reference_has_the_stored_numbers() -> None:
    results = list(records(analyses(Store(REFERENCE).cells(), DIALECTS["mmsa"])))
    now = numbers_of(results)
    if os.environ.get("RENEW_GOLDEN"):
        STORED.write_text(as_text(now), encoding="utf-8")
    _, *stored = csv.reader(io.StringIO(STORED.read_text(encoding="utf-8")))
    assert [tuple(line[:4]) for line in stored] == list(now)
    for line, numbers in zip(stored, now.values(), strict=True):
        expected = [float(x) if x else None for x in line[4:]]
        # Of another BLAS or processor the last digits may differ.
        assert list(numbers) == [None if x is None else pytest.approx(x, rel=1e-6, abs=1e-9) for x in expected], line
