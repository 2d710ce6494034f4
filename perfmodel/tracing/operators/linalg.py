"""Factorisations, solutions and inverses of matrices.

Their FLOPs are the leading terms of the algorithms that LAPACK runs, a multiply-accumulate being 2:
Golub and Van Loan, Matrix Computations (4th ed., 2013), and the operation counts of LAPACK Working
Note 41. Iterative ones (eigenvalues, singular values) depend on values and are the usual estimate.
A complex operation takes 4 real multiplications with their additions. None has GEMM loops: they run
in blocks on the vector units, in the format they are given.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from perfmodel.tracing.formula import Call, Cost, register
from perfmodel.vocabulary import families as f


def _matrix(call: Call, name: str) -> tuple[int, int, int]:
    """How many matrices an argument holds, and their rows and columns."""
    *lead, rows, columns = call.shape(name)
    return prod(lead), rows, columns


def _cost(call: Call, flops: int) -> Cost:
    return Cost(f.REDUCTION, flops=(4 if call.complex else 1) * flops)


def _square(argument: str, names: str, flops: Callable[[int], int]) -> None:
    """Register ``names``: so many FLOPs for each matrix of n rows in ``argument``."""

    @register(*(f"aten.{name}" for name in names.split()))
    def square(call: Call) -> Cost:
        count, n, _ = _matrix(call, argument)
        return _cost(call, count * flops(n))


# Cholesky, its twin for indefinite matrices, and the inverse from it.
_square("self", "linalg_cholesky_ex cholesky", lambda n: n**3 // 3)
_square("self", "linalg_ldl_factor_ex", lambda n: n**3 // 3)
_square("self", "cholesky_inverse", lambda n: 2 * n**3 // 3)
_square("A", "linalg_inv_ex", lambda n: 2 * n**3)
# Determinants are the product of the diagonal of LU.
_square("A", "_linalg_det _linalg_slogdet", lambda n: 2 * n**3 // 3)
# Hessenberg form and QR iterations: 10 n^3 for the values, 25 n^3 with vectors.
_square("self", "linalg_eig", lambda n: 25 * n**3)
_square("self", "_linalg_eigvals linalg_eigvals", lambda n: 10 * n**3)
# Values alone, which on tensors without contents PyTorch composes as if vectors were wanted.
_square("self", "linalg_eigvalsh", lambda n: 4 * n**3 // 3)
# A polynomial of degree 18 takes 5 products. How often it is squared depends on values: taken as
# none, which holds for a norm below 1.
_square("self", "linalg_matrix_exp", lambda n: 5 * 2 * n**3)


@register("aten._linalg_eigh")
def eigh(call: Call) -> Cost:
    """Tridiagonal form, 4/3 n^3; about 9 n^3 with vectors."""
    count, n, _ = _matrix(call, "A")
    vectors = call.get("compute_v", True)
    return _cost(call, count * (9 * n**3 if vectors else 4 * n**3 // 3))


@register("aten._linalg_svd")
def svd(call: Call) -> Cost:
    """Golub and Reinsch, for m >= n: values only, thin U and V, or square ones."""
    count, *sizes = _matrix(call, "A")
    n, m = sorted(sizes)
    if not call.get("compute_uv", True):
        return _cost(call, count * _values(m, n))
    if call.get("full_matrices", False) and m != n:
        return _cost(call, count * (4 * m**2 * n + 8 * m * n**2 + 9 * n**3))
    return _cost(call, count * _thin(m, n))


def _values(m: int, n: int) -> int:
    return 4 * m * n**2 - 4 * n**3 // 3


def _thin(m: int, n: int) -> int:
    return 14 * m * n**2 + 8 * n**3


@register("aten.linalg_svdvals", "aten.linalg_matrix_rank", "aten.linalg_cond")
def svdvals(call: Call) -> Cost:
    """Singular values alone, and what follows from them."""
    count, *sizes = _matrix(call, next(iter(call.tensors())))
    n, m = sorted(sizes)
    return _cost(call, count * _values(m, n))


@register("aten.linalg_pinv", "aten.pinverse")
def pinv(call: Call) -> Cost:
    """A thin decomposition, its values inverted, and the product of V and U."""
    count, *sizes = _matrix(call, "self")
    n, m = sorted(sizes)
    if call.get("hermitian", False):
        return _cost(call, count * (9 * n**3 + 2 * n**3))
    return _cost(call, count * (_thin(m, n) + 2 * m * n**2))


def _lu(m: int, n: int) -> int:
    least, most = min(m, n), max(m, n)
    return most * least**2 - least**3 // 3


@register("aten.linalg_lu_factor_ex", "aten.linalg_lu")
def lu(call: Call) -> Cost:
    """m n^2 - n^3 / 3, which is 2/3 n^3 for a square matrix."""
    count, m, n = _matrix(call, "A")
    return _cost(call, count * _lu(m, n))


def _right_hand_sides(call: Call, n: int) -> int:
    """Columns of all results together; a result may be one vector for each matrix."""
    return call.result_numel // max(n, 1)


@register("aten._linalg_solve_ex")
def solve(call: Call) -> Cost:
    """LU, 2/3 n^3, and two triangular solutions, 2 n^2 for each right-hand side."""
    count, n, _ = _matrix(call, "A")
    return _cost(call, count * _lu(n, n) + 2 * n**2 * _right_hand_sides(call, n))


@register("aten.linalg_solve_triangular", "aten.triangular_solve")
def solve_triangular(call: Call) -> Cost:
    """n^2 for each right-hand side."""
    _, n, _ = _matrix(call, "A" if call.has("A") else "self")
    return _cost(call, n**2 * _right_hand_sides(call, n))


@register("aten.cholesky_solve", "aten.linalg_lu_solve", "aten.linalg_ldl_solve")
def solve_factored(call: Call) -> Cost:
    """Two triangular solutions: 2 n^2 for each right-hand side."""
    factor = next(name for name in ("input2", "LU", "LD") if call.has(name))
    _, n, _ = _matrix(call, factor)
    return _cost(call, 2 * n**2 * _right_hand_sides(call, n))


@register("aten.geqrf", "aten.linalg_qr")
def qr(call: Call) -> Cost:
    """Householder reflections, 2 m n^2 - 2/3 n^3 for m >= n, and as much again for a thin Q."""
    count, m, n = _matrix(call, "A" if call.has("A") else "self")
    k = min(m, n)
    reflections = _reflections(m, n, k)
    if not call.has("A") or call.get("mode") == "r":
        return _cost(call, count * reflections)
    columns = m if call.get("mode") == "complete" else k
    return _cost(call, count * (reflections + _reflections(m, columns, k)))


def _reflections(m: int, n: int, k: int) -> int:
    """k reflections on an m x n matrix, each of one row and column less."""
    return 4 * m * n * k - 2 * (m + n) * k**2 + 4 * k**3 // 3


@register("aten.linalg_householder_product")
def householder_product(call: Call) -> Cost:
    """The first columns of the product of k reflections: 4 m n k - 2 (m + n) k^2 + 4/3 k^3."""
    count, m, n = _matrix(call, "input")
    k = call.shape("tau")[-1]
    return _cost(call, count * _reflections(m, n, k))


@register("aten.ormqr")
def ormqr(call: Call) -> Cost:
    """k reflections applied to a matrix, 4 m k for each of its columns less 2 k^2."""
    k = call.shape("input2")[-1]
    count, rows, columns = _matrix(call, "input3")
    m, n = (rows, columns) if call.get("left", True) else (columns, rows)
    return _cost(call, count * (4 * m * n * k - 2 * n * k**2))


@register("aten.linalg_lstsq")
def lstsq(call: Call) -> Cost:
    """QR, its reflections applied to the right-hand sides, and a triangular solution."""
    count, m, n = _matrix(call, "self")
    sides = call.numel("b") // max(count * m, 1)
    k = min(m, n)
    factor = _reflections(m, n, k)
    return _cost(call, count * (factor + sides * (4 * m * k - 2 * k**2 + k**2)))


@register("aten.lu_unpack")
def lu_unpack(call: Call) -> Cost:
    """Copies of the triangles."""
    return Cost(f.DATA_MOVEMENT)


@register("aten.linalg_cross")
def cross(call: Call) -> Cost:
    """Two multiplications and a subtraction for each component."""
    return Cost(f.ELEMENTWISE, vector_ops=3 * call.result_numel)


@register("aten.trace")
def trace(call: Call) -> Cost:
    """Only the diagonal is read."""
    n = min(call.shape("self"))
    return Cost(f.REDUCTION, vector_ops=n, reads={"self": n})
