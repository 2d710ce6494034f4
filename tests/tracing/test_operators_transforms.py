"""Fourier transforms, linear algebra and complex numbers against closed forms.

The counts stand beside each case: n points or rows, m rows where a matrix is not square.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log2
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

import perfmodel
from perfmodel.tracing.operators.spectral import transform
from perfmodel.vocabulary import families
from tests.networks import trace_function

X = torch.empty(4, 12, 16)
IMAGE = torch.empty(8, 14, 14)
COMPLEX = torch.empty(4, 12, 16, dtype=torch.complex64)
SQUARE = torch.empty(3, 8, 8)
TALL = torch.empty(3, 10, 6)
FRAMES = 16000 // 160 + 1


@pytest.mark.parametrize(
    ("operation", "value", "flops"),
    [
        # 5 N log2 N of complex values, half of it where one side is real.
        (torch.fft.fft, COMPLEX, 5 * 768 * log2(16)),
        (lambda x: torch.fft.ifft(x, dim=1), COMPLEX, 5 * 768 * log2(12)),
        (torch.fft.fft2, COMPLEX, 5 * 768 * log2(12 * 16)),
        (torch.fft.fftn, COMPLEX, 5 * 768 * log2(768)),
        (torch.fft.rfft, X, 2.5 * 768 * log2(16)),
        (torch.fft.rfft2, IMAGE, 2.5 * 1568 * log2(196)),
        (lambda x: torch.fft.irfft(x, n=30), COMPLEX, 2.5 * 4 * 12 * 30 * log2(30)),
        (lambda x: torch.fft.irfft2(x, s=(12, 30)), COMPLEX, 2.5 * 4 * 360 * log2(360)),
        (lambda x: torch.fft.hfft(x, n=30), COMPLEX, 2.5 * 48 * 30 * log2(30)),
        (lambda x: torch.fft.ihfft(x), X, 2.5 * 768 * log2(16)),
        # FNet mixes tokens by the real part of a transform over two dimensions.
        (lambda x: torch.fft.fft(torch.fft.fft(x, dim=-1), dim=-2).real, X,
         2.5 * 768 * log2(16) + 5 * 768 * log2(12)),
        (lambda x: torch.stft(x, 400, 160, window=torch.ones(400), return_complex=True),
         torch.empty(1, 16000), 2.5 * FRAMES * 400 * log2(400)),
    ],
)  # fmt: skip
def test_transforms(operation: Callable[..., Any], value: torch.Tensor, flops: float) -> None:
    workload = trace_function(operation, value)
    assert workload.flops == pytest.approx(flops, abs=2)
    assert workload.unmodelled == ()
    assert "assumptions" not in workload.provenance


def test_a_spectrogram_and_its_inverse() -> None:
    window = torch.ones(400)

    def both(x: torch.Tensor) -> torch.Tensor:
        spectrum = torch.stft(x, 400, 160, window=window, return_complex=True)
        return torch.istft(spectrum, 400, 160, window=window)

    assert trace_function(both, torch.empty(1, 16000)).flops == pytest.approx(
        2 * 2.5 * FRAMES * 400 * log2(400), abs=2
    )


@given(st.integers(1, 6), st.integers(1, 300), st.integers(1, 300))
def test_a_transform_over_two_dimensions_is_one_over_each(batch: int, m: int, n: int) -> None:
    both = transform((batch, m, n), (1, 2), real=False)
    each = [transform((batch, m, n), (dim,), real=False) for dim in (1, 2)]
    assert both == pytest.approx(sum(each), abs=2)
    assert transform((batch, m, n), (1, 2), real=True) == pytest.approx(both / 2, abs=1)


@pytest.mark.parametrize(
    ("operation", "matrix", "flops"),
    [
        (torch.linalg.cholesky, SQUARE, 3 * (512 // 3)),  # n^3 / 3
        (torch.linalg.ldl_factor, SQUARE, 3 * (512 // 3)),
        (torch.linalg.inv, SQUARE, 3 * 2 * 512),
        (torch.inverse, SQUARE, 3 * 2 * 512),
        (torch.linalg.det, SQUARE, 3 * (2 * 512 // 3)),
        (torch.linalg.slogdet, SQUARE, 3 * (2 * 512 // 3)),
        (torch.linalg.eigh, SQUARE, 3 * 9 * 512),
        (torch.linalg.eigvalsh, SQUARE, 3 * (4 * 512 // 3)),
        (torch.linalg.eig, SQUARE, 3 * 25 * 512),
        (torch.linalg.eigvals, SQUARE, 3 * 10 * 512),
        (torch.linalg.matrix_exp, SQUARE, 3 * 5 * 2 * 512),
        (torch.linalg.lu_factor, SQUARE, 3 * (512 - 512 // 3)),  # 2/3 n^3
        (torch.linalg.lu, TALL, 3 * (10 * 36 - 216 // 3)),
        # LU and 2 n^2 for each right-hand side.
        (lambda a: torch.linalg.solve(a, a), SQUARE, 3 * (512 - 512 // 3 + 2 * 64 * 8)),
        (lambda a: torch.linalg.solve(a, a[..., 0]), SQUARE, 3 * (512 - 512 // 3 + 2 * 64)),
        (lambda a: torch.linalg.solve_triangular(a, a[..., :5], upper=True), SQUARE, 3 * 64 * 5),
        (lambda a: torch.cholesky_solve(a[..., :5], a), SQUARE, 3 * 2 * 64 * 5),
        (torch.cholesky_inverse, SQUARE, 3 * (2 * 512 // 3)),
        # 2 m n^2 - 2/3 n^3, as much again for a thin Q.
        (torch.linalg.qr, TALL, 3 * 2 * (2 * 10 * 36 - 2 * 216 // 3)),
        (lambda a: torch.linalg.qr(a, mode="r"), TALL, 3 * (2 * 10 * 36 - 2 * 216 // 3)),
        # Golub and Van Loan, table 8.6.1.
        (torch.linalg.svdvals, TALL, 3 * (4 * 10 * 36 - 4 * 216 // 3)),
        (lambda a: torch.linalg.svd(a, full_matrices=False), TALL, 3 * (14 * 360 + 8 * 216)),
        (torch.linalg.svd, TALL, 3 * (4 * 600 + 8 * 360 + 9 * 216)),
        (torch.linalg.matrix_rank, TALL, 3 * (4 * 10 * 36 - 4 * 216 // 3)),
        (torch.linalg.pinv, TALL, 3 * (14 * 360 + 8 * 216 + 2 * 6 * 6 * 10)),
        (lambda a: torch.linalg.matrix_power(a, 3), SQUARE, 3 * 2 * 2 * 512),
        (lambda a: torch.linalg.multi_dot([a[0], a[1], a[2, :, 0]]), SQUARE, 2 * 2 * 64),
    ],
)  # fmt: skip
def test_linear_algebra(operation: Callable[..., Any], matrix: torch.Tensor, flops: int) -> None:
    workload = trace_function(operation, matrix)
    assert workload.flops == flops
    assert workload.unmodelled == ()


def test_flops_without_loops_run_on_the_vector_units() -> None:
    workload = trace_function(torch.linalg.inv, torch.empty(64, 256, 256))
    assert workload.flops == 64 * 2 * 256**3
    assert not workload.kernels.gemm.any()
    estimate = perfmodel.estimate(workload, "epyc_9654", precision="bf16")
    machine = perfmodel.load_machine("epyc_9654")
    # 16 FP32 lanes with two FMA are the most that a Zen 4 core does, in any precision asked for.
    most = int(machine.cores.count.typical) * 2 * 2 * 16 * 4e9
    assert workload.flops / most < estimate.latency_ms / 1000 < 1


PRODUCTS: list[tuple[Callable[..., Any], list[tuple[int, ...]]]] = [
    (torch.mm, [(3, 4), (4, 5)]),
    (torch.bmm, [(2, 3, 4), (2, 4, 5)]),
    (torch.addmm, [(5,), (3, 4), (4, 5)]),
    (torch.matmul, [(2, 6, 3, 4), (4, 5)]),
    (torch.nn.functional.linear, [(7, 4), (5, 4)]),
    (lambda a, b: torch.einsum("bij,bjk->bik", a, b), [(2, 3, 4), (2, 4, 5)]),
    (lambda a, b: torch.tensordot(a, b, 2), [(2, 3, 4), (3, 4, 5)]),
    (torch.inner, [(3, 4), (5, 4)]),
]


@pytest.mark.parametrize(("operation", "shapes"), PRODUCTS)
def test_a_complex_product_is_four_real_ones(
    operation: Callable[..., Any], shapes: list[tuple[int, ...]]
) -> None:
    def flops(dtype: torch.dtype) -> int:
        return trace_function(operation, *(torch.empty(s, dtype=dtype) for s in shapes)).flops

    assert flops(torch.complex64) == 4 * flops(torch.float32) > 0


def test_a_complex_convolution_is_three_real_ones_as_pytorch_runs_it() -> None:
    x = torch.empty(1, 3, 8, 8, dtype=torch.complex64, device="meta")
    w = torch.empty(4, 3, 3, 3, dtype=torch.complex64, device="meta")
    counter = FlopCounterMode(display=False)
    with counter:
        torch.nn.functional.conv2d(x, w)
    workload = trace_function(torch.nn.functional.conv2d, x, w)
    assert workload.flops == counter.get_total_flops() == 3 * 2 * 36 * 4 * 27


def test_complex_elements() -> None:
    product = trace_function(lambda x: x * x, COMPLEX)
    total = trace_function(lambda x: x + x, COMPLEX)
    assert (product.vector_ops, total.vector_ops) == (6 * 768, 2 * 768)
    assert product.family_names() == (families.ELEMENTWISE,)
