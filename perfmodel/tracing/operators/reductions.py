"""Reductions, scans, sorts and searches."""

from __future__ import annotations

from math import prod

from perfmodel.tracing.formula import Call, Cost, register
from perfmodel.tracing.operators.table import log2, per_input, table
from perfmodel.vocabulary import families as f

table(
    per_input,
    f.REDUCTION,
    (
        (
            1,
            "sum nansum mean nanmean prod amax amin argmax argmin any all cumsum cumprod cummax "
            "cummin linalg__powsum median nanmedian mode",
        ),
        (
            2,
            "norm linalg_vector_norm linalg_norm frobenius_norm nuclear_norm aminmax _aminmax "
            "count_nonzero",
        ),
        (3, "pairwise_distance dist"),
        (4, "var std var_mean std_mean logsumexp logcumsumexp renorm"),
        (6, "cosine_similarity"),
    ),
)


@register("aten.max", "aten.min")
def _extremum(call: Call) -> Cost:
    """Of a tensor, or (max.other) of each pair of two."""
    if call.has("other"):
        return Cost(f.ELEMENTWISE, vector_ops=call.result_numel)
    return Cost(f.REDUCTION, vector_ops=call.numel("self"))


@register("aten.topk", "aten.sort", "aten.argsort", "aten.msort", "aten.kthvalue")
def _sort(call: Call) -> Cost:
    """Comparisons of a merge sort, or of a heap of the k largest: elements x log2 of the length."""
    shape = call.shape("self")
    if not shape:
        return Cost(f.REDUCTION, vector_ops=1)
    length = shape[call.get("dim", -1)]
    steps = log2(min(length, call.get("k", length)))
    return Cost(f.REDUCTION, vector_ops=prod(shape) * steps)


@register("aten._unique", "aten._unique2", "aten.unique_dim", "aten.unique_consecutive")
def _unique(call: Call) -> Cost:
    """A merge sort, and a comparison of each element with the one before it."""
    elements = call.numel("self")
    return Cost(f.REDUCTION, vector_ops=elements * (log2(elements) + 1))


@register("aten.searchsorted", "aten.bucketize")
def _search(call: Call) -> Cost:
    """A binary search for each value."""
    table = "sorted_sequence" if call.has("sorted_sequence") else "boundaries"
    steps = log2(call.shape(table)[-1])
    found = call.result_numel
    return Cost(f.REDUCTION, vector_ops=found * steps, reads={table: found * steps})


@register("aten.quantile", "aten.nanquantile")
def _quantile(call: Call) -> Cost:
    """A sort, and an interpolation (3) for each result."""
    shape, dim = call.shape("self"), call.get("dim")
    length = prod(shape) if dim is None else shape[dim]
    return Cost(f.REDUCTION, vector_ops=prod(shape) * log2(length) + 3 * call.result_numel)


@register("aten.isin")
def _isin(call: Call) -> Cost:
    """Each with each where those to test for are few, else a sort of both, as PyTorch chooses."""
    elements, tests = call.numel("elements") or 1, call.numel("test_elements") or 1
    if tests < 10 * elements**0.145:
        return Cost(f.REDUCTION, vector_ops=elements * tests)
    return Cost(f.REDUCTION, vector_ops=(elements + tests) * log2(elements + tests))


@register("aten._pdist_forward")
def _own_pairs(call: Call) -> Cost:
    """As :func:`_pairwise`, each pair of rows of one matrix once."""
    _, width = call.shape("self")
    return Cost(f.REDUCTION, vector_ops=3 * call.result_numel * width)


@register(
    "aten.histogram",
    "aten._histogramdd_bin_edges",
    "aten._histogramdd_from_bin_cts",
    "aten._histogramdd_from_bin_tensors",
)
def _histogram(call: Call) -> Cost:
    """The place of each element (difference, product, floor), and one more in it."""
    return Cost(f.REDUCTION, vector_ops=4 * call.numel("self"))


@register("aten.cdist", "aten._cdist_forward", "aten._euclidean_dist")
def _pairwise(call: Call) -> Cost:
    """Difference, square (or magnitude) and sum for each pair of rows."""
    return Cost(f.REDUCTION, vector_ops=3 * call.result_numel * call.shape("x1")[-1])
