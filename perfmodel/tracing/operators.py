"""One formula for every ATen operator perfmodel knows: here those without multiply-accumulates.

Most are a line in a table: family, operations on each element, names. An operation count says how
many elementary operations (one addition, comparison, division, exponential ...) one element takes;
it follows the definition in PyTorch's documentation, not a particular implementation of it.
Matrix products are in :mod:`perfmodel.tracing.products`, the registry in
:mod:`perfmodel.tracing.formula`.

Operators that only ever return views need no formula, and have none: the tracer recognises a view
by its storage. ``reshape``, ``contiguous``, ``to`` and the like reach their formula only when they
really copy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any, Final

from perfmodel.tracing import products as products
from perfmodel.tracing import selecting as selecting
from perfmodel.tracing.formula import (
    Call,
    Cost,
    Formula,
    Shape,
    broadcast,
    canonical,
    find,
    register,
    registered,
    unregister,
)
from perfmodel.vocabulary import families as f

__all__ = [
    "Call",
    "Cost",
    "Formula",
    "canonical",
    "find",
    "register",
    "registered",
    "unregister",
]

# In-place operators that change how a tensor is seen, not what it holds; allocations without
# contents; checks.
_FREE: Final = (
    "empty empty_like empty_strided empty_permuted new_empty new_empty_strided resize_ set_ "
    "detach_ squeeze_ unsqueeze_ transpose_ swapaxes_ swapdims_ t_ as_strided_ requires_grad_ "
    "_assert_tensor_metadata _assert_async _assert_scalar"
)
#: Operators that are not kernels.
FREE: Final = frozenset(f"aten.{name}" for name in _FREE.split())

_DROPOUTS: Final = frozenset(
    f"aten.{name}" for name in ("dropout", "feature_dropout", "alpha_dropout")
)


def is_identity(name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether the call returns its first argument, although the exported graph shows a new tensor.

    So does dropout in eval mode. The copy that is made of a constant of the source text, on each
    call, is not charged either.
    """
    if name in _DROPOUTS:
        return not arguments.get("train", True) or arguments.get("p") == 0
    return name == "aten.lift_fresh_copy"


def _add(formula: Formula, names: str) -> None:
    register(*(f"aten.{name}" for name in names.split()))(formula)


def _per_result(family: str, ops: int) -> Formula:
    """``ops`` operations on each element of the (first) result."""

    def formula(call: Call) -> Cost:
        return Cost(family, vector_ops=ops * call.result_numel)

    return formula


def _per_input(family: str, ops: int) -> Formula:
    """``ops`` operations on each element of the first tensor argument."""

    def formula(call: Call) -> Cost:
        return Cost(family, vector_ops=ops * call.numel(call.tensors()[0]))

    return formula


def _table(
    kind: Callable[[str, int], Formula], family: str, rows: Sequence[tuple[int, str]]
) -> None:
    for ops, names in rows:
        _add(kind(family, ops), names)


# Elementwise arithmetic, and activation functions

# A scale (alpha) of add and sub is not counted.
_table(
    _per_result,
    f.ELEMENTWISE,
    (
        (
            1,
            "add sub subtract rsub mul multiply div divide true_divide neg negative abs absolute "
            "sign sgn square sqrt rsqrt reciprocal pow float_power exp exp2 expm1 log log2 log10 "
            "log1p sin cos tan asin acos atan sinh cosh asinh acosh atanh arctan atan2 arctan2 erf "
            "erfc erfinv lgamma digamma floor ceil round trunc fix frac minimum maximum fmin fmax "
            "clamp_min clamp_max fmod copysign heaviside eq ne lt le gt ge not_equal less "
            "less_equal greater greater_equal logical_not logical_and logical_or logical_xor "
            "bitwise_not bitwise_and bitwise_or bitwise_xor bitwise_left_shift "
            "bitwise_right_shift __and__ __or__ __xor__ __lshift__ __rshift__ __iand__ __ior__ "
            "__ixor__ isnan isinf isfinite isposinf isneginf where masked_fill diff outer ger "
            "polar complex angle conj_physical bernoulli ldexp rad2deg deg2rad",
        ),
        (
            2,
            "clamp clip floor_divide remainder addcdiv addcmul xlogy dropout feature_dropout "
            "alpha_dropout",
        ),
        (3, "lerp nan_to_num hypot logaddexp2 isclose"),
        (4, "logaddexp logit"),
    ),
)
_table(
    _per_result,
    f.ACTIVATION,
    (
        (1, "relu threshold tanh"),
        (2, "relu6 leaky_relu prelu _prelu_kernel rrelu hardtanh hardshrink"),
        (3, "softshrink celu elu"),
        (4, "sigmoid log_sigmoid hardsigmoid softplus selu"),
        (5, "silu hardswish mish glu"),
    ),
)


