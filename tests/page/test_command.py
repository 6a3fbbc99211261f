"""The command `report --format html`."""

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from fakestore import noisy, write_store
from pages import HOSTILE

from qamoe_bench.errors import BenchError
from qamoe_bench.page.texts import raw_texts

FORBID = (
    "import sys; sys.modules['jinja2'] = None; from qamoe_bench.cli import main as cli; "
    "sys.argv[0] = 'qamoe-bench'; cli.main()"
)


def report(*arguments: str, code: str = "") -> subprocess.CompletedProcess[str]:
    start = ["-c", code] if code else ["-m", "qamoe_bench"]
    return subprocess.run([sys.executable, *start, "report", *arguments], capture_output=True, text=True, check=False)


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """A data file of the generated samples, one of which has a hostile text."""
    path = tmp_path / "texts.pkl"
    said = [HOSTILE if i == 0 else f"words of sample {i}" for i in range(60)]
    path.write_bytes(pickle.dumps({"test": {"id": [f"s{i}" for i in range(60)], "raw_text": said}}))
    return path


def test_a_page_is_written_with_the_texts_of_a_data_file(tmp_path: Path, texts: Path) -> None:
    write_store(tmp_path, {"late-fusion": noisy(1.0), "good": noisy(0.4)}, seeds=(1, 2))
    options = ("--format", "html", "--metric", "mae", "--results", str(tmp_path), "--texts", str(texts))
    done = report(*options, "--output", str(tmp_path / "page.html"))
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert text.startswith("<!doctype html>")
    assert "words of sample" in text
    assert HOSTILE not in text


def test_what_is_missing_is_named_with_its_remedy(tmp_path: Path) -> None:
    write_store(tmp_path, {"good": noisy(0.4)}, seeds=(1,))
    done = report("--format", "html", "--results", str(tmp_path), code=FORBID)
    assert done.returncode == 2
    assert "needs jinja2, which is not installed; run: pip install 'qamoe-bench[page]'" in done.stderr
    done = report("--texts", "x.pkl", "--results", str(tmp_path))
    assert done.returncode == 2
    assert "add --format html" in done.stderr


def test_a_file_without_texts_of_these_samples_is_refused(tmp_path: Path, texts: Path) -> None:
    assert raw_texts(texts, {"s1", "elsewhere"}) == {"s1": "words of sample 1"}
    with pytest.raises(BenchError, match="got 60 others; name the file that was run on"):
        raw_texts(texts, {"elsewhere"})
    texts.write_bytes(pickle.dumps({"test": {"id": ["s1"]}}))
    with pytest.raises(BenchError, match="'raw_text' and 'id', got one without"):
        raw_texts(texts, {"s1"})
