from __future__ import annotations

import pytest

from perfmodel.vocabulary import families as f
from perfmodel.workload.fusion import fuse
from perfmodel.workload.workload import INPUT, OUTPUT, WEIGHT, Workload
from tests.builder import Builder


def conv(b: Builder, x: int, pixels: int = 64, channels: int = 16) -> int:
    return b.kernel(
        "conv2d", f.CONV, [x], weights=(b.weight(channels * 9),), gemm=(1, pixels, channels, 9)
    )


def batch_norm(b: Builder, x: int) -> int:
    elements = b.tensors[x][2]
    return b.kernel(
        "batch_norm", f.NORM, [x], weights=(b.weight(64),), elements=elements, vector_ops=elements
    )


def pointwise(b: Builder, operator: str, family: str, *reads: int, into: int | None = None) -> int:
    elements = b.tensors[reads[0]][2]
    return b.kernel(
        operator, family, list(reads), elements=elements, vector_ops=elements, into=into
    )


def operators(workload: Workload) -> list[str]:
    return list(workload.kernels.operator)


def test_residual_block_is_two_kernels_and_keeps_only_outer_traffic() -> None:
    b = Builder()
    x = b.input(64 * 16)
    y = pointwise(b, "relu", f.ACTIVATION, batch_norm(b, conv(b, x)))
    z = pointwise(b, "add", f.ELEMENTWISE, batch_norm(b, conv(b, y)), x)
    pointwise(b, "relu", f.ACTIVATION, z)
    original = b.workload()
    fused = fuse(original)
    assert operators(fused) == ["conv2d+batch_norm+relu", "conv2d+batch_norm+add+relu"]
    assert fused.flops == original.flops
    # The first reads x, the second y and the residual x; each writes once.
    assert fused.elements(INPUT).tolist() == [1024, 2048]
    assert fused.elements(OUTPUT).tolist() == [1024, 1024]
    assert fused.elements(WEIGHT).tolist() == [16 * 9 + 64, 16 * 9 + 64]
    # The batch norms are folded into the weights; activation and sum are computed.
    assert fused.kernels.vector_ops.tolist() == [1024, 2048]


def test_in_place_operators_fuse_like_their_pure_forms() -> None:
    b = Builder()
    x, residual = b.input(1024), b.input(1024)
    y = batch_norm(b, conv(b, x))
    pointwise(b, "add_", f.ELEMENTWISE, y, residual, into=y)
    pointwise(b, "relu_", f.ACTIVATION, y, into=y)
    conv(b, y)
    fused = fuse(b.workload())
    assert operators(fused) == ["conv2d+batch_norm+add_+relu_", "conv2d"]
    assert fused.elements(INPUT).tolist() == [2048, 1024]
    assert fused.elements(OUTPUT).tolist() == [1024, 1024]
    assert fused.dependencies == ((), (0,))


def test_a_value_with_two_readers_is_written() -> None:
    b = Builder()
    y = conv(b, b.input(1024))
    pointwise(b, "relu", f.ACTIVATION, y)
    pointwise(b, "sigmoid", f.ACTIVATION, y)
    assert operators(fuse(b.workload())) == ["conv2d", "relu", "sigmoid"]


def test_a_sum_of_two_branches_joins_the_one_finished_last() -> None:
    b = Builder()
    x = b.input(1024)
    early, late = conv(b, x), conv(b, x)
    pointwise(b, "add", f.ELEMENTWISE, early, late)
    fused = fuse(b.workload())
    assert operators(fused) == ["conv2d", "conv2d+add"]
    assert fused.dependencies == ((), (0,))


@pytest.mark.parametrize(
    ("head", "follower", "together"),
    [
        ("linear", ("gelu", f.ACTIVATION), True),
        ("linear", ("batch_norm", f.NORM), False),
        ("linear", ("layer_norm", f.NORM), False),
        ("linear", ("softmax", f.SOFTMAX), False),
        ("add", ("mul", f.ELEMENTWISE), True),
        ("max_pool2d", ("relu", f.ACTIVATION), False),
    ],
)
def test_which_followers_a_head_takes(head: str, follower: tuple[str, str], together: bool) -> None:
    b = Builder()
    x = b.input(1024)
    if head == "linear":
        y = b.linear(x, 8, 128, 128)
    else:
        y = pointwise(b, head, f.POOLING if "pool" in head else f.ELEMENTWISE, x)
    pointwise(b, *follower, y)
    assert len(fuse(b.workload())) == (1 if together else 2)


def test_a_broadcasting_follower_is_a_kernel_of_its_own() -> None:
    b = Builder()
    y = b.linear(b.input(128), 1, 128, 128)
    b.kernel("add", f.ELEMENTWISE, [y, b.input(128 * 50)], elements=128 * 50)
    assert operators(fuse(b.workload())) == ["linear", "add"]


def test_an_operand_that_two_members_read_is_read_once() -> None:
    b = Builder()
    x = b.input(1024)
    y = pointwise(b, "sigmoid", f.ACTIVATION, x)
    pointwise(b, "mul", f.ELEMENTWISE, y, x)
    fused = fuse(b.workload())
    assert operators(fused) == ["sigmoid+mul"]
    assert fused.elements(INPUT).tolist() == [1024]
