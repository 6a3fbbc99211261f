"""Costs of models: records, the paper's setting, and measurements."""

import pytest
import torch
from torch import nn

from qamoe_bench.contract import Batch
from qamoe_bench.cost import measure
from qamoe_bench.cost.cost import Cost, Machine, Size, Speed, measure_costs, size_of
from qamoe_bench.cost.measure import highest, in_turn, peak_memory, turns_in
from qamoe_bench.cost.paper import PRINTED_G
from qamoe_bench.cost.setting import make_setting, sizes
from qamoe_bench.cost.stages import TEXT, ParameterCount
from qamoe_bench.cost.tables import cost_tables, significant
from qamoe_bench.errors import BenchError, RunFailed
from qamoe_bench.report.table import WIDEST

CPU = torch.device("cpu")


def made_up(name: str = "some-long-model") -> Cost:
    stages = {"text encoder": 6e6, "other encoders": 0.0, "fusion": 0.0, "experts": 3e6, "heads": 1e6}
    speed = Speed({1: [0.01, 0.02, 0.03], 64: [0.5, 0.25, 0.25]}, 3 * 2**20)
    machine = Machine(CPU, "float32", 100.0, (0.5, 0.4, 0.3), 2)
    return Cost(name, Size(ParameterCount(12_345_678, 2_345_678), stages, 64), speed, machine)


def test_a_record_follows_from_what_was_measured() -> None:
    record = made_up().record()
    assert record["gmacs"] == pytest.approx(0.01)
    assert record["gflops"] == pytest.approx(0.02)
    assert record["samples_per_second"] == {"1": 50.0, "64": 256.0}
    assert record["latency_ms"]["p50"] == pytest.approx(20)
    assert record["peak_mib"] == 3
    assert record["peak_share"] == pytest.approx(0.02 * 256 / 100)
    assert sum(record["stages"].values()) == pytest.approx(record["gmacs"])
    assert {"model", "parameters", "active_parameters", "precision", "device", "threads", "load",
            "matrix_peak_gflops", "versions"} <= set(record)  # fmt: skip


@pytest.mark.parametrize("preset", ["quick", "paper"])
def test_tables_fit_a_terminal(preset: str) -> None:
    for table in cost_tables([made_up(), made_up("text-encoder")], preset):
        columns = zip(table.header, *table.rows, strict=True)
        assert sum(max(map(len, column)) + 1 for column in columns) <= WIDEST
        assert all(len(note) <= WIDEST for note in table.notes)


