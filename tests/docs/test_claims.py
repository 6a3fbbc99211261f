"""The page of the paper's claims says what the reference and the other pages say."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "claims.md"
GENERATED = ROOT / "paper_figures" / "output" / "claims.md"  # which tests of `paper_figures` compare with the reference


def rows(path: Path, heading: str) -> dict[str, tuple[str, ...]]:
    """The rows of the table with this first column, by their first cell; without links and escapes."""
    table = re.search(
        rf"^\| {heading} \|.*\n\|[- :|]+\|\n((?:\|.*\n)+)", path.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert table is not None
    by_name = {}
    for line in table[1].splitlines():
        plain = re.sub(r"\[([^\[\]]+)\]\([^)]*\)", r"\1", line.replace("\\", ""))
        name, *cells = [cell.strip() for cell in plain.strip("|").split("|")]
        by_name[name] = tuple(cells)
    return by_name


def test_measured_numbers_and_verdicts_are_those_of_the_reference() -> None:
    page = rows(PAGE, "claim")
    generated = rows(GENERATED, "claim")
    assert len(generated) == 6
    for name, (measured, verdict) in generated.items():
        assert page[name][1:] == (measured, verdict)
    others = [name for name in page if name not in generated]
    assert [name.partition(" ")[0] for name in others] == ["One", "One", "1,510"]


@pytest.mark.parametrize(
    ("source", "numbers"),
    [
        ("docs/findings.md", ("−.001 [−.031, +.030]", "0.940±0.045", "0.922±0.049", "4–15", "2–14", "0.792", "0.731")),
        ("docs/gpu.md", ("692", "2,594")),
        ("docs/cost.md", ("4.293", "20.7", "8.602")),
        ("paper_figures/output/quality_gate.md", ("−0.005 [−0.012, +0.003]", "−0.006 [−0.014, +0.003]")),
        ("paper_figures/output/quality_gate.md", ("+0.085 [+0.069, +0.100]",)),
        ("paper_figures/output/quality_scores.md", ("0.88",)),
        ("paper_figures/output/quality_degradation.md", ("−1.2 [−2.6, +0.1]",)),
    ],
)
def test_other_numbers_are_those_of_their_sources(source: str, numbers: tuple[str, ...]) -> None:
    page = PAGE.read_text(encoding="utf-8")
    text = (ROOT / source).read_text(encoding="utf-8").replace("\\", "")
    for number in numbers:
        assert number in page
        assert number in text
