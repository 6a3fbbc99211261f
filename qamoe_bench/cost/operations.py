"""Multiply-adds of single operations: which are counted, and which are known to need none.

Counted is every product of matrices or vectors and every convolution, whatever it is for: linear maps, recurrences,
attention, experts, masked means. One multiply-add is one product and its addition to a sum; in FLOPs it is two.
Not counted are elementwise arithmetic, activations, softmax, normalisation, reductions, look-ups, sorting and copies.
An operation that is on neither list raises: a count is complete or there is none.
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
"""Products, with the place of the left factor among the arguments; its last dimension is what is summed over."""

CONVOLUTIONS = {aten.convolution, aten._convolution, aten.convolution_overrideable}

_WORDS = """
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

FREE = frozenset(_WORDS.split())
"""Names of what multiplies no matrices, beside views and what torch itself calls pointwise."""


def multiply_adds_of(operation: Any, args: tuple[Any, ...], answer: Any) -> int:
    """Multiply-adds of one call of an ATen operation.

    Raises:
        RunFailed: for an operation that is neither counted nor known to be free.
    """
    packet = operation.overloadpacket
    if packet in PRODUCTS:
        return int(answer.numel() * args[PRODUCTS[packet]].shape[-1])
    if packet in CONVOLUTIONS:
        return _of_convolution(args[0], args[1], answer, transposed=args[6])
    if not _is_free(operation):
        raise RunFailed(
            f"cannot count {operation}: expected products, convolutions and what multiplies no matrices; "
            "write the model in plain layers"
        )
    return 0


def _of_convolution(x: Tensor, weight: Tensor, answer: Tensor, *, transposed: bool) -> int:
    """Each output (each input, where transposed) meets one filter, (C_in / groups) × kernel numbers."""
    return (x if transposed else answer).numel() * math.prod(weight.shape[1:])


def _is_free(operation: Any) -> bool:
    name = operation.overloadpacket.__name__.removesuffix("_")
    moves = operation.is_view or torch.Tag.inplace_view in operation.tags
    return operation.namespace == "aten" and (moves or torch.Tag.pointwise in operation.tags or name in FREE)
