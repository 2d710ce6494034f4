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
_square("self", "linalg_cholesky_ex linalg_cholesky cholesky", lambda n: n**3 // 3)
_square("self", "linalg_ldl_factor_ex linalg_ldl_factor", lambda n: n**3 // 3)
_square("self", "cholesky_inverse", lambda n: 2 * n**3 // 3)
_square("A", "linalg_inv_ex linalg_inv", lambda n: 2 * n**3)
_square("self", "inverse", lambda n: 2 * n**3)
# Determinants are the product of the diagonal of LU.
_square("A", "_linalg_det linalg_det _linalg_slogdet linalg_slogdet", lambda n: 2 * n**3 // 3)
# Hessenberg form and QR iterations: 10 n^3 for the values, 25 n^3 with vectors.
_square("self", "linalg_eig", lambda n: 25 * n**3)
_square("self", "_linalg_eigvals linalg_eigvals", lambda n: 10 * n**3)
# A polynomial of degree 18 takes 5 products. How often it is squared depends on values: taken as
# none, which holds for a norm below 1.
_square("self", "linalg_matrix_exp matrix_exp", lambda n: 5 * 2 * n**3)


@register("aten._linalg_eigh", "aten.linalg_eigh", "aten.linalg_eigvalsh")
def eigh(call: Call) -> Cost:
    """Tridiagonal form, 4/3 n^3; about 9 n^3 with vectors."""
    count, n, _ = _matrix(call, "A" if call.has("A") else "self")
    vectors = call.get("compute_v", len(call.results) > 1)
    return _cost(call, count * (9 * n**3 if vectors else 4 * n**3 // 3))


@register("aten._linalg_svd", "aten.linalg_svd", "aten.linalg_svdvals")
def svd(call: Call) -> Cost:
    """Golub and Reinsch, for m >= n: values only, thin U and V, or square ones."""
    count, *sizes = _matrix(call, "A")
    n, m = sorted(sizes)
    if not call.get("compute_uv", len(call.results) > 1):
        return _cost(call, count * (4 * m * n**2 - 4 * n**3 // 3))
    if call.get("full_matrices", False) and m != n:
        return _cost(call, count * (4 * m**2 * n + 8 * m * n**2 + 9 * n**3))
    return _cost(call, count * (14 * m * n**2 + 8 * n**3))


def _lu(m: int, n: int) -> int:
    least, most = min(m, n), max(m, n)
    return most * least**2 - least**3 // 3


@register(
    "aten.linalg_lu_factor_ex", "aten.linalg_lu_factor", "aten.linalg_lu", "aten._lu_with_info"
)
def lu(call: Call) -> Cost:
    """m n^2 - n^3 / 3, which is 2/3 n^3 for a square matrix."""
    count, m, n = _matrix(call, "A" if call.has("A") else "self")
    return _cost(call, count * _lu(m, n))


def _right_hand_sides(call: Call, n: int) -> int:
    """Columns of all results together; a result may be one vector for each matrix."""
    return call.result_numel // n if n else 0


@register("aten._linalg_solve_ex", "aten.linalg_solve_ex", "aten.linalg_solve")
def solve(call: Call) -> Cost:
    """LU, 2/3 n^3, and two triangular solutions, 2 n^2 for each right-hand side."""
    count, n, _ = _matrix(call, "A")
    return _cost(call, count * _lu(n, n) + 2 * n**2 * _right_hand_sides(call, n))


@register("aten.linalg_solve_triangular", "aten.triangular_solve")
def solve_triangular(call: Call) -> Cost:
    """n^2 for each right-hand side."""
    n = call.shape("A" if call.has("A") else "self")[-1]
    if call.has("B"):
        n = call.shape("self")[-1]
    return _cost(call, n**2 * _right_hand_sides(call, n))


@register("aten.cholesky_solve", "aten.linalg_lu_solve", "aten.lu_solve", "aten.linalg_ldl_solve")
def solve_factored(call: Call) -> Cost:
    """Two triangular solutions: 2 n^2 for each right-hand side."""
    factor = next(name for name in ("input2", "LU", "LU_data", "LD") if call.has(name))
    n = call.shape(factor)[-1]
    return _cost(call, 2 * n**2 * _right_hand_sides(call, n))


@register("aten.geqrf", "aten.linalg_qr")
def qr(call: Call) -> Cost:
    """Householder reflections, 2 m n^2 - 2/3 n^3 for m >= n, and as much again for a thin Q."""
    count, m, n = _matrix(call, "A" if call.has("A") else "self")
    k = min(m, n)
    reflections = 2 * m * n * k - (m + n) * k**2 + 2 * k**3 // 3
    if not call.has("A") or call.get("mode") == "r":
        return _cost(call, count * reflections)
    columns = m if call.get("mode") == "complete" else k
    return _cost(call, count * (reflections + _form_q(m, columns, k)))


def _form_q(m: int, n: int, k: int) -> int:
    return 4 * m * n * k - 2 * (m + n) * k**2 + 4 * k**3 // 3


@register("aten.linalg_householder_product", "aten.orgqr")
def householder_product(call: Call) -> Cost:
    """The first columns of the product of k reflections: 4 m n k - 2 (m + n) k^2 + 4/3 k^3."""
    count, m, n = _matrix(call, "input" if call.has("input") else "self")
    k = call.shape("tau" if call.has("tau") else "input2")[-1]
    return _cost(call, count * _form_q(m, n, k))


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
    sides = call.numel("b") // (count * m) if count * m else 0
    k = min(m, n)
    factor = 2 * m * n * k - (m + n) * k**2 + 2 * k**3 // 3
    return _cost(call, count * (factor + sides * (4 * m * k - 2 * k**2 + k**2)))


@register("aten.lu_unpack")
def lu_unpack(call: Call) -> Cost:
    """Copies of the triangles."""
    return Cost(f.DATA_MOVEMENT)


@register("aten.linalg_cross", "aten.cross")
def cross(call: Call) -> Cost:
    """Two multiplications and a subtraction for each component."""
    return Cost(f.ELEMENTWISE, vector_ops=3 * call.result_numel)


@register("aten.trace")
def trace(call: Call) -> Cost:
    """Only the diagonal is read."""
    n = min(call.shape("self"))
    return Cost(f.REDUCTION, vector_ops=n, reads={"self": n})
