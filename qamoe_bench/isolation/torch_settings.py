"""Settings of torch that any code can change, and that numbers of other models depend on."""

from collections.abc import Callable
from functools import partial
from typing import Any

from qamoe_bench.isolation.python_settings import GlobalSetting

PRECISIONS = (
    *(("generic", "all"), ("mkldnn", "all"), ("mkldnn", "matmul"), ("mkldnn", "conv"), ("mkldnn", "rnn")),
    *(("cuda", "all"), ("cuda", "matmul"), ("cuda", "conv"), ("cuda", "rnn")),
)
"""Backend and operation of every setting of the precision of float32."""
# Pairs of torch's own functions `_get_<name>` and `_set_<name>`, each with its name in messages.
SWITCHES = {
    "mkldnn_enabled": "torch's mkldnn flag",
    "mkldnn_deterministic": "torch's deterministic flag",
    "onednn_allow_tf32": "torch's mkldnn flag",
    "nnpack_enabled": "torch's nnpack flag",
    "cudnn_enabled": "torch's cudnn flags",
    "cudnn_benchmark": "torch's cudnn flags",
    "cudnn_deterministic": "torch's cudnn flags",
    "cublas_allow_fp16_reduced_precision_reduction": "torch's precision of products",
    "cublas_allow_bf16_reduced_precision_reduction": "torch's precision of products",
    "cublas_allow_fp16_accumulation": "torch's precision of products",
    "cpu_allow_fp16_reduced_precision_reduction": "torch's precision of products",
    "deterministic_fill_uninitialized_memory": "torch's deterministic flag",
}
SDP = ("flash_sdp", "mem_efficient_sdp", "math_sdp", "cudnn_sdp")
HOOKS = (
    *("_global_forward_hooks", "_global_forward_pre_hooks", "_global_backward_hooks", "_global_backward_pre_hooks"),
    *("_global_module_registration_hooks", "_global_parameter_registration_hooks", "_global_buffer_registration_hooks"),
)


def torch_settings() -> list[GlobalSetting]:
    """The settings that exist in the installed version."""
    import torch

    backends = torch.backends
    settings = [
        GlobalSetting("", lambda: torch.get_rng_state().numpy().tobytes(), _write_random_state),
        GlobalSetting("torch's default dtype", torch.get_default_dtype, torch.set_default_dtype),
        GlobalSetting("torch's default device", torch.get_default_device, _write_default_device),
        GlobalSetting("torch's number of threads", torch.get_num_threads, torch.set_num_threads),
        GlobalSetting("torch's grad mode", torch.is_grad_enabled, torch._C._set_grad_enabled),
        GlobalSetting("torch's deterministic flag", _deterministic, _write_deterministic),
        GlobalSetting("torch's handling of denormal numbers", _flushes, torch.set_flush_denormal),
        GlobalSetting("torch's anomaly detection", torch.is_anomaly_enabled, torch.autograd.set_detect_anomaly),
        GlobalSetting("torch's autocast", _autocast, _write_autocast),
        GlobalSetting(
            "torch's fast path of attention", backends.mha.get_fastpath_enabled, backends.mha.set_fastpath_enabled
        ),
        GlobalSetting("torch's hooks of all modules", _hooks, _write_hooks),
        GlobalSetting("torch's modes", _modes, _write_modes),
        *_precisions(),
    ]
    for name, label in SWITCHES.items():
        read = getattr(torch._C, f"_get_{name}", None)
        write = getattr(torch._C, f"_set_{name}", None)
        if read and write:
            settings.append(GlobalSetting(label, read, write))
    for name in SDP:
        read = getattr(backends.cuda, f"{name}_enabled")
        settings.append(GlobalSetting("torch's kernels of attention", read, getattr(backends.cuda, f"enable_{name}")))
    return settings


def _precisions() -> list[GlobalSetting]:
    """Newer versions of torch have one setting per backend and operation, older ones a few flags."""
    import torch

    label = "torch's precision of products"
    read: Callable[..., Any] | None = getattr(torch._C, "_get_fp32_precision_getter", None)
    write: Callable[..., Any] | None = getattr(torch._C, "_set_fp32_precision_setter", None)
    settings = [
        GlobalSetting(label, torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    ]
    if read is None or write is None:
        return settings
    for place in PRECISIONS:
        settings.append(GlobalSetting(label, partial(read, *place), partial(_write_precision, write, place)))
    return settings


def _write_precision(write: Callable[..., Any], place: tuple[str, str], value: str) -> None:
    write(*place, value)


def _write_random_state(value: bytes) -> None:
    import torch

    torch.set_rng_state(torch.frombuffer(bytearray(value), dtype=torch.uint8))


def _write_default_device(value: Any) -> None:
    import torch

    # Setting the CPU explicitly would make every function that creates a tensor slower.
    torch.set_default_device(None if value == torch.device("cpu") else value)


def _deterministic() -> tuple[bool, bool]:
    import torch

    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _write_deterministic(value: tuple[bool, bool]) -> None:
    import torch

    torch.use_deterministic_algorithms(value[0], warn_only=value[1])


def _flushes() -> bool:
    import torch

    # Nothing in torch tells: a denormal number that is multiplied shows it.
    return not bool(torch.full((1,), 1e-310, dtype=torch.float64, device="cpu").mul(1.0))


def _autocast() -> list[tuple[bool, Any]]:
    import torch

    return [(torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind)) for kind in ("cpu", "cuda")]


def _write_autocast(value: list[tuple[bool, Any]]) -> None:
    import torch

    for kind, (enabled, dtype) in zip(("cpu", "cuda"), value, strict=True):
        torch.set_autocast_enabled(kind, enabled)
        torch.set_autocast_dtype(kind, dtype)


def _modes() -> tuple[int, int]:
    """How many modes that change every function are active, of `torch.overrides` and of `torch.utils`."""
    import torch

    return torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()


def _write_modes(value: tuple[int, int]) -> None:
    import torch

    while torch._C._len_torch_function_stack() > value[0]:
        torch._C._pop_torch_function_stack()
    while torch._C._len_torch_dispatch_stack() > value[1]:
        torch._C._pop_torch_dispatch_stack(None)


def _hooks() -> list[dict[int, Any]]:
    from torch.nn.modules import module

    return [dict(getattr(module, name)) for name in HOOKS if hasattr(module, name)]


def _write_hooks(value: list[dict[int, Any]]) -> None:
    from torch.nn.modules import module

    names = [name for name in HOOKS if hasattr(module, name)]
    for name, hooks in zip(names, value, strict=True):
        current = getattr(module, name)
        current.clear()
        current.update(hooks)
