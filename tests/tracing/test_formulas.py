"""Every formula against figures written by hand.

The sizes of one call are different primes wherever they may be, so that no two of them can be
exchanged, and a term that is left out or counted twice shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil, log2, prod
from typing import Any

import pytest
import torch

from perfmodel.tracing import operators
from perfmodel.tracing.operators import Call, Cost, attention, experts, free, recurrent, table
from perfmodel.tracing.operators.products import matmul_loops
from perfmodel.vocabulary import families as f


def t(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def c(*shape: int) -> torch.Tensor:
    return t(*shape, dtype=torch.complex64)


def cost(
    name: str,
    result: tuple[int, ...] | None,
    *,
    in_place: bool = False,
    weights: tuple[str, ...] = (),
    **arguments: Any,
) -> Cost:
    formula = operators.find(name if "." in name else f"aten.{name}")
    assert formula is not None
    results = () if result is None else (result, (97,))
    found = formula(Call(arguments, results, in_place, frozenset(weights)))
    numbers = [found.flops, found.vector_ops, *(found.gemm or ()), *found.reads.values()]
    # A quotient that is a whole number is one, and no 3.0.
    assert all(type(number) is int for number in [*numbers, found.writes or 0])
    return found


def product(gemm: tuple[int, int, int, int], ops: int = 0, family: str = f.MATMUL) -> Cost:
    return Cost(family, 2 * prod(gemm), vector_ops=ops, gemm=gemm)


# Operations on each element


@pytest.mark.parametrize(
    ("family", "by_ops"),
    [
        (f.ELEMENTWISE, {1: "add where", 2: "clamp dropout", 3: "lerp", 4: "logit"}),
        (f.ACTIVATION, {1: "relu", 2: "prelu", 3: "elu", 4: "sigmoid", 5: "silu"}),
        (f.DATA_MOVEMENT, {0: "cat clone"}),
        (f.RESAMPLE, {0: "upsample_nearest2d _upsample_nearest_exact2d", 3: "upsample_linear1d",
                      7: "upsample_bilinear2d", 15: "upsample_trilinear3d",
                      31: "upsample_bicubic2d"}),
    ],
)  # fmt: skip
def test_operations_on_each_element_of_the_result(family: str, by_ops: dict[int, str]) -> None:
    for ops, names in by_ops.items():
        for name in names.split():
            real, complex_ = (cost(name, (3, 5), self=x(7), other=x(5)) for x in (t, c))
            assert real == Cost(family, vector_ops=ops * 15)
            assert complex_ == Cost(family, vector_ops=2 * ops * 15)
    assert cost("add", None, in_place=True, self=t(7), other=t()).vector_ops == 7


@pytest.mark.parametrize(
    ("family", "by_ops"),
    [
        (f.REDUCTION, {1: "sum", 2: "norm", 3: "dist", 4: "var", 6: "cosine_similarity"}),
        (f.SOFTMAX, {5: "softmax _log_softmax"}),
        (f.NORM, {4: "_weight_norm"}),
        (f.ELEMENTWISE, {7: "fake_quantize_per_channel_affine torchao.fake_quantize_affine "
                            "quantized_decomposed.fake_quant_per_channel",
                         5: "torchao.quantize_affine quantized_decomposed.quantize_per_token",
                         2: "torchao.dequantize_affine quantized_decomposed.dequantize_per_token "
                            "quantized_decomposed.choose_qparams torchao.choose_qparams_affine"}),
        (f.REDUCTION, {4: "multinomial histc histogram"}),
        (f.DATA_MOVEMENT, {1: "nonzero masked_select", 0: "_pack_padded_sequence lu_unpack"}),
    ],
)  # fmt: skip
def test_operations_on_each_element_of_the_first_argument(
    family: str, by_ops: dict[int, str]
) -> None:
    for ops, names in by_ops.items():
        for name in names.split():
            assert cost(name, (5,), self=t(3, 7), scale=t(5)) == Cost(family, vector_ops=ops * 21)


def test_products_of_elements_and_the_gelu() -> None:
    for name in ("mul", "div", "outer"):
        assert cost(name, (3, 5), self=t(3), other=t(5)) == Cost(f.ELEMENTWISE, vector_ops=15)
        assert cost(name, (3, 5), self=t(3), other=c(5)) == Cost(f.ELEMENTWISE, vector_ops=90)
    for approximate, ops in ((None, 5), ("none", 5), ("tanh", 9)):
        gelu = cost("gelu", (3, 5), self=t(3, 5), approximate=approximate)
        assert gelu == Cost(f.ACTIVATION, vector_ops=ops * 15)
    assert cost("linalg_cross", (5, 3), self=t(5, 3)) == Cost(f.ELEMENTWISE, vector_ops=45)


def test_random_numbers_do_not_read_what_was_there() -> None:
    for name, ops in (("random", 0), ("exponential", 2)):
        drawn = cost(name, (3, 5), in_place=True, self=t(3, 5))
        assert drawn == Cost(f.ELEMENTWISE, vector_ops=ops * 15, reads={"self": 0})
    assert cost("poisson", (3, 5), self=t(3, 5)) == Cost(f.ELEMENTWISE, vector_ops=150)


def test_a_logarithm_is_rounded_up_and_at_least_1() -> None:
    for length in range(70):
        assert table.log2(length) == max(1, ceil(log2(max(1, length))))


def test_what_returns_its_argument() -> None:
    for name in ("aten.dropout", "aten.feature_dropout", "aten.alpha_dropout"):
        for arguments, same in (
            ({}, False),
            ({"p": 0.5, "train": True}, False),
            ({"p": 1, "train": True}, False),
            ({"p": 0, "train": True}, True),
            ({"p": 0.5, "train": False}, True),
        ):
            assert free.is_identity(name, arguments) == same
    assert free.is_identity("aten.lift_fresh_copy", {})
    assert not free.is_identity("aten.relu", {"train": False})


# Copies and indexing


def test_what_is_made_reads_nothing() -> None:
    assert cost("zeros_like", (3,), self=t(3)) == Cost(f.DATA_MOVEMENT, reads={"self": 0})
    assert cost("zeros", (3,), size=[3]) == Cost(f.DATA_MOVEMENT)
    assert cost("copy", (3,), in_place=True, self=t(3), src=t()) == Cost(
        f.DATA_MOVEMENT, reads={"self": 0}
    )


def test_a_lookup_reads_the_rows_it_returns() -> None:
    assert cost("embedding", (5, 7), weight=t(11, 7), indices=t(5)) == Cost(
        f.EMBEDDING, reads={"weight": 35}
    )
    assert cost("_embedding_bag", (3, 7), weight=t(11, 7), indices=t(5)) == Cost(
        f.EMBEDDING, vector_ops=35, reads={"weight": 35}
    )
    assert cost("gather", (2, 3), self=t(2, 13), index=t(2, 3)) == Cost(
        f.DATA_MOVEMENT, reads={"self": 6}
    )


WRITTEN = t(2, 3, 5, 7, 11)


@pytest.mark.parametrize(
    ("name", "adds", "moved", "arguments"),
    [
        # A mask of all elements, one number for each, and a row of 11 for each of 2.
        ("index_put", False, 15 * 2 * 11,
         {"indices": [None, t(3, 5, dtype=torch.bool), t(15)]}),
        # Indices are broadcast; the dimension between them is whole.
        ("index_put", True, 13 * 17 * 5 * 11,
         {"indices": [t(13, 1), t(17), None, t(1)], "accumulate": True}),
        ("index_put", False, 19 * 2 * 3 * 7 * 11,
         {"indices": [None, None, t(19)], "accumulate": False}),
        ("put", False, 13, {"index": t(13)}),
        ("put", True, 13, {"index": t(13), "accumulate": True}),
        ("scatter", False, 13, {"index": t(13), "value": 1.0}),
        ("scatter", True, 13, {"index": t(13), "reduce": "add"}),
        ("scatter_add", True, 13, {"index": t(13)}),
        ("index_copy", False, 17, {"index": t(13), "source": t(17)}),
        ("index_add", True, 17, {"index": t(13), "source": t(17)}),
        ("index_fill", False, 2 * 3 * 7 * 11 * 13, {"index": t(13), "dim": 2}),
    ],
)  # fmt: skip
def test_a_partial_write(name: str, adds: bool, moved: int, arguments: dict[str, Any]) -> None:
    ops = moved if adds else 0
    of = {"self": WRITTEN, **arguments}
    assert cost(name, tuple(WRITTEN.shape), **of) == Cost(f.DATA_MOVEMENT, vector_ops=ops)
    assert cost(name, tuple(WRITTEN.shape), in_place=True, **of) == Cost(
        f.DATA_MOVEMENT, vector_ops=ops, reads={"self": ops}, writes=moved
    )


def test_one_number_may_be_filled() -> None:
    assert cost("index_fill", (), in_place=True, self=t(), dim=0, index=t(1)).writes == 1


# Norms, pooling and resampling


def test_norms() -> None:
    w = t(7)
    for affine, more in (({}, 0), ({"weight": w}, 1), ({"weight": w, "bias": w}, 2)):
        assert cost("layer_norm", (3, 7), input=t(3, 7), **affine).vector_ops == (5 + more) * 21
        assert cost("rms_norm", (3, 7), input=t(3, 7), **affine).vector_ops == (3 + more) * 21
        for said in ("training", "use_input_stats"):
            norm = cost("batch_norm", (3, 7), input=t(3, 7), **affine, **{said: True})
            assert norm == Cost(f.NORM, vector_ops=(5 + more) * 21)
        norm = cost("batch_norm", (3, 7), input=t(3, 7), **affine, training=False)
        assert norm == cost("batch_norm", (3, 7), input=t(3, 7)) == Cost(f.NORM, vector_ops=42)


@pytest.mark.parametrize(
    ("name", "kernel", "window"),
    [
        ("max_pool1d", 3, 3),
        ("avg_pool2d", 3, 9),
        ("avg_pool2d", [3], 9),
        ("max_pool2d_with_indices", [3, 5], 15),
        ("avg_pool3d", 3, 27),
        ("max_pool3d", [3, 5, 7], 105),
        ("fractional_max_pool2d", [3, 5], 15),
        ("fractional_max_pool3d", [3, 5, 7], 105),
    ],
)
def test_a_pool_takes_all_of_each_window(name: str, kernel: Any, window: int) -> None:
    assert cost(name, (2, 11), self=t(2, 13), kernel_size=kernel) == Cost(
        f.POOLING, vector_ops=22 * window
    )


def test_adaptive_pools() -> None:
    x = t(2, 3, 11, 13)
    # 11 rows for 5 are windows of 3 that overlap, 13 columns for 7 windows of 2.
    kinds = ["adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d"]
    kinds += ["adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"]
    for name in [*kinds, "_adaptive_avg_pool2d", "_adaptive_avg_pool3d"]:
        assert cost(name, (2, 3, 5, 7), self=x) == Cost(f.POOLING, vector_ops=6 * 35 * 6)
        with pytest.raises(ValueError, match="argument"):
            cost(name, (3, 5, 7), self=x)
    for result in ((2, 3, 1, 1), (2, 3, 1, 13), (2, 3, 11, 1)):
        found = cost("adaptive_avg_pool2d", result, self=x)
        assert found == Cost(f.REDUCTION, vector_ops=2 * 3 * 11 * 13)


# Reductions, sorts and searches


@pytest.mark.parametrize(
    ("name", "result", "arguments", "expected"),
    [
        ("max", (), {"self": t(3, 5)}, Cost(f.REDUCTION, vector_ops=15)),
        ("max", (3, 5), {"self": t(5), "other": t(3, 5)}, Cost(f.ELEMENTWISE, vector_ops=15)),
        # log2 of 17, 3 and 2, rounded up.
        ("sort", (2, 3, 17), {"self": t(2, 3, 17)}, Cost(f.REDUCTION, vector_ops=102 * 5)),
        ("sort", (), {"self": t(2, 3, 17), "dim": 1}, Cost(f.REDUCTION, vector_ops=102 * 2)),
        ("topk", (2, 3, 5), {"self": t(2, 3, 17), "k": 5}, Cost(f.REDUCTION, vector_ops=102 * 3)),
        ("sort", (), {"self": t()}, Cost(f.REDUCTION, vector_ops=1)),
        ("_unique2", (5,), {"self": t(3, 5)}, Cost(f.REDUCTION, vector_ops=15 * 5)),
        ("searchsorted", (7,), {"sorted_sequence": t(2, 17), "self": t(7)},
         Cost(f.REDUCTION, vector_ops=35, reads={"sorted_sequence": 35})),
        ("bucketize", (7,), {"self": t(7), "boundaries": t(17)},
         Cost(f.REDUCTION, vector_ops=35, reads={"boundaries": 35})),
        ("quantile", (7,), {"self": t(3, 17)}, Cost(f.REDUCTION, vector_ops=51 * 6 + 21)),
        ("quantile", (3,), {"self": t(3, 17), "dim": 1}, Cost(f.REDUCTION, vector_ops=51 * 5 + 9)),
        # 10 x 32^0.145 is 16.5.
        ("isin", (32,), {"elements": t(32), "test_elements": t(16)},
         Cost(f.REDUCTION, vector_ops=32 * 16)),
        ("isin", (32,), {"elements": t(32), "test_elements": t(17)},
         Cost(f.REDUCTION, vector_ops=49 * 6)),
        ("isin", (3,), {"elements": t(3), "test_element": 7}, Cost(f.REDUCTION, vector_ops=3)),
        ("isin", (), {"element": 7, "test_elements": t(9)}, Cost(f.REDUCTION, vector_ops=9)),
        ("isin", (), {"element": 7, "test_elements": t(10)}, Cost(f.REDUCTION, vector_ops=44)),
        ("_pdist_forward", (10,), {"self": t(5, 7)}, Cost(f.REDUCTION, vector_ops=3 * 10 * 7)),
        ("cdist", (3, 5), {"x1": t(3, 7), "x2": t(5, 7)}, Cost(f.REDUCTION, vector_ops=3 * 15 * 7)),
        ("trace", (), {"self": t(5, 7)}, Cost(f.REDUCTION, vector_ops=5, reads={"self": 5})),
    ],
)  # fmt: skip
def test_reductions(
    name: str, result: tuple[int, ...], arguments: dict[str, Any], expected: Cost
) -> None:
    assert cost(name, result, **arguments) == expected


# Losses


@pytest.mark.parametrize(
    ("name", "ops"),
    [
        ("mse_loss", 2),
        ("huber_loss", 4),
        ("soft_margin_loss", 4),
        ("binary_cross_entropy", 7),
        ("binary_cross_entropy_with_logits", 8),
        ("multi_margin_loss", 3),
    ],
)
def test_a_loss_is_summed_unless_each_element_is_asked_for(name: str, ops: int) -> None:
    for asked, summed in (({}, 1), ({"reduction": 0}, 0), ({"reduction": 1}, 1),
                          ({"reduction": 2}, 1)):  # fmt: skip
        found = cost(name, (), self=t(3, 5), target=t(5), **asked)
        assert found == Cost(f.REDUCTION, vector_ops=(ops + summed) * 15)


def test_losses_of_labels() -> None:
    of = {"self": t(5, 7), "target": t(5)}
    assert cost("nll_loss_forward", (), **of) == Cost(
        f.REDUCTION, vector_ops=5, reads={"self": 5, "weight": 0}
    )
    assert cost("nll_loss_forward", (), **of, weight=t(7)) == Cost(
        f.REDUCTION, vector_ops=10, reads={"self": 5, "weight": 5}
    )
    margin = cost("multilabel_margin_loss_forward", (), self=t(3, 5), target=t(3, 5))
    assert margin == Cost(f.REDUCTION, vector_ops=4 * 5 * 15)


@pytest.mark.parametrize(
    ("log_probs", "targets", "batch", "longest"),
    [
        ((11, 3, 7), (3, 5), 3, 5),
        ((11, 3, 7), (13,), 3, 5),  # one after the other: 13 labels for 3
        ((11, 7), (5,), 1, 5),
    ],
)
def test_a_loss_of_sequences(log_probs: Any, targets: Any, batch: int, longest: int) -> None:
    states = 11 * batch * (2 * longest + 1)
    assert cost("_ctc_loss", (), log_probs=t(*log_probs), targets=t(*targets)) == Cost(
        f.REDUCTION, vector_ops=7 * states, reads={"log_probs": states}
    )


# Linear algebra


def reflections(m: int, n: int, k: int) -> int:
    return 4 * m * n * k - 2 * (m + n) * k * k + 4 * k * k * k // 3


SQUARE = {"A": t(2, 3, 7, 7)}
N3 = 7 * 7 * 7
#: Of 5 columns and 11 rows, or the other way round.
THIN = 14 * 11 * 25 + 8 * 125
VALUES = 4 * 11 * 25 - 500 // 3


@pytest.mark.parametrize(
    ("name", "result", "arguments", "flops"),
    [
        ("linalg_cholesky_ex", None, {"self": t(2, 3, 7, 7)}, 6 * (N3 // 3)),
        ("linalg_ldl_factor_ex", None, {"self": t(2, 3, 7, 7)}, 6 * (N3 // 3)),
        ("cholesky_inverse", None, {"self": t(2, 3, 7, 7)}, 6 * (2 * N3 // 3)),
        ("linalg_inv_ex", None, SQUARE, 6 * 2 * N3),
        ("_linalg_det", None, SQUARE, 6 * (2 * N3 // 3)),
        ("linalg_eig", None, {"self": t(2, 3, 7, 7)}, 6 * 25 * N3),
        ("linalg_eigvals", None, {"self": t(2, 3, 7, 7)}, 6 * 10 * N3),
        ("linalg_eigvalsh", None, {"self": t(2, 3, 7, 7)}, 6 * (4 * N3 // 3)),
        ("linalg_matrix_exp", None, {"self": t(2, 3, 7, 7)}, 6 * 10 * N3),
        ("_linalg_eigh", None, SQUARE, 6 * 9 * N3),
        ("_linalg_eigh", None, {**SQUARE, "compute_v": False}, 6 * (4 * N3 // 3)),
        ("_linalg_svd", None, {"A": t(3, 5, 11)}, 3 * THIN),
        ("_linalg_svd", None, {"A": t(3, 11, 5), "compute_uv": False}, 3 * VALUES),
        ("_linalg_svd", None, {"A": t(3, 11, 5), "full_matrices": True},
         3 * (4 * 121 * 5 + 8 * 11 * 25 + 9 * 125)),
        ("_linalg_svd", None, {**SQUARE, "full_matrices": True}, 6 * 22 * N3),
        ("linalg_svdvals", None, {"A": t(3, 11, 5)}, 3 * VALUES),
        ("linalg_matrix_rank", None, {"self": t(3, 5, 11), "tol": t()}, 3 * VALUES),
        ("linalg_pinv", None, {"self": t(3, 11, 5)}, 3 * (THIN + 2 * 11 * 25)),
        ("linalg_pinv", None, {"self": t(3, 7, 7), "hermitian": True}, 3 * 11 * N3),
        ("linalg_lu", None, {"A": t(3, 11, 5)}, 3 * (11 * 25 - 125 // 3)),
        ("linalg_lu_factor_ex", None, {"A": t(3, 5, 11)}, 3 * (11 * 25 - 125 // 3)),
        ("_linalg_solve_ex", (2, 3, 7, 5), {**SQUARE, "B": t(2, 3, 7, 5)},
         6 * (N3 - N3 // 3 + 2 * 49 * 5)),
        ("_linalg_solve_ex", (0, 5), {"A": t(0, 0), "B": t(0, 5)}, 0),
        ("_linalg_solve_ex", (1, 5), {"A": t(1, 1), "B": t(1, 5)}, 1 + 2 * 5),
        ("linalg_solve_triangular", (2, 3, 7, 5), {"self": t(2, 3, 7, 7), "B": t(2, 3, 7, 5)},
         6 * 49 * 5),
        ("triangular_solve", (2, 3, 7, 5), {"self": t(2, 3, 7, 5), "A": t(2, 3, 7, 7)},
         6 * 49 * 5),
        ("cholesky_solve", (2, 3, 7, 5), {"self": t(2, 3, 7, 5), "input2": t(2, 3, 7, 7)},
         6 * 2 * 49 * 5),
        ("linalg_lu_solve", (3, 7, 5), {"LU": t(3, 7, 7), "B": t(3, 7, 5)}, 3 * 2 * 49 * 5),
        ("linalg_ldl_solve", (3, 7, 5), {"LD": t(3, 7, 7), "B": t(3, 7, 5)}, 3 * 2 * 49 * 5),
        ("geqrf", None, {"self": t(3, 11, 5)}, 3 * reflections(11, 5, 5)),
        ("linalg_qr", None, {"A": t(3, 11, 5), "mode": "r"}, 3 * reflections(11, 5, 5)),
        ("linalg_qr", None, {"A": t(3, 11, 5)}, 3 * 2 * reflections(11, 5, 5)),
        ("linalg_qr", None, {"A": t(3, 5, 11)},
         3 * (reflections(5, 11, 5) + reflections(5, 5, 5))),
        ("linalg_qr", None, {"A": t(3, 11, 5), "mode": "complete"},
         3 * (reflections(11, 5, 5) + reflections(11, 11, 5))),
        ("linalg_householder_product", None, {"input": t(2, 3, 11, 7), "tau": t(2, 3, 5)},
         6 * reflections(11, 7, 5)),
        ("ormqr", None, {"self": t(2, 3, 11, 5), "input2": t(2, 3, 5), "input3": t(2, 3, 11, 7)},
         6 * (4 * 11 * 7 * 5 - 2 * 7 * 25)),
        ("ormqr", None, {"self": t(2, 7, 5), "input2": t(2, 5), "input3": t(2, 11, 7),
                         "left": False}, 2 * (4 * 7 * 11 * 5 - 2 * 11 * 25)),
        ("linalg_lstsq", None, {"self": t(2, 11, 5), "b": t(2, 11, 3)},
         2 * (reflections(11, 5, 5) + 3 * (4 * 11 * 5 - 2 * 25 + 25))),
        ("linalg_lstsq", None, {"self": t(0, 5), "b": t(0, 3)}, 0),
        ("linalg_lstsq", None, {"self": t(1, 1), "b": t(1, 3)}, reflections(1, 1, 1) + 3 * 3),
    ],
)  # fmt: skip
def test_linear_algebra(name: str, result: Any, arguments: Mapping[str, Any], flops: int) -> None:
    assert cost(name, result, **arguments) == Cost(f.REDUCTION, flops=flops)
    complex_ = {
        name: c(*value.shape) if isinstance(value, torch.Tensor) else value
        for name, value in arguments.items()
    }
    assert cost(name, result, **complex_).flops == 4 * flops


# Fourier transforms


@pytest.mark.parametrize(
    ("name", "result", "arguments", "expected"),
    [
        ("_fft_c2c", (3, 5, 16), {"self": c(3, 5, 16), "dim": [2]}, (5 * 15 * 16 * 4, 0)),
        ("_fft_c2c", (3, 4, 16), {"self": c(3, 4, 16), "dim": [1, 2]}, (5 * 12 * 16 * 6, 0)),
        ("_fft_r2c", (3, 5, 9), {"self": t(3, 5, 16), "dim": [2]}, (5 * 15 * 16 * 4 // 2, 0)),
        ("_fft_c2r", (3, 5, 16), {"self": c(3, 5, 9), "dim": [2], "last_dim_size": 16},
         (5 * 15 * 16 * 4 // 2, 0)),
        ("_fft_c2c", (3, 2), {"self": c(3, 2), "dim": [1]}, (5 * 6, 0)),
        ("_fft_c2c", (3, 1), {"self": c(3, 1), "dim": [1]}, (0, 0)),
        ("_fft_c2c", (3, 0), {"self": c(3, 0), "dim": [1]}, (0, 0)),
        ("istft", (3, 99), {"self": c(3, 9, 7), "n_fft": 16}, (5 * 21 * 16 * 4 // 2, 4 * 21 * 16)),
        ("istft", (3, 99), {"self": c(3, 16, 7), "n_fft": 16, "return_complex": True},
         (5 * 21 * 16 * 4, 4 * 21 * 16)),
    ],
)  # fmt: skip
def test_transforms(name: str, result: Any, arguments: Any, expected: tuple[int, int]) -> None:
    flops, ops = expected
    assert cost(name, result, **arguments) == Cost(f.REDUCTION, flops, vector_ops=ops)


# Products


@pytest.mark.parametrize(
    ("left", "right", "gemm"),
    [
        ((7,), (7,), (1, 1, 1, 7)),
        ((5, 7), (7,), (1, 5, 1, 7)),
        ((7,), (7, 3), (1, 1, 3, 7)),
        ((5, 7), (7, 3), (1, 5, 3, 7)),
        ((2, 11, 5, 7), (7, 3), (1, 110, 3, 7)),
        ((2, 11, 5, 7), (7,), (1, 110, 1, 7)),
        ((7,), (11, 7, 3), (11, 1, 3, 7)),
        ((5, 7), (11, 7, 3), (11, 5, 3, 7)),
        ((2, 1, 5, 7), (11, 7, 3), (22, 5, 3, 7)),
        ((11, 5, 7), (2, 1, 7, 3), (22, 5, 3, 7)),
    ],
)
def test_the_loops_of_a_product(left: Any, right: Any, gemm: Any) -> None:
    assert matmul_loops(left, right) == gemm
    result = gemm[:3]
    of = {"self": t(*left), "other": t(*right)}
    assert cost("matmul", result, **of) == product(gemm)
    for weight in of:
        assert cost("matmul", result, weights=(weight,), **of) == product(gemm, family=f.LINEAR)
    assert cost("matmul", result, self=c(*left), other=t(*right)).flops == 8 * prod(gemm)


@pytest.mark.parametrize(
    ("name", "names", "shapes", "gemm"),
    [
        ("addmm", "self mat1 mat2", [(3,), (5, 7), (7, 3)], (1, 5, 3, 7)),
        ("baddbmm", "self batch1 batch2", [(3,), (2, 5, 7), (2, 7, 3)], (2, 5, 3, 7)),
        ("addmv", "self mat vec", [(5,), (5, 7), (7,)], (1, 5, 1, 7)),
        ("addbmm", "self batch1 batch2", [(5, 3), (2, 5, 7), (2, 7, 3)], (1, 5, 3, 14)),
    ],
)
def test_a_product_to_which_something_is_added(
    name: str, names: str, shapes: list[tuple[int, ...]], gemm: tuple[int, int, int, int]
) -> None:
    of = {key: t(*shape) for key, shape in zip(names.split(), shapes, strict=True)}
    result = gemm[:3]
    assert cost(name, result, **of) == product(gemm, prod(result))
    linear = cost(name, result, weights=(names.split()[2],), **of)
    assert linear == product(gemm, prod(result), f.LINEAR)
    assert cost(name, result, **{**of, "self": c(1)}).flops == 8 * prod(gemm)


def test_linear_layers() -> None:
    x, w = t(2, 5, 7), t(3, 7)
    assert cost("linear", (2, 5, 3), input=x, weight=w) == product((1, 10, 3, 7), 0, f.LINEAR)
    biased = cost("linear", (2, 5, 3), input=x, weight=w, bias=t(3))
    assert biased == product((1, 10, 3, 7), 30, f.LINEAR)
    assert cost("linear", (2, 5), input=x, weight=t(7)) == product((1, 10, 1, 7), 0, f.LINEAR)
    assert cost("linear", (2, 5, 3), input=x, weight=c(3, 7)).flops == 8 * 210
    for gelu, ops in (({}, 2), ({"use_gelu": False}, 2), ({"use_gelu": True}, 10)):
        found = cost("_addmm_activation", (5, 3), self=t(3), mat1=t(5, 7), mat2=t(7, 3), **gelu)
        assert found == product((1, 5, 3, 7), ops * 15, f.LINEAR)


@pytest.mark.parametrize(
    ("weight", "groups", "pixels", "inputs", "gemm", "family"),
    [
        ((6, 5, 3, 7), None, 11, 13, (1, 11, 6, 5 * 21), f.CONV),
        ((6, 5, 3, 7), 2, 11, 13, (2, 11, 3, 5 * 21), f.CONV),
        ((6, 1, 3, 7), 2, 11, 13, (2, 11, 3, 21), f.DEPTHWISE_CONV),
        ((6, 1, 3, 7), 1, 11, 13, (1, 11, 6, 21), f.CONV),
        ((6, 5, 1, 1), 1, 11, 11, (1, 11, 6, 5), f.POINTWISE_CONV),
        ((6, 5, 1, 1), 1, 11, 13, (1, 11, 6, 5), f.CONV),
        ((6, 5, 1, 1), 2, 11, 11, (2, 11, 3, 5), f.CONV),
        ((6, 5, 2, 1), 1, 11, 11, (1, 11, 6, 10), f.CONV),
    ],
)
def test_convolutions(
    weight: Any, groups: int | None, pixels: int, inputs: int, gemm: Any, family: str
) -> None:
    x = t(weight[1] * (groups or 1), inputs)
    of = {"input": x, "weight": t(*weight), **({} if groups is None else {"groups": groups})}
    for name in ("conv2d", "convolution", "conv3d"):
        assert cost(name, (6, pixels), **of) == product(gemm, 0, family)
        assert cost(name, (6, pixels), **of, bias=t(6)) == product(gemm, 6 * pixels, family)
    assert cost("conv2d", (6, pixels), **{**of, "input": c(*x.shape)}).flops == 6 * prod(gemm)


@pytest.mark.parametrize(
    ("weight", "groups", "gemm", "family"),
    [
        ((6, 5, 3, 7), None, (1, 11, 5 * 21, 6), f.CONV),
        ((6, 5, 3, 7), 2, (2, 11, 5 * 21, 3), f.CONV),
        ((6, 5, 3, 7), 6, (6, 11, 5 * 21, 1), f.DEPTHWISE_CONV),
        ((1, 5, 3, 7), 1, (1, 11, 5 * 21, 1), f.CONV),
    ],
)
def test_transposed_convolutions(weight: Any, groups: Any, gemm: Any, family: str) -> None:
    of = {"input": t(weight[0], 11), "weight": t(*weight)}
    of |= {} if groups is None else {"groups": groups}
    assert cost("conv_transpose2d", (5, 13), **of) == product(gemm, 0, family)
    assert cost("_convolution", (5, 13), **of, transposed=True) == product(gemm, 0, family)
    assert cost("conv_transpose2d", (5, 13), **of, bias=t(5)) == product(gemm, 65, family)


def test_other_convolutions() -> None:
    tbc = {"self": t(11, 2, 5), "weight": t(3, 5, 7), "bias": t(7)}
    assert cost("conv_tbc", (9, 2, 7), **tbc) == product((1, 18, 7, 15), 126, f.CONV)
    of = {"input": t(2, 10, 13, 17), "weight": t(6, 5, 3, 7), "offset": t(1)}
    pixels = 2 * 11 * 13
    taps = pixels * 10 * 21
    for said, groups, per_tap, bias in (
        ({}, 1, 7, 0),
        ({"groups": 2, "use_mask": False, "bias": t(0)}, 2, 7, 0),
        ({"groups": 2, "use_mask": True, "bias": t(6)}, 2, 8, 6 * pixels),
    ):
        gemm = (groups, pixels, 6 // groups, 5 * 21)
        found = cost("torchvision.deform_conv2d", (2, 6, 11, 13), **of, **said)
        assert found == product(gemm, per_tap * taps + bias, f.CONV)


def test_regions() -> None:
    for ratio, samples in ((-1, 4), (0, 4), (1, 1), (3, 9)):
        found = cost("torchvision.roi_align", (5, 7), input=t(1), sampling_ratio=ratio)
        assert (found.family, found.vector_ops) == (f.POOLING, 8 * samples * 35)
        assert bool(found.note) == (ratio < 1)
    pool = cost("torchvision.roi_pool", (5, 7), input=t(2, 3, 17, 19), pooled_height=5,
                pooled_width=7)  # fmt: skip
    assert pool == Cost(f.POOLING, vector_ops=4 * 3 * 35)


def test_grids_and_bilinear_layers() -> None:
    assert cost("affine_grid_generator", (5, 77, 3), theta=t(5, 3, 4)) == product((5, 77, 3, 4))
    of = {"input1": t(2, 5, 7), "input2": t(2, 5, 11), "weight": t(3, 7, 11)}
    layer = Cost(f.LINEAR, 2 * 10 * 3 * 11 * (7 + 1), gemm=(1, 10, 33, 7))
    assert cost("bilinear", (2, 5, 3), **of) == layer
    biased = cost("bilinear", (2, 5, 3), **of, bias=t(3))
    assert (biased.flops, biased.vector_ops) == (layer.flops, 30)
    trilinear = cost("_trilinear", (5, 3), i1=t(5, 7), i2=t(3, 7, 11), i3=t(5, 11),
                     expand1=[1, 3], expand2=[0], expand3=[1, 2], sumdim=[2, 3])  # fmt: skip
    assert trilinear == Cost(f.LINEAR, 2 * 5 * 3 * 11 * (7 + 1), gemm=(1, 5 * 3 * 11, 1, 7))
    # A vector, a matrix and a vector along three dimensions, of which the last two are summed.
    plain = cost("_trilinear", (5,), i1=t(5, 7), i2=t(7, 11), i3=t(11),
                 expand1=[2], expand2=[0], expand3=[0, 1], sumdim=[1, 2])  # fmt: skip
    assert plain == Cost(f.LINEAR, 2 * (5 * 7 * 11 + 5 * 11), gemm=(1, 5 * 11, 1, 7))
    with pytest.raises(ValueError, match="argument"):
        cost("_trilinear", (5,), i1=t(5, 7), expand1=[1, 1])


def test_tensordot() -> None:
    of = {"dims_self": [2, 0], "dims_other": [0, 2]}
    for make, factor in ((t, 1), (c, 4)):
        found = cost("tensordot", (5, 11), self=make(3, 5, 7), other=make(7, 11, 3), **of)
        assert found == Cost(f.MATMUL, factor * 2 * 5 * 11 * 21, gemm=(1, 5, 11, 21))
    linear = cost("tensordot", (5, 11), weights=("other",), self=t(3, 5, 7), other=t(7, 11, 3),
                  **of)  # fmt: skip
    assert linear.family == f.LINEAR


@pytest.mark.parametrize(
    ("equation", "shapes", "gemm", "flops", "ops"),
    [
        ("ab,bc->ac", [(3, 5), (5, 7)], (1, 3, 7, 5), 210, 0),
        (" ab , bc ", [(3, 5), (5, 7)], (1, 3, 7, 5), 210, 0),
        ("zab,zbc->zac", [(2, 3, 5), (2, 5, 7)], (2, 3, 7, 5), 420, 0),
        ("...ab,bc->...ac", [(2, 3, 5), (5, 7)], (1, 6, 7, 5), 420, 0),
        ("...ab,...bc", [(2, 11, 3, 5), (11, 5, 7)], (11, 6, 7, 5), 4620, 0),
        # a is nowhere else: summed before the product.
        ("ab,bc->c", [(3, 5), (5, 7)], (1, 1, 7, 5), 70, 15),
        ("ab,bc->a", [(3, 5), (5, 7)], (1, 3, 1, 5), 30, 35),
        # A dimension of 1 is broadcast: nothing is contracted.
        ("ab,bc->ac", [(3, 1), (1, 7)], None, 0, 21),
        ("a,b->ab", [(3,), (7,)], None, 0, 21),
        ("a,b,c->abc", [(3,), (7,), (11,)], None, 0, 21 + 231),
        ("ab,ab->ab", [(3, 7), (3, 7)], None, 0, 21),
        ("ab->b", [(3, 7)], None, 0, 21),
        ("ab->ba", [(3, 7)], None, 0, 0),
        ("ba", [(3, 7)], None, 0, 0),
        ("aab,bc->ac", [(3, 3, 5), (5, 7)], (1, 3, 7, 5), 210, 0),
        # The larger product is the second, or the first, or the first of two alike.
        ("ab,bc,cd->ad", [(3, 5), (5, 7), (7, 11)], (1, 3, 11, 7), 210 + 462, 0),
        ("ab,bc,cd->ad", [(3, 11), (11, 7), (7, 5)], (1, 3, 7, 11), 462 + 210, 0),
        ("ab,bc,cd->ad", [(3, 5), (5, 7), (7, 5)], (1, 3, 7, 5), 210 + 210, 0),
    ],
)
def test_einsum(equation: str, shapes: Any, gemm: Any, flops: int, ops: int) -> None:
    arguments: dict[str, Any] = {"equation": equation, "tensors": [t(*s) for s in shapes]}
    family = f.ELEMENTWISE if gemm is None else f.MATMUL
    assert cost("einsum", None, **arguments) == Cost(family, flops, vector_ops=ops, gemm=gemm)
    weighted = cost("einsum", None, weights=("tensors",), **arguments)
    assert weighted.family == (f.ELEMENTWISE if gemm is None else f.LINEAR)
    arguments["tensors"] = [c(*s) for s in shapes]
    assert cost("einsum", None, **arguments).flops == 4 * flops


@pytest.mark.parametrize(
    ("equation", "shapes"), [("ab,bc", [(3, 5)]), ("ab", [(3, 5, 7)]), ("ab", [(3,)])]
)
def test_an_equation_that_does_not_fit_is_an_error(equation: str, shapes: Any) -> None:
    with pytest.raises(ValueError, match="argument"):
        cost("einsum", None, equation=equation, tensors=[t(*s) for s in shapes])


@pytest.mark.parametrize("pair", [[1, 2], [2, 1]])
def test_einsum_along_a_path(pair: list[int]) -> None:
    # bc times cd, then ab times that, which stands at the end.
    found = cost("einsum", None, equation="ab,bc,cd,de->ae", path=[*pair, 0, 2, 0, 1],
                 tensors=[t(3, 5), t(5, 7), t(7, 11), t(11, 13)])  # fmt: skip
    pairs = 5 * 7 * 11 + 3 * 5 * 11 + 3 * 11 * 13
    assert found == Cost(f.MATMUL, 2 * pairs, gemm=(1, 13, 3, 11))


# Mixtures, attention and recurrent layers


@pytest.mark.parametrize(
    ("left", "right", "result", "gemm", "flops", "reads"),
    [
        ((11, 7), (3, 7, 5), (11, 5), (3, 4, 5, 7), 2 * 11 * 35, {"mat2": 3 * 35}),
        ((2, 7), (3, 7, 5), (2, 5), (2, 1, 5, 7), 2 * 2 * 35, {"mat2": 2 * 35}),
        ((0, 7), (3, 7, 5), (0, 5), None, 0, {"mat2": 0}),
        ((3, 5, 7), (7, 11), (5, 11), (3, 4, 5, 7), 2 * 11 * 35, {"self": 3 * 35}),
        ((5, 11), (11, 7), (3, 5, 7), (3, 5, 7, 4), 2 * 5 * 11 * 7, {}),
        ((3, 5, 7), (3, 7, 11), (3, 5, 11), (3, 5, 11, 7), 2 * 3 * 5 * 11 * 7, {}),
    ],
)
def test_products_in_groups(
    left: Any, right: Any, result: Any, gemm: Any, flops: int, reads: Any
) -> None:
    of = {"self": t(*left), "mat2": t(*right)}
    note = experts.EVEN_ROUTING if reads else ""
    plain = Cost(f.MATMUL, flops, gemm=gemm, reads=reads, note=note)
    assert cost("_grouped_mm", result, **of) == plain
    biased = cost("_grouped_mm", result, weights=("mat2",), **of, bias=t(1))
    assert (biased.family, biased.flops, biased.vector_ops) == (f.LINEAR, flops, prod(result))
    again = cost("transformers.grouped_mm_fallback", result, input=t(*left), weight=t(*right))
    assert (again.flops, again.gemm) == (flops, gemm)


def test_attention() -> None:
    of = {"query": t(3, 5, 7), "key": t(3, 11, 7), "value": t(3, 11, 13)}
    loops = {"flops": 2 * 3 * 5 * 11 * (7 + 13), "gemm": (3, 5, 11, 7)}
    for mask, ops in (({}, 6), ({"attn_mask": t(5, 11)}, 7), ({"attn_bias": t(5, 11)}, 7)):
        found = cost("scaled_dot_product_attention", (3, 5, 13), **of, **mask)
        assert found == Cost(f.ATTENTION, vector_ops=ops * 165, **loops)
    flex = cost("higher_order.flex_attention", (3, 5, 13), **of)
    assert flex == Cost(
        f.ATTENTION, vector_ops=7 * 165, writes=3 * 5 * 13, note=attention.ALL_BLOCKS, **loops
    )


@pytest.mark.parametrize(
    ("name", "gates", "per_state"),
    [
        # Of each element of the state: two sums and a bias for each gate, the gates' functions
        # (sigmoid 4, tanh 1), and what becomes of cell and state.
        ("lstm", 4, 12 + 3 * 4 + 2 + 4),
        ("gru", 3, 9 + 2 * 4 + 1 + 4),
        ("rnn_tanh", 1, 3 + 1),
        ("rnn_relu", 1, 3 + 1),
    ],
)
@pytest.mark.parametrize(
    ("shape", "said", "steps", "batch"),
    [
        ((11, 2, 5), {"batch_first": False}, 11, 2),
        ((2, 11, 5), {"batch_first": True}, 11, 2),
        ((11, 5), {"batch_first": True}, 11, 1),
        ((11, 5), {}, 11, 1),
    ],
)
def test_recurrent_layers(
    name: str, gates: int, per_state: int, shape: Any, said: Any, steps: int, batch: int
) -> None:
    width = gates * 7
    layer = [t(width, 5), t(width, 7), t(width), t(width)]
    for layers, ways in ((1, False), (3, True)):
        count = layers * (2 if ways else 1)
        found = cost(name, None, input=t(*shape), params=layer * count, num_layers=layers,
                     bidirectional=ways, **said)  # fmt: skip
        products = count * width * (5 + 7)
        assert found == Cost(
            f.LINEAR,
            2 * steps * batch * products,
            vector_ops=per_state * steps * batch * count * 7,
            gemm=(steps * count, batch, width, 12),
            note=recurrent.STEPS_AS_ONE,
        )


def test_a_projected_state_is_narrower_than_the_gates() -> None:
    params = [t(28, 5), t(28, 3), t(28), t(28), t(3, 7)]
    found = cost("lstm", None, input=t(11, 2, 5), params=params, num_layers=1)
    products = 28 * 5 + 28 * 3 + 3 * 7
    assert found.flops == 2 * 11 * 2 * products
    assert found.gemm == (11, 2, 28, -(-products // 28))


def test_a_cell_is_one_step() -> None:
    cell = cost("gru_cell", (2, 7), input=t(2, 5), hx=t(2, 7), w_ih=t(21, 5), w_hh=t(21, 7))
    assert cell == product((1, 2, 21, 12), 8 * 2 * 21, f.LINEAR)


def test_narrow_products() -> None:
    packed = product((1, 10, 3, 7), 30, f.LINEAR)
    for argument in ("self", "inp"):
        found = cost("_dyn_quant_matmul_4bit", (2, 5, 3), **{argument: t(2, 5, 7), "mat2": t(1)})
        assert found == packed
    found = cost("quantized_decomposed.mixed_mm", (5, 3), input=t(5, 7), weight=t(2))
    assert found == product((1, 5, 3, 7), 15, f.LINEAR)
    of = {"self": t(5, 7), "mat2": t(7, 3)}
    assert cost("_scaled_mm", (5, 3), **of) == product((1, 5, 3, 7), 2 * 15)
    biased = cost("_scaled_mm", (5, 3), weights=("mat2",), **of, bias=t(3))
    assert biased == product((1, 5, 3, 7), 3 * 15, f.LINEAR)