@pytest.mark.parametrize(("load", "threads", "busy"), [(0.2, 2, False), (2.5, 2, True), (1.5, 1, False)])
def test_a_busy_machine_is_reported(load: float, threads: int, busy: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qamoe_bench.cost.cost.usable_cores", lambda: 2)
    cost = made_up()
    machine = Machine(CPU, "float32", 100.0, (load, load, load), threads)
    notes = cost_tables([Cost(cost.model, cost.size, cost.speed, machine)], "quick")[-1].notes
    assert ("busy" in " ".join(notes)) == busy


def test_numbers_have_significant_digits_and_no_exponent() -> None:
    assert [significant(x) for x in (0.0, 4.30123, 123456.0, 0.0000123456)] == ["0", "4.301", "123500", "0.00001235"]


def test_costs_of_real_models(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qamoe_bench.cost.measure.SECONDS", 0.0)
    monkeypatch.setitem(measure.LARGEST, "cpu", 64)
    setting = make_setting("quick", None)
    models = {name: setting.build(name) for name in ("qa-moe", "mean")}
    lines = list[str]()
    first, second = measure_costs(models, setting, (1, 64), "bfloat16", CPU, lines.append)
    assert [first.model, second.model] == ["qa-moe", "mean"]
    assert {n: len(seconds) for n, seconds in first.speed.seconds.items()} == {1: 5, 64: 5}
    assert first.size.multiply_adds == sum(first.size.stages.values()) > second.size.multiply_adds == 0
    assert first.speed.peak_bytes > second.speed.peak_bytes > 0
    assert first.peak_share > 0
    assert "counting qa-moe" in lines


def test_qa_moe_in_the_papers_setting_counts_what_the_paper_prints() -> None:
    setting = make_setting("paper", None)
    size = size_of("qa-moe", setting.build("qa-moe"), setting.batch(1), setting.stages("qa-moe"))
    bert = 12 * (4 * 768**2 + 2 * 768 * 3072) * 50 + 12 * 2 * 50**2 * 768
    encoder = 50 * 768 * 128 + 2 * 50 * 128 + 2 * 128 * 128 + 128 * 128  # frames' map, statistics, perceptron
    assert size.stages[TEXT] == bert + encoder
    assert size.multiply_adds / 1e9 == pytest.approx(PRINTED_G, rel=0.02)
    assert bert / 1e9 == pytest.approx(4.293, abs=5e-4)
    assert size.parameters.all > 108_891_648


def test_a_batch_repeats_samples_where_there_are_too_few() -> None:
    setting = make_setting("quick", None)
    large = setting.batch(700)
    assert large.size == 700
    assert torch.equal(large.features["text"][690], large.features["text"][4])


def test_a_model_that_cannot_be_counted_or_returns_nonsense_is_named(batch: Batch) -> None:
    class Strange(nn.Module):
        def forward(self, batch: Batch) -> object:
            return torch.linalg.inv(torch.eye(2))

    class Bare(nn.Module):
        def forward(self, batch: Batch) -> object:
            return batch.size

    with pytest.raises(RunFailed, match="model 'mine': cannot count aten"):
        size_of("mine", Strange(), batch)
    with pytest.raises(RunFailed, match="model 'mine': expected a qamoe_bench.contract.Output, got int"):
        size_of("mine", Bare(), batch)


def test_models_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qamoe_bench.cost.measure.SECONDS", 0.0)
    order = list[str]()
    times = in_turn({name: lambda name=name: order.append(name) for name in "ab"}, CPU)  # type: ignore[misc]
    assert "".join(order) == "ab" * 7  # twice to warm up, then five turns
    assert len(times["a"]) == len(times["b"]) == 5


def test_turns_are_as_many_as_fit_within_limits() -> None:
    assert [turns_in(10, s) for s in (0.0, 0.5, 100)] == [100, 20, 5]


def test_the_peak_is_the_highest_level() -> None:
    assert highest([5, 3, -4, 2, -6]) == 8
    assert highest([]) == 0


def test_memory_of_a_pass_is_what_is_alive_at_once() -> None:
    model, x = nn.Sequential(nn.Linear(16, 4096), nn.ReLU(), nn.Linear(4096, 1)), torch.randn(64, 16)
    hidden = 64 * 4096 * 4  # bytes before and after the ReLU, both alive while it runs
    assert 2 * hidden <= peak_memory(lambda: model(x), "float32", CPU) < 2.1 * hidden
    weights = sum(p.numel() for p in model.parameters()) * 2  # bytes, converted
    assert hidden + weights / 2 < peak_memory(lambda: model(x), "bfloat16", CPU) < 1.1 * (hidden + weights)


def test_batch_sizes() -> None:
    assert sizes("64,16,64", "quick") == (1, 16, 64)
    assert sizes(None, "paper") == (1, 16)
    for nonsense in ("", "0", "1,x", "-1", "1.5"):
        with pytest.raises(BenchError, match="--batch"):
            sizes(nonsense, "quick")


def test_the_papers_setting_has_inputs_of_its_own_and_refuses_models_of_features() -> None:
    with pytest.raises(BenchError, match="has inputs of its own"):
        make_setting("paper", "mosi.pkl")
    setting = make_setting("paper", None)
    batch = setting.batch(2)
    assert {m: tuple(x.shape) for m, x in batch.features.items()} == {
        "text": (2, 50, 1), "audio": (2, 50, 74), "vision": (2, 50, 35)
    }  # fmt: skip
    assert torch.equal(setting.batch(2).features["text"], batch.features["text"])
    with pytest.raises(BenchError, match="token ids"):
        setting.build("sam-lml")
    with pytest.raises(BenchError, match="did you mean 'text-encoder'"):
        setting.build("text-encodr")
