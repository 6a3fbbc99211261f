"""Every exhibit of the paper is made from the tracked reference, and the tracked pages say what it says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import qamoe_bench

ROOT = Path(qamoe_bench.__file__).parent.parent
FOLDER = ROOT / "paper_figures"
MARK = r"\[(paper|code|secondary|inferred)[^\]]*\]"

pytestmark = pytest.mark.skipif(
    not (ROOT / "results" / "reference").is_dir(), reason="only a checkout has the reference"
)


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the folder writes, run as a person runs it."""
    output = tmp_path_factory.mktemp("exhibits")
    command = [sys.executable, "-W", "error", "-c", _forbidding("torch"), "--output", str(output)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == len(scripts())
    return output


def _forbidding(module: str) -> str:
    """A program that runs the folder where a module cannot be imported."""
    return f"import runpy, sys; sys.modules[{module!r}] = None; runpy.run_path({str(FOLDER)!r}, run_name='__main__')"


def scripts() -> list[str]:
    return sorted(p.stem for p in FOLDER.glob("*.py") if 'if __name__ == "__main__"' in p.read_text(encoding="utf-8")
                  and p.stem != "__main__")  # fmt: skip


def test_every_script_is_in_the_collection_and_makes_a_picture_and_a_page(output: Path) -> None:
    assert {p.stem for p in output.glob("*.png")} == set(scripts()) == {p.stem for p in output.glob("*.md")}


def test_the_tracked_pages_are_what_the_reference_says(output: Path) -> None:
    for page in output.glob("*.md"):
        assert page.read_text(encoding="utf-8") == (FOLDER / "output" / page.name).read_text(encoding="utf-8")
    shown = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name in scripts():
        assert f"(output/{name}.png)" in shown
        assert (FOLDER / "output" / f"{name}.png").is_file()


def test_every_published_number_has_its_mark(output: Path) -> None:
    for page in output.glob("*.md"):
        tables = re.split(r"^\*\*", page.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
        published = [t for t in tables if t.startswith("Published")]
        assert published, page
        for table in published:
            rows = [line for line in table.splitlines() if line.startswith("| ")][2:]
            assert rows
            for row in rows:
                for cell in re.split(r"(?<!\\)\|", row)[2:-1]:
                    if re.fullmatch(r" *[+−-]?\d[\d.]* *.*", cell):
                        assert re.search(MARK, cell), f"{page.name}: {row}"


def test_every_exhibit_says_where_and_why_it_differs(output: Path) -> None:
    for page in output.glob("*.md"):
        head, _, rest = page.read_text(encoding="utf-8").partition(
            "Differences from the published results, and their causes:"
        )
        assert f"({page.stem}.png)" in head
        assert rest.count("\n- ") >= 2


def test_one_script_prints_its_exhibit_and_refuses_a_store_without_it(tmp_path: Path) -> None:
    script = str(FOLDER / "quality_gate.py")
    done = subprocess.run([sys.executable, script, "--output", str(tmp_path), "--type", "pdf"],
                          capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Where" not in done.stdout
    assert "+0.359 [secondary]" in done.stdout
    assert sorted(p.name for p in tmp_path.iterdir()) == ["quality_gate.md", "quality_gate.pdf"]
    done = subprocess.run([sys.executable, script, "--results", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) == 1
