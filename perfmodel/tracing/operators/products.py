"""Formulas of the operators made of multiply-accumulates: their FLOPs and GEMM loops.

FLOPs are those of ``torch.utils.flop_counter``: 2 for each multiply-accumulate, padding counted as
if it were data, no discount for a causal mask, bias not counted (it is in ``vector_ops``). Products
with a vector (``mv``, ``dot``), which that counter leaves at 0, count like any other product here.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from perfmodel.tracing.formula import Call, Cost, Gemm, Shape, broadcast, register
from perfmodel.vocabulary import families as f


def flops_of(gemm: Gemm) -> int:
    """2 for each multiply-accumulate of the loops."""
    batch, m, n, k = gemm
    return 2 * batch * m * n * k


def reals(call: Call) -> int:
    """Real products in one of this call: a complex product is four of them."""
    return 4 if call.complex else 1


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
        # PyTorch makes a complex convolution of three real ones.
        flops=(3 if call.complex else 1) * flops_of(gemm),
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
    return Cost(f.LINEAR, flops=reals(call) * flops_of(gemm), vector_ops=bias, gemm=gemm)


def _product(left: str, right: str, *names: str, added: str | None = None) -> None:
    """Register ``names``: the product of two arguments, and a third one added to it.

    Where one of the two is a weight, the product is a linear layer by another name.
    """

    @register(*names)
    def product(call: Call) -> Cost:
        gemm = matmul_loops(call.shape(left), call.shape(right))
        sums = call.result_numel if added is not None else 0
        flops = reals(call) * flops_of(gemm)
        return Cost(family_of(call, left, right), flops, vector_ops=sums, gemm=gemm)


def family_of(call: Call, *operands: str) -> str:
    """A linear layer where one of the operands is a weight."""
    return f.MATMUL if call.weights.isdisjoint(operands) else f.LINEAR


_product("self", "other", "aten.matmul", "aten.linalg_matmul")
_product("self", "mat2", "aten.mm", "aten.bmm", "aten._int_mm")
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


@register("aten.addbmm")
def addbmm(call: Call) -> Cost:
    """The sum of the products of a batch: one product over batch and depth."""
    batch, m, k = call.shape("batch1")
    gemm = (1, m, call.shape("batch2")[2], batch * k)
    return Cost(
        family_of(call, "batch1", "batch2"),
        flops=reals(call) * flops_of(gemm),
        vector_ops=call.result_numel,
        gemm=gemm,
    )


@register("aten.conv_tbc")
def conv_tbc(call: Call) -> Cost:
    """A convolution over time, of arrays (time, batch, channels)."""
    taps, in_channels, out_channels = call.shape("weight")
    gemm = (1, call.result_numel // out_channels, out_channels, taps * in_channels)
    return _convolution(call, gemm, f.CONV)


@register("aten._addmm_activation")
def addmm_activation(call: Call) -> Cost:
    """A product, a bias, and a ReLU (1) or GELU (9, by tanh)."""
    gemm = matmul_loops(call.shape("mat1"), call.shape("mat2"))
    ops = 1 + (9 if call.get("use_gelu", False) else 1)
    return Cost(f.LINEAR, flops_of(gemm), vector_ops=ops * call.result_numel, gemm=gemm)


@register("aten.affine_grid_generator")
def affine_grid(call: Call) -> Cost:
    """Every position of the grid, with a one, times the matrix of its image."""
    batch, dims, depth = call.shape("theta")
    gemm = (batch, call.result_numel // (batch * dims), dims, depth)
    return Cost(f.MATMUL, flops_of(gemm), gemm=gemm)


@register("aten.bilinear")
def bilinear(call: Call) -> Cost:
    """The first input times all matrices of the weight, and each result times the second."""
    rows = call.result_numel // call.results[0][-1]
    out, first, second = call.shape("weight")
    bias = call.result_numel if call.has("bias") else 0
    return Cost(
        f.LINEAR,
        flops=2 * rows * out * second * (first + 1),
        vector_ops=bias,
        gemm=(1, rows, out * second, first),
    )


@register("aten._trilinear")
def trilinear(call: Call) -> Cost:
    """As :func:`bilinear`, its operands laid out along the same dimensions."""
    sizes: dict[int, int] = {}
    runs: list[set[int]] = []
    for operand in "123":
        shape, missing = call.shape(f"i{operand}"), call.arguments[f"expand{operand}"]
        dims = [dim for dim in range(len(shape) + len(missing)) if dim not in missing]
        sizes |= dict(zip(dims, shape, strict=True))
        runs.append(set(dims))
    summed = set(call.arguments["sumdim"])
    first = runs[0] | runs[1]
    second = (first - (summed - runs[2])) | runs[2]
    flops = 2 * (prod(sizes[d] for d in first) + prod(sizes[d] for d in second))
    depth = prod(sizes[d] for d in summed - runs[2])
    kept = prod(sizes[d] for d in first) // depth
    return Cost(f.LINEAR, flops=flops, gemm=(1, kept, 1, depth))


@register("aten.tensordot")
def tensordot(call: Call) -> Cost:
    """One product over all contracted dimensions."""
    left, right = call.shape("self"), call.shape("other")
    k = prod(left[dim] for dim in call.arguments["dims_self"])
    other = prod(right[dim] for dim in call.arguments["dims_other"])
    gemm = (1, prod(left) // k, prod(right) // other, k)
    return Cost(family_of(call, "self", "other"), flops=reals(call) * flops_of(gemm), gemm=gemm)


@register("aten.einsum")
def einsum(call: Call) -> Cost:
    """Products of two operands at a time, from the left or along the path that is given.

    A letter that only one of a pair has, and nothing else needs, is summed out before. A pair
    without a contracted letter is an elementwise product, which has no multiply-accumulates. With
    more than two operands the loops are those of the largest product, and the bytes of intermediate
    results are not charged.
    """
    shapes = [tuple(tensor.shape) for tensor in call.arguments["tensors"]]
    operands, output = _spell_out(call.arguments["equation"], shapes)
    sizes: dict[str, int] = {}
    pending: list[frozenset[str]] = []
    for operand in operands:
        # A dimension of size 1 is broadcast: the operand does not run over that letter.
        runs = {letter: size for letter, size in operand.items() if size != 1}
        sizes |= runs
        pending.append(frozenset(runs))
    # The path lists the positions of each pair, whose product then stands at the end.
    path = list(call.get("path", ()))
    from_left = not path
    largest: Gemm | None = None
    flops = vector_ops = 0
    while len(pending) > 1:
        first, second = (0, 1) if from_left else sorted(path[:2])
        del path[:2]
        right, left = pending.pop(second), pending.pop(first)
        needed = frozenset(output).union(*pending)
        vector_ops += sum(
            _size(term, sizes) for term in (left, right) if term - needed - (left & right)
        )
        gemm = _pair_loops(left, right, needed, sizes)
        if gemm is None:
            vector_ops += _size((left | right) & needed, sizes)
        else:
            flops += flops_of(gemm)
            largest = gemm if largest is None or flops_of(gemm) > flops_of(largest) else largest
        pending.insert(0 if from_left else len(pending), (left | right) & needed)
    (last,) = pending
    if last - frozenset(output):
        vector_ops += _size(last, sizes)  # a single operand, summed
    family = f.ELEMENTWISE if largest is None else family_of(call, "tensors")
    return Cost(family, flops=reals(call) * flops, vector_ops=vector_ops, gemm=largest)


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


def _spell_out(equation: str, shapes: list[Shape]) -> tuple[list[dict[str, int]], str]:
    """Size by letter of each operand, and letters of the result, an ellipsis replaced by digits."""
    inputs, arrow, output = equation.replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not arrow:
        letters = inputs.replace(",", "").replace(".", "")
        once = "".join(sorted(letter for letter in set(letters) if letters.count(letter) == 1))
        output = ("..." if "..." in inputs else "") + once
    # Broadcast dimensions are aligned at the right, so they are numbered from there.
    operands = []
    widest = ""
    for term, shape in zip(terms, shapes, strict=True):
        count = len(shape) - len(term.replace("...", ""))
        digits = "".join(chr(ord("0") + i) for i in reversed(range(count)))
        operands.append(dict(zip(term.replace("...", digits), shape, strict=True)))
        widest = max(widest, digits, key=len)
    return operands, output.replace("...", widest)
