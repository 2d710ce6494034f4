"""Formulas of the operators made of multiply-accumulates: their FLOPs and GEMM loops.

FLOPs are those of ``torch.utils.flop_counter``: 2 for each multiply-accumulate, padding counted as
if it were data, no discount for a causal mask, bias not counted (it is in ``vector_ops``). Products
with a vector (``mv``, ``dot``), which that counter leaves at 0, count like any other product here.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Final

from perfmodel.tracing.formula import Call, Cost, Gemm, Shape, broadcast, register
from perfmodel.vocabulary import families as f

#: Operations on one attention score: maximum, subtraction, exponential, sum, division.
SOFTMAX_OPS: Final = 5


def _flops(gemm: Gemm) -> int:
    batch, m, n, k = gemm
    return 2 * batch * m * n * k


# Convolutions


@register("aten.conv1d", "aten.conv2d", "aten.conv3d")
def convolution(call: Call) -> Cost:
    """Implicit GEMM for each group: m output pixels over the batch, n its output channels."""
    weight = call.shape("weight")
    groups = call.get("groups", 1)
    out_channels, in_channels, *kernel = weight
    pixels = call.result_numel // out_channels
    gemm = (groups, pixels, out_channels // groups, in_channels * prod(kernel))
    if groups > 1 and in_channels == 1:
        return _convolution(call, gemm, f.DEPTHWISE_CONV)
    # One input pixel to each output pixel: no stride, and no padding either.
    plain = groups == 1 and prod(kernel) == 1 and call.numel("input") == pixels * in_channels
    return _convolution(call, gemm, f.POINTWISE_CONV if plain else f.CONV)


@register("aten.conv_transpose1d", "aten.conv_transpose2d", "aten.conv_transpose3d")
def transposed_convolution(call: Call) -> Cost:
    """Each input pixel is scattered through the kernel: m input pixels, n outputs of each."""
    weight = call.shape("weight")
    groups = call.get("groups", 1)
    in_channels, out_channels, *kernel = weight
    pixels = call.numel("input") // in_channels
    gemm = (groups, pixels, out_channels * prod(kernel), in_channels // groups)
    depthwise = groups > 1 and in_channels == groups
    return _convolution(call, gemm, f.DEPTHWISE_CONV if depthwise else f.CONV)


@register("aten.convolution", "aten._convolution")
def any_convolution(call: Call) -> Cost:
    """The general form, which says by an argument whether it is transposed."""
    return (transposed_convolution if call.get("transposed") else convolution)(call)


def _convolution(call: Call, gemm: Gemm, family: str) -> Cost:
    return Cost(
        family,
        flops=_flops(gemm),
        vector_ops=call.result_numel if call.has("bias") else 0,
        gemm=gemm,
    )


# Linear layers and products of two operands


@register("aten.linear")
def linear(call: Call) -> Cost:
    """All leading dimensions of the input are rows of one product with the weight."""
    *lead, k = call.shape("input")
    weight = call.shape("weight")
    gemm = (1, prod(lead), weight[0] if len(weight) > 1 else 1, k)
    bias = call.result_numel if call.has("bias") else 0
    return Cost(f.LINEAR, flops=_flops(gemm), vector_ops=bias, gemm=gemm)


def _product(left: str, right: str, *names: str, added: str | None = None) -> None:
    """Register ``names``: the product of two arguments, and a third one added to it.

    Where one of the two is a weight, the product is a linear layer by another name.
    """

    @register(*names)
    def product(call: Call) -> Cost:
        gemm = matmul_loops(call.shape(left), call.shape(right))
        sums = call.result_numel if added is not None else 0
        return Cost(_family(call, left, right), _flops(gemm), vector_ops=sums, gemm=gemm)


def _family(call: Call, *operands: str) -> str:
    return f.MATMUL if call.weights.isdisjoint(operands) else f.LINEAR


_product("self", "other", "aten.matmul", "aten.linalg_matmul")
_product("self", "mat2", "aten.mm", "aten.bmm")
_product("self", "vec", "aten.mv")
_product("self", "tensor", "aten.dot")
_product("self", "other", "aten.vdot")
_product("mat1", "mat2", "aten.addmm", added="self")
_product("batch1", "batch2", "aten.baddbmm", added="self")
_product("mat", "vec", "aten.addmv", added="self")


def matmul_loops(left: Shape, right: Shape) -> Gemm:
    """Loops of ``torch.matmul(left, right)``, broadcast and folded as torch does it.

    Where ``right`` is one matrix or vector, all leading dimensions of ``left`` are rows of a single
    product; otherwise there is one product for each index of the broadcast batch.
    """
    rows = left[-2] if len(left) > 1 else 1
    columns = right[-1] if len(right) > 1 else 1
    if len(right) <= 2:
        return (1, prod(left[:-2]) * rows, columns, left[-1])
    return (prod(broadcast(left[:-2], right[:-2])), rows, columns, left[-1])


@register("aten.tensordot")
def tensordot(call: Call) -> Cost:
    """One product over all contracted dimensions."""
    left, right = call.shape("self"), call.shape("other")
    k = prod(left[dim] for dim in call.arguments["dims_self"])
    other = prod(right[dim] for dim in call.arguments["dims_other"])
    gemm = (1, prod(left) // k, prod(right) // other, k)
    return Cost(_family(call, "self", "other"), flops=_flops(gemm), gemm=gemm)


@register("aten.einsum")
def einsum(call: Call) -> Cost:
    """Products of two operands at a time, from the left or along the path that is given.

    A letter that only one of a pair has, and nothing else needs, is summed out before. A pair
    without a contracted letter is an elementwise product, which has no multiply-accumulates. With
    more than two operands the loops are those of the largest product, and the bytes of intermediate
    results are not charged.
    """
    shapes = [tuple(tensor.shape) for tensor in call.arguments["tensors"]]
    terms, output = _spell_out(call.arguments["equation"], [len(shape) for shape in shapes])
    sizes: dict[str, int] = {}
    pending: list[frozenset[str]] = []
    for term, shape in zip(terms, shapes, strict=True):
        # A dimension of size 1 is broadcast: the operand does not run over that letter.
        runs = {letter: size for letter, size in zip(term, shape, strict=True) if size != 1}
        sizes |= runs
        pending.append(frozenset(runs))
    # The path lists the positions of each pair, whose product then stands at the end.
    path = list(call.get("path", ()))
    from_left = not path
    largest: Gemm | None = None
    flops = vector_ops = 0
    while len(pending) > 1:
        first, second = (0, 1) if from_left else sorted((path.pop(0), path.pop(0)))
        right, left = pending.pop(second), pending.pop(first)
        needed = frozenset(output).union(*pending)
        vector_ops += sum(
            _size(term, sizes) for term in (left, right) if term - needed - (left & right)
        )
        gemm = _pair_loops(left, right, needed, sizes)
        if gemm is None:
            vector_ops += _size((left | right) & needed, sizes)
        else:
            flops += _flops(gemm)
            largest = gemm if largest is None or _flops(gemm) > _flops(largest) else largest
        pending.insert(0 if from_left else len(pending), (left | right) & needed)
    if pending[0] - frozenset(output):
        vector_ops += _size(pending[0], sizes)  # a single operand, summed
    family = f.ELEMENTWISE if largest is None else _family(call, "tensors")
    return Cost(family, flops=flops, vector_ops=vector_ops, gemm=largest)


def _pair_loops(
    left: frozenset[str], right: frozenset[str], needed: frozenset[str], sizes: Mapping[str, int]
) -> Gemm | None:
    contracted = (left & right) - needed
    if not contracted:
        return None
    return (
        _size(left & right & needed, sizes),
        _size((left - right) & needed, sizes),
        _size((right - left) & needed, sizes),
        _size(contracted, sizes),
    )


def _size(letters: frozenset[str], sizes: Mapping[str, int]) -> int:
    return prod(sizes[letter] for letter in letters)


def _spell_out(equation: str, ranks: list[int]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, an ellipsis replaced by digits."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not arrow:
        letters = inputs.replace(",", "").replace(".", "")
        once = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
        output = ("..." if "..." in inputs else "") + once
    # Broadcast dimensions are aligned at the right, so they are numbered from there.
    extra = [rank - len(term.replace("...", "")) for term, rank in zip(terms, ranks, strict=True)]
    spelt = [
        term.replace("...", "".join(chr(ord("0") + i) for i in reversed(range(count))))
        for term, count in zip(terms, extra, strict=True)
    ]
    ellipsis = "".join(chr(ord("0") + i) for i in reversed(range(max(extra))))
    return spelt, output.replace("...", ellipsis)


# Attention


@register(
    "aten.scaled_dot_product_attention",
    "aten._scaled_dot_product_flash_attention_for_cpu",
    "aten._scaled_dot_product_flash_attention",
    "aten._scaled_dot_product_efficient_attention",
    "aten._scaled_dot_product_attention_math",
)
def attention(call: Call) -> Cost:
    """Queries times keys, softmax, scores times values, as one kernel.

    The loops are those of the first product; FLOPs count both. Scores stay in the kernel and cost
    no bytes. Heads of keys and values shared by several query heads (grouped-query attention) are
    read once.
    """
    *heads, m, k = call.shape("query")
    n = call.shape("key")[-2]
    batch = prod(heads)
    scores = batch * m * n
    # One operation to scale a score, one to add a mask.
    ops = SOFTMAX_OPS + 1 + (1 if call.has("attn_mask") or call.has("attn_bias") else 0)
    return Cost(
        f.ATTENTION,
        flops=2 * scores * (k + call.shape("value")[-1]),
        vector_ops=ops * scores,
        gemm=(batch, m, n, k),
    )


# Recurrent layers


def _recurrent(name: str, gates: int, ops: int) -> None:
    """Register a recurrent operator: ``ops`` operations on each gate of each step."""

    @register(name)
    def recurrent(call: Call) -> Cost:
        """One product of [input, state] with all weights of a layer, step after step.

        Layers and directions are summed in k, steps are the batch loop. The weights are charged
        once: they are taken to stay in cache from one step to the next.
        """
        *steps_and_batch, _ = call.shape("input")
        matrices = [tuple(p.shape) for p in call.arguments["params"] if len(p.shape) == 2]
        weights = sum(prod(shape) for shape in matrices)
        width = matrices[0][0]  # all gates of one layer
        steps = steps_and_batch[1 if call.get("batch_first") and len(steps_and_batch) > 1 else 0]
        rows = prod(steps_and_batch) // steps
        layers = call.get("num_layers") * (2 if call.get("bidirectional") else 1)
        return Cost(
            f.LINEAR,
            flops=2 * steps * rows * weights,
            vector_ops=ops * steps * rows * layers * width // gates,
            # Not exact for an LSTM with projections, whose last matrix is narrower than the gates.
            gemm=(steps, rows, width, weights // width),
        )


# For each element of the state: sums of both products and their biases (3 for each gate), gate
# functions (sigmoid 4, tanh 1), and the update of cell and state.
_recurrent("aten.lstm", gates=4, ops=4 * 3 + 3 * 4 + 2 * 1 + 4)
_recurrent("aten.gru", gates=3, ops=3 * 3 + 2 * 4 + 1 + 4)
_recurrent("aten.rnn_tanh", gates=1, ops=3 + 1)
_recurrent("aten.rnn_relu", gates=1, ops=3 + 1)


@register("aten.lstm_cell", "aten.gru_cell", "aten.rnn_tanh_cell", "aten.rnn_relu_cell")
def recurrent_cell(call: Call) -> Cost:
    """One step of a recurrent layer: one product of [input, state] with both weights."""
    rows, _ = call.shape("input")
    width, from_input = call.shape("w_ih")
    from_state = call.shape("w_hh")[1]
    gemm = (1, rows, width, from_input + from_state)
    # The gates of all cells cost about the same: the sums, a function, and an update.
    return Cost(f.LINEAR, flops=_flops(gemm), vector_ops=8 * rows * width, gemm=gemm)
