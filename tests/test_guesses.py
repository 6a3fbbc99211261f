"""What an error suggests for an unknown name: upper case, hyphens, other words, beginnings and typing errors."""

from pathlib import Path

import pytest

from qamoe_bench.errors import MAX_LISTED, OTHER_WORDS, similar_names, unknown_name
from qamoe_bench.metrics.catalogue import METRICS
from qamoe_bench.protocol.parse import protocol_names
from qamoe_bench.store.store import Store, no_cells

KNOWN = {
    "metric": tuple(METRICS),
    "device": ("auto", "cpu", "cuda"),
    "format": ("csv", "html", "json", "latex", "markdown", "terminal"),
    "table": ("latex", "markdown", "terminal"),
    "model": ("c-mib", "late-fusion", "mean", "qa-moe", "qa-moe-plus", "qa-moe:k=2"),
    "key": ("axes", "corruption", "definition", "source"),
    "protocol": tuple(protocol_names()),
    "modality": ("text", "audio", "vision"),
}


@pytest.mark.parametrize(
    ("kind", "name", "guess"),
    [
        ("metric", "MAE", "mae"), ("metric", "accuracy", "acc2_non0"), ("metric", "acc2", "acc2_non0"),
        ("metric", "ACC-7", "acc7"), ("metric", "acc7%", "acc7"), ("metric", "F1", "f1_non0"),
        ("metric", "f1-has0", "f1_has0"), ("metric", "Pearson", "corr"), ("device", "gpu", "cuda"),
        ("device", "GPU", "cuda"), ("device", "CPU", "cpu"), ("format", "MD", "markdown"), ("format", "tex", "latex"),
        ("format", "HTML", "html"), ("table", "html", ""), ("model", "latefusion", "late-fusion"),
        ("model", "QA_MoE", "qa-moe"), ("model", "late", "late-fusion"), ("model", "qamo", "qa-moe"),
        ("key", "name", ""),
        ("key", "sauce", "source"), ("protocol", "random", "random-missing"),
        ("protocol", "noise", "quality-degradation"),
        ("protocol", "random mising", "random-missing"), ("modality", "video", "vision"), ("modality", "xyz", ""),
        ("modality", "", ""), ("modality", "text", "text"),
    ],
)  # fmt: skip
def test_the_guess(kind: str, name: str, guess: str) -> None:
    near = similar_names(name, KNOWN[kind])
    assert (near[0] if near else "") == guess
    message = str(unknown_name(kind, name, KNOWN[kind]))
    assert message.endswith(f"did you mean {guess!r}?" if guess else "choose one of those")


def test_long_lists_show_the_nearest_names_only() -> None:
    message = str(unknown_name("protocol", "random-mising", protocol_names()))
    assert message.startswith("unknown protocol 'random-mising': expected one of random-missing, ")
    assert f"and others ({len(protocol_names())} in all); did you mean 'random-missing'?" in message
    assert len(message) < 300
    # Without a guess, the user has to choose from all.
    far = str(unknown_name("protocol", "qqq", protocol_names()))
    assert len(protocol_names()) > MAX_LISTED
    assert all(name in far for name in protocol_names())


def test_other_words_stand_for_names_that_exist() -> None:
    everything = {name for names in KNOWN.values() for name in names}
    assert {name for names in OTHER_WORDS.values() for name in names.split()} <= everything


def test_a_place_that_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").touch()
    assert "expected a results folder, got a file" in str(no_cells(Store(tmp_path / "x.csv")))
    (tmp_path / "store" / "runs" / "a" / "predictions").mkdir(parents=True)
    assert f"use --results {tmp_path / 'store'}" in str(no_cells(Store(tmp_path / "store" / "runs")))
    assert "run 'qamoe-bench run' first" in str(no_cells(Store(tmp_path / "empty")))