@register("aten.gelu")
def _gelu(call: Call) -> Cost:
    """0.5 x (1 + erf(x / sqrt 2)), or the tanh approximation with its cubic argument."""
    ops = 9 if call.get("approximate") == "tanh" else 5
    return Cost(f.ACTIVATION, vector_ops=ops * call.result_numel)


# Norms and softmax

_table(
    _per_input,
    f.SOFTMAX,
    ((products.SOFTMAX_OPS, "softmax _softmax _safe_softmax log_softmax _log_softmax"),),
)

#: Operations on each element to find mean and variance: sum, centre, square, sum.
_STATISTICS: Final = 4


def _norm(statistics: int) -> Formula:
    """Statistics, then one operation to scale the (centred) value, and one for each affine term."""

    def formula(call: Call) -> Cost:
        affine = sum(1 for name in ("weight", "bias") if call.has(name))
        return Cost(f.NORM, vector_ops=(statistics + 1 + affine) * call.result_numel)

    return formula


_add(_norm(_STATISTICS), "layer_norm native_layer_norm group_norm native_group_norm")
_add(_norm(2), "rms_norm _fused_rms_norm")


@register(
    "aten.batch_norm",
    "aten.native_batch_norm",
    "aten._native_batch_norm_legit_no_training",
    "aten.instance_norm",
)
def _running_norm(call: Call) -> Cost:
    """With running statistics, scale and shift of a channel are known: one multiply, one add."""
    if call.get("training", False) or call.get("use_input_stats", False):
        return _norm(_STATISTICS)(call)
    return Cost(f.NORM, vector_ops=2 * call.result_numel)


_add(_per_input(f.NORM, _STATISTICS), "_weight_norm")

# Reductions and scans

_table(
    _per_input,
    f.REDUCTION,
    (
        (
            1,
            "sum nansum mean nanmean prod amax amin argmax argmin any all cumsum cumprod cummax "
            "cummin median nanmedian mode",
        ),
        (
            2,
            "norm linalg_vector_norm linalg_norm frobenius_norm nuclear_norm aminmax count_nonzero",
        ),
        (3, "pairwise_distance dist"),
        (4, "var std var_mean std_mean logsumexp logcumsumexp renorm"),
        (6, "cosine_similarity"),
    ),
)


@register("aten.max", "aten.min")
def _extremum(call: Call) -> Cost:
    """Of a tensor, or (max.other) of each pair of two."""
    if call.has("other"):
        return Cost(f.ELEMENTWISE, vector_ops=call.result_numel)
    return Cost(f.REDUCTION, vector_ops=call.numel("self"))


@register("aten.topk", "aten.sort", "aten.argsort", "aten.msort", "aten.kthvalue")
def _sort(call: Call) -> Cost:
    """Comparisons of a merge sort, or of a heap of the k largest: elements x log2 of the length."""
    shape = call.shape("self")
    dim = call.get("dim", -1)
    length = shape[dim] if shape and isinstance(dim, int) else 1
    steps = _log2(min(length, call.get("k", length)))
    return Cost(f.REDUCTION, vector_ops=prod(shape) * steps)


