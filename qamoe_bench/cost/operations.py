"""Multiply-adds of single operations: which operations count, and which are known to need none.

Every product of matrices or vectors and every convolution counts, whatever its purpose: linear maps, recurrences,
attention, experts, masked means. One multiply-add is one product and its addition to a sum, and equals two FLOPs.
Elementwise arithmetic, activations, softmax, normalisation, reductions, look-ups, sorting and copies do not count.
An operation on neither list raises an error, so that a count is never incomplete.
"""

import math
from typing import Any

import torch
from torch import Tensor

from qamoe_bench.errors import RunFailed

aten = torch.ops.aten

PRODUCTS = {
    aten.mm: 0, aten.bmm: 0, aten.mv: 0, aten.dot: 0, aten.vdot: 0, aten.linear: 0,
    aten.addmm: 1, aten.baddbmm: 1, aten.addmv: 1, aten._addmm_activation: 1,
}  # fmt: skip
"""Products, with the position of the left factor among the arguments; the sum runs over its last dimension."""

CONVOLUTIONS = {aten.convolution, aten._convolution, aten.convolution_overrideable}

# Without the namespace, overload and trailing underscore of the in-place form.
_FREE_NAMES = """
_adaptive_avg_pool2d _fused_dropout _local_scalar_dense _log_softmax _native_batch_norm_legit
_native_batch_norm_legit_no_training _safe_softmax _softmax _to_copy _unique2 _unsafe_index _unsafe_view all amax amin
aminmax any arange argmax argmin argsort as_strided avg_pool1d avg_pool2d bernoulli bincount bucketize cat clone
constant_pad_nd contiguous copy count_nonzero cummax cumprod cumsum detach diag_embed dropout embedding empty
empty_like empty_strided equal eye fill flip floor_divide full full_like gather glu group_norm index index_add
index_copy index_fill index_put index_select is_same_size isin item layer_norm lift_fresh linalg_vector_norm linspace
logsumexp masked_scatter masked_select max max_pool1d max_pool2d_with_indices mean median min multinomial
native_batch_norm native_dropout native_group_norm native_layer_norm new_empty new_empty_strided new_full new_ones
new_zeros nonzero norm normal one_hot ones ones_like prod rand rand_like randint randn randn_like repeat
repeat_interleave resize roll scalar_tensor scatter scatter_add scatter_reduce searchsorted select_scatter
slice_scatter sort stack std std_mean sum take topk tril triu unfold uniform unique_consecutive unsafe_chunk
unsafe_split unsafe_split_with_sizes var var_mean zero zeros zeros_like
"""

FREE = frozenset(_FREE_NAMES.split())
"""Names of operations without products, in addition to views and operations that torch itself tags as pointwise."""


def multiply_adds_of(operation: Any, args: tuple[Any, ...], output: Any) -> int:
    """Multiply-adds of one call of an ATen operation.

    Args:
        operation: The overload that is called.
        args: Its positional arguments.
        output: Its result.

    Raises:
        RunFailed: If the operation is neither counted nor known to be free.
    """
    packet = operation.overloadpacket
    if packet in PRODUCTS:
        return int(output.numel() * args[PRODUCTS[packet]].shape[-1])
    if packet in CONVOLUTIONS:
        return _of_convolution(args[0], args[1], output, transposed=args[6])
    if not _is_free(operation):
        raise RunFailed(
            f"cannot count {operation}: expected products, convolutions and operations without products; write the "
            "model in plain layers"
        )
    return 0


def _of_convolution(x: Tensor, weight: Tensor, output: Tensor, *, transposed: bool) -> int:
    """Each output element (each input element, if transposed) meets one filter of (C_in / groups) × kernel numbers."""
    elements = x.numel() if transposed else output.numel()
    return elements * math.prod(weight.shape[1:])


def _is_free(operation: Any) -> bool:
    name = operation.overloadpacket.__name__.removesuffix("_")
    moves = operation.is_view or torch.Tag.inplace_view in operation.tags
    return operation.namespace == "aten" and (moves or torch.Tag.pointwise in operation.tags or name in FREE)
