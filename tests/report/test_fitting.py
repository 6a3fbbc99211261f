"""Tables on terminals: 80 columns whatever comes, curves, and colours only where they belong."""

import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from fcntl import ioctl
from pathlib import Path

import pytest
from fakestore import noisy, write_store
from hypothesis import given, settings
from hypothesis import strategies as st

from qamoe_bench.metrics.dialects import DIALECTS
from qamoe_bench.report.formats.fitting import fit, sparkline, with_curves
from qamoe_bench.report.formats.plain import plain_text
from qamoe_bench.report.table import Chapter, Table
from qamoe_bench.report.tables import analyses, chapters

LONG = "qa-moe:feature-nll,train.levels_per=batch,experts=16 (spectrum) #1a2b"
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;\d]*m")


def wide(columns: int = 16, name: str = LONG) -> Table:
    header = ("model", *(f"λ={i / 10:g}" for i in range(columns)))
    rows = tuple((f"{name}{r}", *(f"0.{r}{i:02}" for i in range(columns))) for r in range(3))
    return Table("t", header, rows, ("a note",), best=frozenset({(1, 1), (2, columns)}))


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


@settings(deadline=None)  # widths are the property, and a busy machine is slow
@given(st.integers(1, 30), st.text("abc-:,= ", min_size=1, max_size=90).map(str.strip).filter(bool))
def test_no_line_is_longer_than_the_width_and_no_cell_is_lost(columns: int, name: str) -> None:
    table = wide(columns, name)
    parts = fit(table, 80)
    unbroken = max(len(word) for word in re.split(r"(?<=[:,\- ])", name))
    for line in plain_text([Chapter("h", (), (table,))]).splitlines():
        assert len(line) <= max(80, unbroken + 12)  # a word of 90 letters cannot be broken
    for r, row in enumerate(table.rows):
        assert {squeezed(part.rows[r][0]) for part in parts} == {squeezed(row[0])}
        assert [cell for part in parts for cell in part.rows[r][1:]] == list(row[1:])


def test_pieces_keep_marks_and_names_and_the_last_has_the_notes() -> None:
    parts = fit(wide(), 80)
    assert len(parts) > 1
    assert [p.title for p in parts] == ["t", *["t (continued)"] * (len(parts) - 1)]
    assert [p.notes for p in parts] == [*[()] * (len(parts) - 1), ("a note",)]
    marked = [p.rows[r][c] for p in parts for r, c in sorted(p.best)]
    assert marked == ["0.100", "0.215"]


def test_a_narrow_table_stays_as_it_is() -> None:
    table = wide(3, "qa-moe")
    assert fit(table, 80) == (table,)


def test_texts_break_at_blanks_before_names_do() -> None:
    words = "nine words that are much too long for one line of a terminal with eighty columns indeed"
    (part,) = fit(Table("t", ("model", "what was done to it"), (("qa-moe:-quality-gate", words),)), 60)
    name, text = part.rows[0]
    assert name == "qa-moe:-quality-gate"
    assert text.replace("\n", " ") == words


def test_curves_share_the_scale_of_their_table() -> None:
    table = Table("t", ("m", "x"), (("a", "0"), ("b", "1")), trends=((0.0, 0.5, 1.0), (1.0, float("nan"), 0.0)))
    drawn = with_curves(table)
    assert [row[-1] for row in drawn.rows] == ["▁▅█", "█ ▁"]
    assert "curve" in drawn.header
    assert sparkline((2.0, 2.0), 2.0, 2.0) == "▁▁"


def test_a_report_of_long_names_and_many_levels_fits(tmp_path: Path) -> None:
    models = {"mean": noisy(2.0), "late-fusion": noisy(1.0), LONG: noisy(0.4), "oracle": noisy(0.1)}
    store = write_store(tmp_path, models, seeds=(1, 2), levels=[i / 16 for i in range(16)], samples=30)
    text = plain_text(chapters(analyses(store.cells(), DIALECTS["mmsa"], ["mae"]), store.manifests()))
    assert max(map(len, text.splitlines())) <= 80
    curve = re.findall(r"[▁▂▃▄▅▆▇█]{16}$", text, re.MULTILINE)
    assert len(curve) == len(models)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("store")
    write_store(root / "results", {"late-fusion": noisy(1.0), LONG: noisy(0.3)}, seeds=(1, 2), samples=30)
    return root


def on_terminal(folder: Path, *arguments: str, **environment: str) -> str:
    """What a command writes to a terminal of 80 columns, both streams."""
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "GITHUB_ACTIONS")}
    process = subprocess.Popen(
        [sys.executable, "-m", "qamoe_bench", *arguments],
        stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env={**clean, "TERM": "xterm-256color", **environment},
    )  # fmt: skip
    os.close(theirs)
    text = b"".join(_read(ours)).decode()
    process.wait()
    os.close(ours)
    return text


def _read(descriptor: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(descriptor, 65536)
        except OSError:  # the other side has closed
            return
        if not part:
            return
        yield part


def test_on_a_terminal_tables_fit_and_the_significantly_best_is_bold(folder: Path) -> None:
    text = on_terminal(folder, "report", "--metric", "mae")
    assert "\x1b[1m" in text
    assert max(len(ESCAPE.sub("", line)) for line in text.splitlines()) <= 80


def test_colours_are_off_under_no_color_and_off_a_terminal(folder: Path) -> None:
    mistake = ("report", "--results", "nowhere")
    assert COLOUR.search(on_terminal(folder, *mistake))
    assert not COLOUR.search(on_terminal(folder, *mistake, NO_COLOR="1"))
    assert not COLOUR.search(on_terminal(folder, "report", "--metric", "mae", NO_COLOR="1"))
    done = subprocess.run([sys.executable, "-m", "qamoe_bench", *mistake], cwd=folder, capture_output=True, text=True)
    assert "no finished cells" in done.stderr
    assert "\x1b" not in done.stderr
