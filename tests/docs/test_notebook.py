"""The notebook of the documentation runs from top to bottom, without Jupyter."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

ROOT = Path(__file__).parents[2]
NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


@pytest.fixture(scope="module")
def cells() -> list[dict[str, Any]]:
    content = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (content["nbformat"], content["nbformat_minor"]) == (4, 4)
    return list(content["cells"])


def test_the_cells_run_in_order_and_show_what_the_text_says(
    cells: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    variables: dict[str, Any] = {}
    for cell in cells:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), str(NOTEBOOK), "exec"), variables)
    torch.set_num_threads(threads)
    printed = capsys.readouterr().out
    assert "eta=0 {'text': '0 % missing', 'audio': '0 % missing', 'vision': '0 % missing'}" in printed
    means = variables["estimate"].value
    names = [row.name for row in variables["analysis"].section.rows]
    assert names == ["all-three", "mean", "text"]
    assert means[0] < means[2] < means[1]  # more modalities help, and any input is better than none
    assert np.isfinite(means).all()
    assert len(variables["figure"].axes[0].lines) >= 2
    assert list(tmp_path.iterdir()) == []


def test_nothing_that_a_run_leaves_is_kept_in_the_file(cells: list[dict[str, Any]]) -> None:
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 5
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
