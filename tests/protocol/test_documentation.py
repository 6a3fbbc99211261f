"""The tables of the protocols' README are those of the code."""

from pathlib import Path

import pytest

from qamoe_bench.protocol.documentation import kinds_table, protocols_table, with_tables
from qamoe_bench.protocol.kinds import CORRUPTION_KINDS
from qamoe_bench.protocol.parse import protocol_names

README = Path(__file__).parents[2] / "protocols" / "README.md"


def test_the_readme_has_the_current_tables() -> None:
    text = README.read_text(encoding="utf-8")
    assert with_tables(text) == text, "run python -m qamoe_bench.protocol.documentation protocols/README.md"


def test_every_kind_and_every_protocol_has_a_row() -> None:
    assert [row.split("`")[1] for row in kinds_table().splitlines()[2:]] == list(CORRUPTION_KINDS)
    assert [row.split("`")[1] for row in protocols_table().splitlines()[2:]] == list(protocol_names())
    assert (
        "| `utterance-noise` | `level` | adds gaussian noise per utterance | adds one Gaussian vector" in kinds_table()
    )
    assert "| `gcnet-missing` | `rate` | erases, joint |" in kinds_table()


def test_of_many_conditions_the_row_names_some_and_their_number() -> None:
    rows = {row.split("`")[1]: row for row in protocols_table().splitlines()[2:]}
    assert "| text 0.1, text 0.3, text 0.5, text 0.7, …, text+audio+vision 0.7 (28 in all) |" in rows["block-subsets"]
    assert "vision 0.7, shared as 0.4, shared as 0.7 |" in rows["imbalanced-missing"]


def test_a_text_without_markers_is_refused() -> None:
    with pytest.raises(ValueError, match="expected the lines '<!-- kinds -->'"):
        with_tables("no tables")
