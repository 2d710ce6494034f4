"""Quantised arithmetic: integer and 8-bit products, products with narrow weights, conversions.

Tensors have the types they are stored in, so their bytes are exact: an INT8 weight is one byte an
element in any precision.
"""

from __future__ import annotations

from math import prod

from perfmodel.tracing.formula import Call, Cost, Formula, register
from perfmodel.tracing.operators.products import flops_of
from perfmodel.tracing.operators.table import add
from perfmodel.vocabulary import families as f


def _elementwise(ops: int, *names: str) -> None:
    def formula(call: Call) -> Cost:
        return Cost(f.ELEMENTWISE, vector_ops=ops * call.numel(call.tensors()[0]))

    register(*names)(formula)


def _both() -> Formula:
    """To integers and back: scale, round, shift, two limits, shift back, scale back."""

    def formula(call: Call) -> Cost:
        return Cost(f.ELEMENTWISE, vector_ops=7 * call.numel(call.tensors()[0]))

    return formula


add(
    _both(),
    "fake_quantize_per_tensor_affine fake_quantize_per_channel_affine "
    "fake_quantize_per_tensor_affine_cachemask fake_quantize_per_channel_affine_cachemask "
    "_fake_quantize_per_tensor_affine_cachemask_tensor_qparams "
    "_fake_quantize_learnable_per_tensor_affine _fake_quantize_learnable_per_channel_affine",
)

_KINDS = ("per_tensor", "per_channel", "per_token", "per_channel_group")
# Scale, round, shift, two limits; shift back and scale back; minimum, maximum and what follows.
_elementwise(5, *(f"quantized_decomposed.quantize_{kind}" for kind in _KINDS))
_elementwise(2, *(f"quantized_decomposed.dequantize_{kind}" for kind in _KINDS))
_elementwise(
    2,
    "quantized_decomposed.choose_qparams",
    "quantized_decomposed.choose_qparams_symmetric",
    "quantized_decomposed.choose_qparams_per_token",
    "quantized_decomposed.choose_qparams_per_token_asymmetric",
    "quantized_decomposed._choose_qparams_per_token_asymmetric_impl",
)
_elementwise(7, "quantized_decomposed.fake_quant_per_channel", "torchao.fake_quantize_affine")
_elementwise(5, "torchao.quantize_affine")
_elementwise(2, "torchao.dequantize_affine", "torchao.choose_qparams_affine")


def _packed(*names: str) -> None:
    """Register ``names``: a product with a packed weight, by its input and its result."""

    @register(*names)
    def product(call: Call) -> Cost:
        """Widening a weight costs no time of its own; scales and zero points are one operation."""
        *lead, k = call.shape("self" if call.has("self") else "inp")
        n = call.results[0][-1]
        gemm = (1, prod(lead), n, k)
        return Cost(f.LINEAR, flops_of(gemm), vector_ops=call.result_numel, gemm=gemm)


_packed(
    "aten._weight_int8pack_mm",
    "aten._weight_int4pack_mm",
    "aten._weight_int4pack_mm_for_cpu",
    "aten._weight_int4pack_mm_with_scales_and_zeros",
    "aten._dyn_quant_matmul_4bit",
)


@register("aten._scaled_mm", "aten._scaled_mm_v2")
def scaled_mm(call: Call) -> Cost:
    """A product of 8-bit numbers; each result is scaled by both, and a bias is added."""
    rows, k = call.shape("self")
    n = call.shape("mat2")[1]
    gemm = (1, rows, n, k)
    family = f.MATMUL if call.weights.isdisjoint(("self", "mat2")) else f.LINEAR
    extra = 3 if call.has("bias") else 2
    return Cost(family, flops_of(gemm), vector_ops=extra * call.result_numel, gemm=gemm)


@register("quantized_decomposed.weight_int8pack_mm", "quantized_decomposed.mixed_mm")
def weight_only(call: Call) -> Cost:
    """A product with an INT8 weight that is scaled afterwards."""
    rows, k = call.shape(call.tensors()[0])
    n = call.results[0][-1]
    gemm = (1, rows, n, k)
    return Cost(f.LINEAR, flops_of(gemm), vector_ops=call.result_numel, gemm=gemm)
