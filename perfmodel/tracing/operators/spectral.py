"""Fourier transforms.

A complex transform of N points takes 5 N log2 N operations, that of real values (or to real values)
half of it: the usual count of the fast Fourier transform, by which FFTW states its speed
(http://www.fftw.org/speed/method.html), whatever N is made of. They are FLOPs, since they are
multiplications and additions, but have no GEMM loops: they run on the vector units.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import log2, prod

from perfmodel.tracing.formula import Call, Cost, Shape, register
from perfmodel.vocabulary import families as f


def transform(shape: Shape, dims: Sequence[int], *, real: bool) -> int:
    """FLOPs of the transforms of an array of ``shape`` (on its real side) over ``dims``."""
    points = prod(shape[dim] for dim in dims)
    per_point = (2.5 if real else 5.0) * log2(max(points, 1))
    return round(prod(shape) * per_point)


@register("aten._fft_c2c", "aten._fft_r2c", "aten._fft_c2r")
def fft(call: Call) -> Cost:
    """Of real values on one side, or of complex ones on both."""
    real = not call.complex or _returns_real(call)
    shape = call.results[0] if call.complex and real else call.shape("self")
    return Cost(f.REDUCTION, flops=transform(shape, call.arguments["dim"], real=real))


def _returns_real(call: Call) -> bool:
    return call.has("last_dim_size")


@register("aten.istft")
def istft(call: Call) -> Cost:
    """An inverse transform for each frame, windowed (1), overlapped (1) and normalised (2)."""
    *lead, _, frames = call.shape("self")
    points = call.arguments["n_fft"]
    real = not call.get("return_complex", False)
    shape = (prod(lead) * frames, points)
    return Cost(f.REDUCTION, flops=transform(shape, (1,), real=real), vector_ops=4 * prod(shape))
