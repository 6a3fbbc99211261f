"""Time of sparse relative to dense dispatch of experts, with the ideal ratio k/N; run by `make benchmark`.

Sparse and dense passes alternate, so that the load of a shared machine affects both. Training is a forward and a
backward pass. Prints measurements without a verdict.
"""

import statistics
import time

import torch

from qamoe_bench.nn.experts import Dispatch, GLUExperts, top_k_gate

BATCHES = (64, 256, 1024)
WIDTHS = (64, 256)
EXPERTS = 8  # N
CHOSEN = (1, 3, 8)  # k
TURNS = 15
WARM_UP = 2


def experts(width: int, dispatch: Dispatch) -> GLUExperts:
    """Experts as in QA-MoE, whose inner width is twice the outer one."""
    return GLUExperts(EXPERTS, width, 2 * width, dispatch)


def step(model: GLUExperts, x: torch.Tensor, gate: torch.Tensor, *, training: bool) -> float:
    """Seconds of one pass."""
    start = time.perf_counter()
    if training:
        model(x, gate).sum().backward()
    else:
        with torch.inference_mode():
            model(x, gate)
    return time.perf_counter() - start


def ratio(batch: int, width: int, k: int, *, training: bool) -> float:
    """Median time of sparse passes divided by that of dense passes."""
    x = torch.randn(batch, width)
    gate = top_k_gate(torch.randn(batch, EXPERTS), k, renormalise=True)
    sparse = experts(width, "sparse")
    dense = experts(width, "dense")
    sparse_seconds = []
    dense_seconds = []
    for turn in range(TURNS + WARM_UP):
        sparse_time = step(sparse, x, gate, training=training)
        dense_time = step(dense, x, gate, training=training)
        if turn >= WARM_UP:
            sparse_seconds.append(sparse_time)
            dense_seconds.append(dense_time)
    return statistics.median(sparse_seconds) / statistics.median(dense_seconds)


def main() -> None:
    """Print a line per batch, width and k."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    print(f"sparse over dense, {EXPERTS} experts\nbatch  width  k   k/N  forward  training")  # noqa: T201
    for batch in BATCHES:
        for width in WIDTHS:
            for k in CHOSEN:
                forward, training = (ratio(batch, width, k, training=t) for t in (False, True))
                print(f"{batch:5}  {width:5}  {k}  {k / EXPERTS:.2f}  {forward:7.2f}  {training:8.2f}")  # noqa: T201


if __name__ == "__main__":
    main()