@register("aten.searchsorted", "aten.bucketize")
def _search(call: Call) -> Cost:
    """A binary search for each value."""
    table = "sorted_sequence" if call.has("sorted_sequence") else "boundaries"
    steps = _log2(call.shape(table)[-1])
    found = call.result_numel
    return Cost(f.REDUCTION, vector_ops=found * steps, reads={table: found * steps})


def _log2(length: int) -> int:
    """The logarithm to base 2, rounded up; at least 1. By doubling: it also fits symbolic sizes."""
    steps, reach = 1, 2
    while reach < length:
        steps, reach = steps + 1, reach * 2
    return steps


@register("aten.cdist")
def _pairwise(call: Call) -> Cost:
    """Difference, square (or magnitude) and sum for each pair of rows."""
    return Cost(f.REDUCTION, vector_ops=3 * call.result_numel * call.shape("x1")[-1])


# Pooling and resampling


def _pool(dims: int, *names: str) -> None:
    """Register ``names``: one comparison or addition for each element of each window.

    Padding counts as data. A kernel size may be one number for all dimensions.
    """

    @register(*names)
    def pool(call: Call) -> Cost:
        kernel = call.arguments["kernel_size"]
        sizes = (kernel,) if isinstance(kernel, int) else tuple(kernel)
        window = prod(sizes if len(sizes) == dims else sizes * dims)
        return Cost(f.POOLING, vector_ops=call.result_numel * window)


for _dims in (1, 2, 3):
    _pool(
        _dims,
        f"aten.max_pool{_dims}d",
        f"aten.max_pool{_dims}d_with_indices",
        f"aten.avg_pool{_dims}d",
    )


