"""The measurement on a GPU, at tiny sizes on whatever device the machine has."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import bench_gpu
import gpu_speed
import pytest
import torch
from gpu_setup import Row, Setup, token_data

SMOKE = Setup(torch.device("cpu"), smoke=True)


def test_its_parts_compare_and_measure_and_write_their_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "gpu.json"
    parts = ["corruption", "predictions", "peak", "experts"]
    words = [word for part in parts for word in ("--only", part)]
    monkeypatch.setattr("sys.argv", ["bench_gpu.py", "--smoke", "--output", str(output), *words])
    bench_gpu.main()
    results = json.loads(output.read_text())
    assert list(results) == ["environment", *parts]
    assert not any(results[part]["error"] for part in parts)
    assert all(row["unequal values"] == 0 for row in results["corruption"]["rows"])
    assert all(row["compared"] and not row["outside 1e-4"] for row in results["predictions"]["rows"])
    *products, copy = results["peak"]["rows"]
    assert all(row["TFLOP/s"] > 0 for row in products)
    assert copy["GB/s read and written"] > 0
    assert all(row["forward, ratio"] > 0 for row in results["experts"]["rows"])
    assert "== experts" in capsys.readouterr().out


def test_without_a_gpu_and_smoke_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr("sys.argv", ["bench_gpu.py"])
    with pytest.raises(SystemExit):
        bench_gpu.main()
    assert "run with --smoke" in capsys.readouterr().err


def test_a_part_that_fails_or_takes_too_long_keeps_its_rows(capsys: pytest.CaptureFixture[str]) -> None:
    def failing(_: Setup) -> Iterator[Row]:
        yield {"first": 1}
        raise RuntimeError("no memory")

    def slow(_: Setup) -> Iterator[Row]:
        yield {"first": 1}
        time.sleep(30)

    for part, error in ((failing, "RuntimeError: no memory"), (slow, "OutOfTime: more than 1 s")):
        rows: list[Row] = []
        assert bench_gpu.measure(part, SMOKE, 1, rows) == error
        assert rows == [{"first": 1}]
    assert "no memory" in capsys.readouterr().out


def test_a_table_has_a_column_for_every_key() -> None:
    assert bench_gpu.table([{"a": 1.23456}, {"b": "x"}]).splitlines() == ["    a  b", "1.235   ", "       x"]


def test_tokens_have_their_ends_and_padding_and_every_length() -> None:
    for full in (False, True):
        train = token_data({"train": 40, "valid": 4, "test": 4}, full=full).splits["train"]
        ids, length = train.features["text"][..., 0], train.lengths["text"]
        assert (ids[:, 0] == 101).all()
        assert (ids[torch.arange(40), length - 1] == 102).all()
        assert ((ids != 0).sum(1) == length).all()
        assert (len(set(length.tolist())) == 1) == full


def test_an_epoch_of_fine_tuning_is_timed_in_both_precisions(tmp_path: Path) -> None:
    folder = gpu_speed._language_model(tmp_path / "smallest", gpu_speed.SMALLEST)
    data = token_data({"train": 4, "valid": 2, "test": 2}, full=True, folder=folder)
    for precision in ("float32", "bfloat16"):
        assert 0 < gpu_speed._epoch(data, precision, SMOKE.device) < 60
