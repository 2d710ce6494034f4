"""Products with one of several matrices for each row: mixtures of experts.

Which experts run depends on values, which a trace has not. The rule is that of the zoo's Mixtral:
rows spread evenly, so of E experts min(E, rows) run, and the weights of the others are not read.
"""

from __future__ import annotations

from math import prod

from perfmodel.tracing.formula import Call, Cost, Gemm, register
from perfmodel.tracing.operators.products import family_of, flops_of, matmul_loops
from perfmodel.vocabulary import families as f

#: What the notes of a workload say where the rule was applied.
EVEN_ROUTING = (
    "routing to experts is assumed even: of E experts min(E, rows) run, each on as many rows as "
    "the next, and only their weights are read"
)


def grouped(call: Call, left: str, right: str) -> Cost:
    """Rows (S, k) in groups, each times its own matrix (E, k, n); or what else the shapes say."""
    rows, weights = call.shape(left), call.shape(right)
    bias = call.result_numel if call.has("bias") else 0
    family = family_of(call, left, right)
    if len(rows) == 2 and len(weights) == 3:
        experts, k, n = weights
        return _even(call, family, right, (experts, rows[0], n, k), bias)
    if len(rows) == 3 and len(weights) == 2:
        experts, m, k = rows
        return _even(call, family, left, (experts, weights[1], m, k), bias)
    if len(rows) == 2:  # groups of the contracted dimension: a sum over all of them
        experts = prod(call.results[0]) // (rows[0] * weights[1])
        gemm = (experts, rows[0], weights[1], -(-rows[1] // experts))
        return Cost(family, 2 * rows[0] * rows[1] * weights[1], vector_ops=bias, gemm=gemm)
    gemm = matmul_loops(rows, weights)
    return Cost(family, flops_of(gemm), vector_ops=bias, gemm=gemm)


def _even(call: Call, family: str, matrices: str, sizes: Gemm, bias: int) -> Cost:
    experts, rows, n, k = sizes
    active = min(experts, rows)
    return Cost(
        family,
        flops=2 * rows * n * k,
        vector_ops=bias,
        gemm=(active, -(-rows // active), n, k) if rows else None,
        reads={matrices: active * n * k},
        note=EVEN_ROUTING,
    )


@register("aten._grouped_mm", "aten._scaled_grouped_mm")
def grouped_mm(call: Call) -> Cost:
    """Groups of rows, each with its own matrix (``torch.nn.functional.grouped_mm``)."""
    return grouped(call, "self", "mat2")


@register("transformers.grouped_mm_fallback")
def grouped_mm_fallback(call: Call) -> Cost:
    """transformers' own loop over groups, which is what the operator above does on a CPU."""
    return grouped(call, "input", "weight")


@register("aten.histc")
def histc(call: Call) -> Cost:
    """The place of each element (difference, product, floor), and one more in it."""
    return Cost(f.REDUCTION, vector_ops=4 * call.numel("self"))
