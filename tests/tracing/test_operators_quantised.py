"""Quantised arithmetic: FLOPs like any product, bytes as stored, conversions counted."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.ao.quantization.fx import _decomposed  # registers quantized_decomposed's operators

from perfmodel.errors import TraceError
from perfmodel.tracing import operators
from perfmodel.tracing.operators import Call, Cost
from perfmodel.tracing.tracing import trace
from tests.networks import trace_function

assert _decomposed is not None
Q = torch.ops.quantized_decomposed


class Int8Linear(nn.Module):
    """As PT2E writes a linear layer: input to INT8 and back, INT8 weight to FP32, the layer."""

    def __init__(self, fan_in: int, fan_out: int) -> None:
        super().__init__()
        self.register_buffer("w", torch.zeros(fan_out, fan_in, dtype=torch.int8))
        self.register_buffer("scales", torch.ones(fan_out))
        self.register_buffer("zeros", torch.zeros(fan_out, dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q = Q.quantize_per_tensor(x, 0.1, 0, -128, 127, torch.int8)
        x = Q.dequantize_per_tensor(q, 0.1, 0, -128, 127, torch.int8)
        w = Q.dequantize_per_channel(self.w, self.scales, self.zeros, 0, -128, 127, torch.int8)
        return nn.functional.linear(x, w)


def test_a_program_of_pt2e() -> None:
    workload = trace(Int8Linear(64, 32), torch.zeros(4, 64))
    assert workload.flops == 2 * 4 * 64 * 32
    assert workload.unmodelled == ()
    # One byte for each weight, its scales in FP32 and its zero points in INT64.
    assert workload.weight_bytes("fp32") == 64 * 32 + 4 * 32 + 8 * 32
    # 5 to quantise an input, 2 to widen it, 2 to widen a weight.
    assert workload.vector_ops == 7 * 4 * 64 + 2 * 64 * 32


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_eight_bit_numbers_are_one_byte_in_any_precision(precision: str) -> None:
    class Widened(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("w", torch.zeros(64, 32).to(torch.float8_e4m3fn))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x @ self.w.to(x.dtype)

    assert trace(Widened(), torch.zeros(4, 64)).weight_bytes(precision) == 64 * 32


def cost(name: str, result: tuple[int, ...], **arguments: Any) -> Cost:
    formula = operators.find(name)
    assert formula is not None
    return formula(Call(arguments, (result,)))


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


@pytest.mark.parametrize(
    "name",
    ["aten._weight_int8pack_mm", "aten._weight_int4pack_mm", "aten._weight_int4pack_mm_for_cpu"],
)
def test_products_with_packed_weights(name: str) -> None:
    found = cost(name, (4, 32), self=meta(4, 64), mat2=meta(32, 64, dtype=torch.int8))
    assert found.flops == 2 * 4 * 64 * 32
    assert found.gemm == (1, 4, 32, 64)
    assert found.vector_ops == 4 * 32  # scales


def test_fake_quantisation_goes_both_ways() -> None:
    workload = trace_function(
        lambda x, s, z: torch.fake_quantize_per_channel_affine(x, s, z, 0, -128, 127),
        torch.zeros(4, 8),
        torch.ones(4),
        torch.zeros(4, dtype=torch.int32),
    )
    assert workload.vector_ops == 7 * 32


@pytest.mark.filterwarnings("ignore")
def test_modules_with_packed_weights_say_what_to_do() -> None:
    module = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
    packed = torch.ao.quantization.quantize_dynamic(module, {nn.Linear})
    with pytest.raises(TraceError, match=r"0 is a quantised module.* choose --precision int8"):
        trace(packed, torch.zeros(2, 8))
    assert trace(module, torch.zeros(2, 8)).flops == 2 * 2 * 64


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_can_be_quantised_is_a_float_model() -> None:
    class Joined(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.join = torch.ao.nn.quantized.FloatFunctional()

        def forward(self, x: torch.Tensor) -> Any:
            return self.join.add_relu(x, x)

    assert trace(Joined(), torch.zeros(2, 8)).kernels.operator == ("aten.add", "aten.relu")
