"""The report of a small made-up store, word for word, as terminal text and as Markdown.

After an intended change, `RENEW_GOLDEN=1 pytest tests/test_golden.py` rewrites the texts; review the difference.
"""

import os
from pathlib import Path

import numpy as np
import pytest
from fakestore import noisy, write_store

from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.formats.choice import OF_CHAPTERS
from qamoe_bench.report.tables import analyses, chapters

GOLDEN = Path(__file__).parent / "golden"
FILES = {"terminal": "report.txt", "markdown": "report.md"}


@pytest.mark.parametrize("format", FILES)
def test_the_report_says_what_it_said(format: str, tmp_path: Path) -> None:
    models = {
        "mean": lambda label, level, random: np.zeros(len(label)),
        "late-fusion": noisy(1.0),
        "qa-moe:-quality-gate,k=2": noisy(0.4),
        "twin": noisy(1.0),
        "oracle": noisy(0.1),
    }
    store = write_store(tmp_path, models, levels=(0.0, 0.2, 0.4, 0.6))
    results = analyses(store.cells(), DIALECTS["mmsa"], ["acc7", "mae", "corr"])
    text = OF_CHAPTERS[format](chapters(results, store.manifests()))
    kept = GOLDEN / FILES[format]
    if os.environ.get("RENEW_GOLDEN"):
        kept.write_text(text, encoding="utf-8")
    assert text == kept.read_text(encoding="utf-8")
