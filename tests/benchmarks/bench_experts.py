"""Time of sparse over dense dispatch of the experts, beside the ideal k/N: `make benchmark`.

Sparse and dense take turns, so that the ratio holds on a machine that others use too. Training is a forward and a
backward pass. Prints, judges nothing.
"""

import statistics
import time

import torch

from qamoe_bench.nn.experts import Dispatch, GLUExperts, top_k_gate

BATCHES, WIDTHS, EXPERTS, CHOSEN = (64, 256, 1024), (64, 256), 8, (1, 3, 8)
TURNS = 15


def experts(width: int, dispatch: Dispatch) -> GLUExperts:
    """As QA-MoE has them, twice as wide inside as outside."""
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
    """Median seconds of sparse over those of dense."""
    x = torch.randn(batch, width)
    gate = top_k_gate(torch.randn(batch, EXPERTS), k, renormalise=True)
    sparse, dense = experts(width, "sparse"), experts(width, "dense")
    seconds = [[step(m, x, gate, training=training) for m in (sparse, dense)] for _ in range(TURNS + 2)][2:]
    of_sparse, of_dense = (statistics.median(column) for column in zip(*seconds, strict=True))
    return float(of_sparse / of_dense)


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
