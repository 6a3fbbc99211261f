"""`report`, `check` and `ls` print the numbers that they printed before the package was arranged in rooms.

`golden/reference-numbers.json.gz` holds what the code of commit 23f38b7 computes from the present cells in
results/reference: in a worktree of that commit, whose code reads these files,

    qamoe-bench report --format json --results ../results/reference
    qamoe-bench check --reference ../results/reference --results ../results/reference
    qamoe-bench ls runs --json --results ../results/reference
    qamoe-bench ls metrics --json

with nine digits of each number. `cells` is the SHA-256 of the keys of the cells, sorted and joined by line breaks. Left
out are the interval and p-value of each difference, because since then the differences of one table are one family of
tests. Words may differ, and records may have been added.
"""

import gzip
import hashlib
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from commandline import bench

from qamoe_bench.store.folder import ResultsFolder

REFERENCE = Path(__file__).parents[1] / "results" / "reference"
BEFORE: dict[str, Any] = json.loads(
    gzip.decompress((Path(__file__).parent / "golden" / "reference-numbers.json.gz").read_bytes())
)


@pytest.fixture(autouse=True)
def same_cells() -> None:
    keys = "\n".join(sorted(ResultsFolder(REFERENCE).finished()))
    if hashlib.sha256(keys.encode()).hexdigest() != BEFORE["cells"]:
        pytest.skip("results/reference was computed again since; its numbers before are not known")


def test_report_prints_the_same_numbers(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    done = bench(("report", "--format", "json", "--results", REFERENCE), capsys, monkeypatch)
    names = BEFORE["columns"][:-3]
    records = {tuple(record[name] for name in names): record for record in json.loads(done.out)}
    equal = undefined = 0
    for *name, value, low, high in BEFORE["report"]:
        record = records.get(tuple(name))
        row, statistic, metric = name[1], name[3], name[4]
        # The correlation of constant predictions was 0 then, and is undefined now.
        if metric == "corr" and row in ("text-only", "mean") and (record is None or record["value"] is None):
            undefined += value is not None
            continue
        # Ranks come from the tests of differences, in one family now, in which such rows took part.
        if statistic == "rank" and metric == "corr":
            continue
        assert record is not None, name
        numbers = {"value": value}
        if statistic != "difference":
            numbers |= {"low": low, "high": high}
        for kind, number in numbers.items():
            now = record[kind]
            assert (now is None) == (number is None), (name, kind, number, now)
            assert number is None or math.isclose(now, number, rel_tol=1e-8, abs_tol=1e-6), (name, kind, number, now)
            equal += 1
    assert equal > 10_000
    assert undefined == 9  # of `text-only` without text, its means over all subsets, and what follows from them


def test_check_compares_as_many_rows_and_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = bench(("check", "--reference", REFERENCE, "--results", REFERENCE), capsys, monkeypatch)
    assert done.code == 0
    verdict = (done.out + done.err).splitlines()[0]
    rows, values, better = map(int, re.findall(r"\d+", verdict))
    assert {"rows": rows, "values": values} == BEFORE["check"]
    assert better == 0


def test_ls_lists_the_same_runs_and_metrics(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in ("runs", "metrics"):
        done = bench(("ls", kind, "--json", "--results", REFERENCE), capsys, monkeypatch)
        entries = {entry["name"]: entry for entry in json.loads(done.out)}
        for before in BEFORE[kind]:
            now = entries[before["name"]]
            assert {column: now[column] for column in before} == before
