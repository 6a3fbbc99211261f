"""`qamoe-bench cost` as others script against it."""

import json

import pytest
from process import bench, refused


def test_json_is_a_list_of_objects_and_all_else_is_said_elsewhere() -> None:
    done = bench("cost", "--model", "mean", "--model", "late-fusion", "--batch", "1,8", "--json", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    records = json.loads(done.stdout)
    assert [r["model"] for r in records] == ["mean", "late-fusion"]
    for record in records:
        assert set(record["samples_per_second"]) == {"1", "8"}
        assert set(record["latency_ms"]) == {"p50", "p95", "p99"}
        assert set(record["stages"]) == {"text encoder", "other encoders", "fusion", "experts", "heads"}
        assert record["device"] == "cpu"
        assert record["versions"]["torch"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--model", "qamoe"), "did you mean 'qa-moe'"),
        (("--preset", "papers"), "did you mean 'paper'"),
        (("--batch", "none"), "--batch 'none'"),
        (("--precision", "float16"), "unknown precision 'float16'"),
        (("--device", "gpu"), "unknown device 'gpu'"),
        (("--data", "nowhere.pkl"), "no such file"),
        (("--preset", "paper", "--data", "synthetic"), "inputs of its own"),
        (("--preset", "paper", "--model", "sam-lml"), "token ids"),
    ],
)
def test_nonsense_is_refused_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    assert words in refused(bench("cost", *arguments))