@register(*(f"aten.adaptive_max_pool{d}d" for d in (1, 2, 3)))
def _adaptive_pool(call: Call) -> Cost:
    """Windows of the input's size over the output's, rounded up where they overlap."""
    window = prod(
        -(-before // after)
        for before, after in zip(call.shape("self"), call.results[0], strict=True)
    )
    return Cost(f.POOLING, vector_ops=call.result_numel * window)


@register(
    *(f"aten.adaptive_avg_pool{d}d" for d in (1, 2, 3)),
    *(f"aten._adaptive_avg_pool{d}d" for d in (2, 3)),
)
def _adaptive_mean(call: Call) -> Cost:
    """As with the maximum; one window over all of a channel is a mean, and PyTorch runs it so."""
    sizes = zip(call.shape("self"), call.results[0], strict=True)
    if all(after in (1, before) for before, after in sizes):
        return Cost(f.REDUCTION, vector_ops=call.numel("self"))
    return _adaptive_pool(call)


# Each of t taps is weighted and all are added: 2 t - 1 operations on an output element. The
# interpolation weights themselves, one set for a row and a column, are not counted.
_table(
    _per_result,
    f.RESAMPLE,
    (
        (0, "upsample_nearest1d upsample_nearest2d upsample_nearest3d"),
        (
            0,
            "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d",
        ),
        (3, "upsample_linear1d"),
        (7, "upsample_bilinear2d _upsample_bilinear2d_aa grid_sampler grid_sampler_2d"),
        (15, "upsample_trilinear3d grid_sampler_3d"),
        (31, "upsample_bicubic2d _upsample_bicubic2d_aa"),
    ),
)

# Copies, creation and indexing

_table(
    _per_result,
    f.DATA_MOVEMENT,
    (
        (
            0,
            "cat concat concatenate stack hstack vstack dstack column_stack clone contiguous "
            "reshape flatten ravel to _to_copy type_as "
            "pad constant_pad_nd reflection_pad1d reflection_pad2d reflection_pad3d "
            "replication_pad1d replication_pad2d replication_pad3d _pad_circular roll flip fliplr "
            "flipud rot90 repeat tile repeat_interleave tril triu pixel_shuffle pixel_unshuffle "
            "channel_shuffle native_channel_shuffle im2col col2im diag diag_embed block_diag "
            "cartesian_prod slice_scatter select_scatter diagonal_scatter as_strided_scatter "
            "one_hot unfold_copy masked_scatter narrow_copy",
        ),
    ),
)


def _unread(call: Call) -> dict[str, int]:
    return dict.fromkeys(call.tensors(), 0)


def _create(call: Call) -> Cost:
    """Written only; an argument gives the shape, or is overwritten."""
    return Cost(f.DATA_MOVEMENT, reads=_unread(call))


_add(
    _create,
    "zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full scalar_tensor "
    "arange linspace logspace eye rand randn randint randperm rand_like randn_like randint_like "
    "tril_indices triu_indices zero fill normal uniform hann_window hamming_window",
)


@register("aten.copy")
def _copy(call: Call) -> Cost:
    return Cost(f.DATA_MOVEMENT, reads={"self": 0})


@register("aten.embedding")
def _embedding(call: Call) -> Cost:
    """Only the rows that are looked up are read."""
    return Cost(f.EMBEDDING, reads={"weight": call.result_numel})


@register("aten.embedding_bag", "aten._embedding_bag", "aten._embedding_bag_forward_only")
def _embedding_bag(call: Call) -> Cost:
    """The rows of all bags are read, and added up."""
    rows = call.numel("indices") * call.shape("weight")[-1]
    return Cost(f.EMBEDDING, vector_ops=rows, reads={"weight": rows})


@register("aten.index", "aten.index_select", "aten.gather", "aten.take", "aten.take_along_dim")
def _gather(call: Call) -> Cost:
    """As many elements are read as are returned."""
    return Cost(f.DATA_MOVEMENT, reads={"self": call.result_numel})


@register("aten.index_put", "aten._index_put_impl")
def _index_put(call: Call) -> Cost:
    """The indexed elements are written; read too where values are added to them.

    A boolean index is taken to select all its elements.
    """
    shape = call.shape("self")
    picked: Shape = ()
    kept: list[int] = []
    position = 0
    for index in call.arguments["indices"]:
        if index is None:
            kept.append(shape[position])
            position += 1
        elif str(getattr(index, "dtype", "")) == "torch.bool":
            picked = broadcast(picked, (prod(index.shape),))
            position += len(index.shape)
        else:
            picked = broadcast(picked, tuple(index.shape))
            position += 1
    moved = prod(picked) * prod(kept) * prod(shape[position:])
    return _partial_write(call, moved, adds=bool(call.get("accumulate", False)))


@register("aten.scatter")
def _scatter(call: Call) -> Cost:
    return _partial_write(call, call.numel("index"), adds=call.has("reduce"))


@register("aten.scatter_add", "aten.scatter_reduce")
def _scatter_add(call: Call) -> Cost:
    return _partial_write(call, call.numel("index"), adds=True)


@register("aten.index_copy")
def _index_copy(call: Call) -> Cost:
    return _partial_write(call, call.numel("source"), adds=False)


@register("aten.index_add", "aten.index_reduce")
def _index_add(call: Call) -> Cost:
    return _partial_write(call, call.numel("source"), adds=True)


@register("aten.index_fill")
def _index_fill(call: Call) -> Cost:
    """The rows that the index names."""
    shape, dim = call.shape("self"), call.arguments["dim"]
    moved = prod(shape) // shape[dim] * call.numel("index") if shape else 1
    return _partial_write(call, moved, adds=False)


def _partial_write(call: Call, moved: int, *, adds: bool) -> Cost:
    """``moved`` elements of self change; out of place all of it is copied too."""
    ops = moved if adds else 0
    if not call.in_place:
        return Cost(f.DATA_MOVEMENT, vector_ops=ops)
    return Cost(f.DATA_MOVEMENT, vector_ops=ops, reads={"self": moved if adds else 0}, writes=moved)
