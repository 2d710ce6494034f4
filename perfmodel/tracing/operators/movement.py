"""Copies, creation and indexing."""

from __future__ import annotations

from math import prod

from perfmodel.tracing.formula import Call, Cost, Shape, broadcast, register
from perfmodel.tracing.operators.table import add, per_result, table
from perfmodel.vocabulary import families as f

table(
    per_result,
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
            "one_hot unfold_copy masked_scatter narrow_copy expand_copy permute_copy "
            "transpose_copy t_copy view_copy select_copy slice_copy squeeze_copy unsqueeze_copy "
            "detach_copy diagonal_copy alias_copy as_strided_copy split_copy split_with_sizes_copy "
            "unbind_copy view_as_real_copy view_as_complex_copy _reshape_copy _neg_view_copy "
            "_conj_copy resize _chunk_cat _stack max_unpool2d max_unpool3d "
            "_unsafe_view",
        ),
    ),
)


def _unread(call: Call) -> dict[str, int]:
    return dict.fromkeys(call.tensors(), 0)


def _create(call: Call) -> Cost:
    """Written only; an argument gives the shape, or is overwritten."""
    return Cost(f.DATA_MOVEMENT, reads=_unread(call))


add(
    _create,
    "zeros ones full zeros_like ones_like full_like new_zeros new_ones new_full scalar_tensor "
    "arange linspace logspace eye rand randn randint randperm rand_like randn_like randint_like "
    "tril_indices triu_indices zero fill normal uniform "
    "hann_window hamming_window bartlett_window blackman_window kaiser_window range fft_fftfreq "
    "fft_rfftfreq "
    "_efficientzerotensor _new_zeros_with_same_feature_meta",
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


@register(
    "aten.index",
    "aten._unsafe_index",
    "aten.index_select",
    "aten.gather",
    "aten.take",
    "aten.take_along_dim",
)
def _gather(call: Call) -> Cost:
    """As many elements are read as are returned."""
    return Cost(f.DATA_MOVEMENT, reads={"self": call.result_numel})


@register("aten.index_put", "aten._unsafe_index_put", "aten._index_put_impl")
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


@register("aten.put")
def _put(call: Call) -> Cost:
    return _partial_write(call, call.numel("index"), adds=bool(call.get("accumulate", False)))


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
