"""Reproducible arithmetic on a GPU; the settings can be read without one."""

import os
import warnings

import pytest
import torch

from qamoe_bench.run.arithmetic import reproducible


def settings() -> tuple[object, ...]:
    """Everything that `reproducible` sets."""
    return (
        torch.backends.cudnn.allow_tf32,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    )


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> torch.device:
    """A GPU that need not exist."""
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", "")
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG")  # so that the test's end removes what the context sets
    return torch.device("cuda")


def test_on_the_cpu_nothing_changes() -> None:
    before = settings()
    with reproducible(torch.device("cpu")):
        assert settings() == before


def test_on_a_gpu_float32_is_not_rounded_and_sums_have_a_fixed_order(gpu: torch.device) -> None:
    with reproducible(gpu):
        assert settings() == (False, True, True, False, ":4096:8")


def test_the_user_s_own_workspace_of_cublas_stays(gpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    with reproducible(gpu):
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_afterwards_the_settings_are_as_before_also_after_an_error(gpu: torch.device) -> None:
    before = settings()
    with pytest.raises(ZeroDivisionError), reproducible(gpu):
        _ = 1 / 0
    assert settings()[:-1] == before[:-1]


def test_operations_without_a_fixed_order_run_without_a_warning(gpu: torch.device) -> None:
    with reproducible(gpu):
        warnings.warn("cumsum_cuda_kernel does not have a deterministic implementation", UserWarning, stacklevel=1)
    with pytest.raises(UserWarning, match="anything else"), reproducible(gpu):
        warnings.warn("anything else", UserWarning, stacklevel=1)
