"""Pooling and resampling."""

from __future__ import annotations

from math import prod

from perfmodel.tracing.formula import Call, Cost, register
from perfmodel.tracing.operators.table import per_result, table
from perfmodel.vocabulary import families as f


def _pool(dims: int, *names: str) -> None:
    """Register ``names``: one comparison or addition for each element of each window.

    Padding counts as data. A kernel size may be one number for all dimensions.
    """

    @register(*names)
    def pool(call: Call) -> Cost:
        kernel = call.arguments["kernel_size"]
        sizes = (kernel,) if isinstance(kernel, int) else tuple(kernel)
        window = prod(sizes if len(sizes) == dims else sizes * dims)
        return Cost(f.POOLING, vector_ops=call.result_numel * window)


for _dims in (1, 2, 3):
    _pool(
        _dims,
        f"aten.max_pool{_dims}d",
        f"aten.max_pool{_dims}d_with_indices",
        f"aten.avg_pool{_dims}d",
    )


@register(*(f"aten.adaptive_max_pool{d}d" for d in (1, 2, 3)))
def _adaptive_pool(call: Call) -> Cost:
    """Windows of the input's size over the output's, rounded up where they overlap."""
    window = prod(
        -(-before // after)
        for before, after in zip(call.shape("self"), call.results[0], strict=True)
    )
    return Cost(f.POOLING, vector_ops=call.result_numel * window)


@register(
    *(f"aten.adaptive_avg_pool{d}d" for d in (1, 2, 3)),
    *(f"aten._adaptive_avg_pool{d}d" for d in (2, 3)),
)
def _adaptive_mean(call: Call) -> Cost:
    """As with the maximum; one window over all of a channel is a mean, and PyTorch runs it so."""
    sizes = zip(call.shape("self"), call.results[0], strict=True)
    if all(after in (1, before) for before, after in sizes):
        return Cost(f.REDUCTION, vector_ops=call.numel("self"))
    return _adaptive_pool(call)


@register("aten.fractional_max_pool2d", "aten.fractional_max_pool3d")
def _fractional_pool(call: Call) -> Cost:
    """Windows of the kernel's size, placed at random."""
    kernel = call.arguments["kernel_size"]
    return Cost(f.POOLING, vector_ops=call.result_numel * prod(kernel))


# Each of t taps is weighted and all are added: 2 t - 1 operations on an output element. The
# interpolation weights themselves, one set for a row and a column, are not counted.
table(
    per_result,
    f.RESAMPLE,
    (
        (0, "upsample_nearest1d upsample_nearest2d upsample_nearest3d"),
        (
            0,
            "_upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d",
        ),
        (3, "upsample_linear1d"),
        (7, "upsample_bilinear2d _upsample_bilinear2d_aa grid_sampler grid_sampler_2d"),
        (15, "upsample_trilinear3d grid_sampler_3d"),
        (31, "upsample_bicubic2d _upsample_bicubic2d_aa"),
    ),
)
