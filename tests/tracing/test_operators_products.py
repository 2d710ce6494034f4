"""Convolutions, linear layers, matrix products and attention against closed forms."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from perfmodel.tracing.operators.recurrent import STEPS_AS_ONE
from perfmodel.tracing.tracing import trace
from tests.networks import Function, accesses, touched, trace_function


@pytest.mark.parametrize(
    ("layer", "shape", "gemm", "family"),
    [
        # 3x3, padded, stride 2: 4x4 output pixels
        (nn.Conv2d(8, 16, 3, 2, 1), (2, 8, 8, 8), (1, 2 * 16, 16, 8 * 9), "conv"),
        (nn.Conv2d(8, 16, 3, groups=4), (1, 8, 6, 6), (4, 16, 4, 2 * 9), "conv"),
        (nn.Conv2d(8, 8, 3, groups=8), (1, 8, 6, 6), (8, 16, 1, 9), "depthwise_conv"),
        (nn.Conv2d(8, 24, 3, groups=8), (1, 8, 6, 6), (8, 16, 3, 9), "depthwise_conv"),
        # a kernel of 3 at dilation 2 spans 5
        (nn.Conv2d(4, 6, 3, dilation=2), (1, 4, 9, 9), (1, 25, 6, 36), "conv"),
        (nn.Conv1d(4, 6, 5, padding="same"), (3, 4, 10), (1, 30, 6, 20), "conv"),
        (nn.Conv1d(4, 6, 5), (4, 10), (1, 6, 6, 20), "conv"),  # without a batch dimension
        (nn.Conv3d(3, 4, (1, 3, 3)), (1, 3, 2, 5, 5), (1, 18, 4, 27), "conv"),
        # one pixel to one pixel: a plain product of pixels and weights
        (nn.Conv2d(8, 16, 1), (2, 8, 6, 6), (1, 2 * 36, 16, 8), "pointwise_conv"),
        (nn.Conv1d(8, 16, 1), (2, 8, 6), (1, 2 * 6, 16, 8), "pointwise_conv"),
        (nn.Conv2d(8, 16, 1, 2), (1, 8, 6, 6), (1, 9, 16, 8), "conv"),
        (nn.Conv2d(8, 16, 1, padding=1), (1, 8, 6, 6), (1, 64, 16, 8), "conv"),
        (nn.Conv2d(8, 16, 1, groups=2), (1, 8, 6, 6), (2, 36, 8, 4), "conv"),
        # as many elements go in as products have rows and depth, yet it is none: patches
        (nn.Conv2d(3, 16, 2, 2), (1, 3, 8, 8), (1, 16, 16, 12), "conv"),
        # one input channel is no depthwise convolution
        (nn.Conv2d(1, 4, 3), (1, 1, 5, 5), (1, 9, 4, 9), "conv"),
        (nn.ConvTranspose2d(8, 4, 2, 2), (1, 8, 5, 5), (1, 25, 4 * 4, 8), "conv"),
        (nn.ConvTranspose2d(8, 4, 3, groups=2), (1, 8, 5, 5), (2, 25, 2 * 9, 4), "conv"),
        (nn.ConvTranspose1d(6, 6, 4, groups=6), (2, 6, 5), (6, 10, 4, 1), "depthwise_conv"),
    ],
)
def test_convolution(layer: nn.Module, shape: Any, gemm: Any, family: str) -> None:
    workload = trace(layer, torch.empty(shape))
    batch, m, n, k = gemm
    assert workload.kernels.gemm.tolist() == [list(gemm)]
    assert workload.flops == 2 * batch * m * n * k
    assert workload.family_names() == (family,)
    outputs = touched(workload)["output"]
    assert workload.vector_ops == outputs  # the bias
    assert touched(workload) == {
        "weight": sum(p.numel() for p in layer.parameters()),
        "input": torch.Size(shape).numel(),
        "output": layer(torch.empty(shape)).numel(),
    }


@pytest.mark.parametrize("lead", [(), (7,), (2, 5), (2, 3, 5)])
def test_linear_takes_all_leading_dimensions_as_rows(lead: tuple[int, ...]) -> None:
    workload = trace(nn.Linear(16, 24, bias=False), torch.empty(*lead, 16))
    rows = torch.Size(lead).numel()
    assert workload.kernels.gemm.tolist() == [[1, rows, 24, 16]]
    assert workload.flops == 2 * rows * 24 * 16
    assert touched(workload) == {"weight": 24 * 16, "input": rows * 16, "output": rows * 24}


@pytest.mark.parametrize(
    ("operation", "shapes", "gemm", "vector_ops"),
    [
        (torch.mm, [(3, 4), (4, 5)], (1, 3, 5, 4), 0),
        (torch.bmm, [(2, 3, 4), (2, 4, 5)], (2, 3, 5, 4), 0),
        (torch.mv, [(3, 4), (4,)], (1, 3, 1, 4), 0),
        (torch.dot, [(4,), (4,)], (1, 1, 1, 4), 0),
        (torch.addmm, [(5,), (3, 4), (4, 5)], (1, 3, 5, 4), 15),
        (torch.baddbmm, [(2, 3, 5), (2, 3, 4), (2, 4, 5)], (2, 3, 5, 4), 30),
        (lambda a, b: torch.tensordot(a, b, 2), [(2, 3, 4), (3, 4, 5)], (1, 2, 5, 12), 0),
        (torch.matmul, [(2, 6, 3, 4), (4, 5)], (1, 36, 5, 4), 0),  # folded into one product
        (torch.matmul, [(2, 1, 3, 4), (6, 4, 5)], (12, 3, 5, 4), 0),  # broadcast batches
        (lambda a, b: torch.einsum("bhid,bhjd->bhij", a, b), [(2, 3, 4, 5)] * 2, (6, 4, 4, 5), 0),
    ],
)
def test_products(operation: Any, shapes: Any, gemm: Any, vector_ops: int) -> None:
    workload = trace_function(operation, *(torch.empty(shape) for shape in shapes))
    assert workload.kernels.gemm.tolist() == [list(gemm)]
    assert workload.family_names() == ("matmul",)
    assert workload.vector_ops == vector_ops


@pytest.mark.parametrize(
    "operation",
    [
        lambda x, w: x @ w,
        lambda x, w: x @ w.mT,
        lambda x, w: torch.addmm(x[0], x, w),
        lambda x, w: torch.einsum("ij,jk->ik", x, w),
        lambda x, w: torch.tensordot(x, w, 1),
    ],
)
def test_a_product_with_a_weight_is_a_linear_layer(operation: Any) -> None:
    module = Function(lambda x: operation(x, module.w), w=nn.Parameter(torch.empty(4, 4)))
    of_weight = trace(module, torch.empty(3, 4))
    of_inputs = trace_function(operation, torch.empty(3, 4), torch.empty(4, 4))
    assert (of_weight.family_names(), of_inputs.family_names()) == (("linear",), ("matmul",))
    assert of_weight.flops == of_inputs.flops == 2 * 3 * 4 * 4


def test_an_outer_product_has_no_multiply_accumulates() -> None:
    workload = trace_function(
        lambda a, b: torch.einsum("i,j->ij", a, b), torch.empty(3), torch.empty(4)
    )
    assert (workload.flops, workload.vector_ops) == (0, 12)
    assert workload.family_names() == ("elementwise",)


def test_attention_with_a_mask() -> None:
    q, k, v = torch.empty(2, 4, 7, 16), torch.empty(2, 4, 9, 16), torch.empty(2, 4, 9, 8)
    mask = torch.empty(7, 9, dtype=torch.bool)
    workload = trace_function(
        lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, attn_mask=m), q, k, v, mask
    )
    scores = 2 * 4 * 7 * 9
    assert workload.kernels.gemm.tolist() == [[8, 7, 9, 16]]
    assert workload.flops == 2 * scores * (16 + 8)
    assert workload.vector_ops == 7 * scores  # scale, mask and softmax
    assert touched(workload)["input"] == q.numel() + k.numel() + v.numel() + mask.numel()
    assert touched(workload)["output"] == 2 * 4 * 7 * 8
    assert workload.fixed_bytes(1).tolist() == [mask.numel()]


def test_grouped_query_attention_reads_keys_and_values_once() -> None:
    q, kv = torch.empty(1, 8, 5, 16), torch.empty(1, 2, 6, 16)
    workload = trace_function(
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True), q, kv, kv.clone()
    )
    assert workload.flops == 2 * 8 * 5 * 6 * (16 + 16)
    assert touched(workload)["input"] == q.numel() + 2 * kv.numel()


@pytest.mark.parametrize("need_weights", [True, False])
def test_multihead_attention(need_weights: bool) -> None:
    batch, tokens, width, heads = 2, 5, 16, 4
    attention = nn.MultiheadAttention(width, heads, batch_first=True)
    workload = trace(
        Function(lambda x: attention(x, x, x, need_weights=need_weights)[0], attention=attention),
        torch.empty(batch, tokens, width),
    )
    projections = 2 * batch * tokens * width * 4 * width
    scores = 2 * 2 * batch * heads * tokens * tokens * (width // heads)
    assert workload.flops == projections + scores
    assert ("attention" in workload.family_names()) == (not need_weights)
    assert workload.weight_bytes("fp32") == 4 * workload.parameters


@pytest.mark.parametrize(
    ("layer", "gates", "directions"),
    [
        (nn.LSTM(6, 8, 2, batch_first=True), 4, 1),
        (nn.LSTM(6, 8, 2, batch_first=True, bidirectional=True), 4, 2),
        (nn.GRU(6, 8, 2, batch_first=True), 3, 1),
        (nn.RNN(6, 8, 2, batch_first=True, nonlinearity="relu"), 1, 1),
    ],
)
def test_recurrent_layers(layer: nn.Module, gates: int, directions: int) -> None:
    batch, steps, size, hidden = 3, 5, 6, 8
    workload = trace(layer, torch.empty(batch, steps, size))
    first, second = size + hidden, directions * hidden + hidden
    weights = directions * gates * hidden * (first + second)
    assert workload.flops == 2 * batch * steps * weights
    # A step waits for the one before it, a layer for the one below: k is their mean.
    assert workload.kernels.gemm[-1].tolist() == [
        steps * 2 * directions, batch, gates * hidden, (first + second) // 2
    ]  # fmt: skip
    assert STEPS_AS_ONE in workload.provenance["assumptions"]
    assert touched(workload)["weight"] == workload.parameters


def test_one_step_of_a_recurrent_layer() -> None:
    workload = trace(nn.LSTMCell(6, 8), torch.empty(3, 6))
    assert workload.flops == 2 * 3 * 4 * 8 * (6 + 8)


def test_a_weight_read_by_two_layers_is_one_tensor() -> None:
    first, second = nn.Linear(8, 8, bias=False), nn.Linear(8, 8, bias=False)
    second.weight = first.weight
    workload = trace(nn.Sequential(first, second), torch.empty(2, 8))
    assert workload.parameters == 64
    assert [accesses(workload, i).get(("weight", "0.weight")) for i in (0, 1)] == [64, 64]
    assert workload.weight_bytes("fp32") == 4 * 64
