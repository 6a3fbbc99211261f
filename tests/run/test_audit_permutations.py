"""Permutations of quality scores from the command line: what the report advises works."""

from collections.abc import Callable
from pathlib import Path

import pytest
from commandline import bench
from smallstudy import SHORT

from qamoe_bench.store.store import Store

MODEL = """
from torch import nn
from qamoe_bench.contract import Output


class Scored(nn.Module):
    def __init__(self, spec):
        super().__init__()
        self.heads = nn.ModuleDict({m: nn.Linear(width, 1) for m, width in spec.widths.items()})

    def forward(self, batch):
        return self.predict_with_quality(batch, {m: batch.mask(m).float().mean(1) for m in batch.modalities})

    def predict_with_quality(self, batch, quality):
        parts = [quality[m] * head(batch.features[m].mean(1))[:, 0] for m, head in self.heads.items()]
        return Output(sum(parts), quality=quality)


def build(spec):
    return Scored(spec)
"""


def test_a_model_of_one_stage_is_permuted_when_its_name_says_so(
    write_pickle: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "scored_model.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    run = ("run", "--protocol", "clean", "--data", write_pickle(), "--seeds", "1", "--executor", "local")
    results = ("--results", tmp_path / "results")
    plain = bench((*run, *results, "--model", f"scored_model:build:{SHORT}"), capsys, monkeypatch)
    assert plain.code == 0, plain.err
    whole = bench(("report", "--all", *results), capsys, monkeypatch)
    advice = "add the setting eval.permutations=200 to the model's name"
    assert advice in " ".join(whole.out.split())
    advised = bench(
        (*run, *results, "--model", f"scored_model:build:{SHORT},eval.permutations=200"), capsys, monkeypatch
    )
    assert advised.code == 0, advised.err
    assert "trained 0 models, evaluated 1 cells" in advised.err  # the same weights
    assert advice not in " ".join(advised.out.split())
    counts = {len(cell.facts.permutations.get("mae", ())) for cell in Store(tmp_path / "results").cells()}
    assert counts == {0, 1 + 200}
    refused = bench((*run, *results, "--model", "scored_model:build:eval.permutations=-3"), capsys, monkeypatch)
    assert "setting eval.permutations: expected 0 or more, got -3" in refused.refusal()
