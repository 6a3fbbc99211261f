"""Seeding of torch's global generators, on a machine with GPUs too."""

import pytest
import torch

from qamoe_bench.seeding import seeded, torch_seed


def test_the_same_words_give_the_same_numbers_and_the_state_is_restored() -> None:
    before = torch.get_rng_state()
    drawn = []
    for _ in range(2):
        with seeded("words", 1):
            drawn.append(torch.rand(3))
    assert torch.equal(*drawn)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_computation_on_the_cpu_starts_cuda_on_none_of_the_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        raise AssertionError("CUDA was started")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 8)
    for name in ("get_rng_state", "set_rng_state", "manual_seed_all"):
        monkeypatch.setattr(torch.cuda, name, start)
    with seeded("words"):
        first = torch.rand(3)
    with seeded("words"):
        assert torch.equal(torch.rand(3), first)


def test_where_cuda_runs_all_gpus_are_seeded_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    states = {0: "before 0", 1: "before 1"}
    seeds: list[int] = []
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda gpu: states[gpu])
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, gpu: states.update({gpu: state}))
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeds.append)
    with seeded("words"):
        states.update({0: "after", 1: "after"})
    assert seeds == [torch_seed("words")]
    assert states == {0: "before 0", 1: "before 1"}
