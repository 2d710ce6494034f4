"""What a runtime without a plan does beside its kernels, and which library it gives them to.

PyTorch's eager mode runs one operator at a time and knows nothing of the next. So it brings the
operands of a convolution into its kernel library's layout and the result back, packs the weights of
every product, touches large outputs for the first time, and converts 16-bit elements on the way in
and out of every other operator. None of it overlaps with the kernel. Some FP32 convolutions are
plain matrix products instead (``ConvParams::use_mkldnn`` in PyTorch's
aten/src/ATen/native/Convolution.cpp), which launch faster and change no layout.

A runtime that plans (``compiled``) does none of this: its figures are absent, and all of it is 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.mapping.columns import Columns, mask_of
from perfmodel.mapping.roofline import FloatArray, Rate, Traffic
from perfmodel.software.runtimes import Runtime
from perfmodel.vocabulary import families as f
from perfmodel.workload.workload import INPUT, OUTPUT, WEIGHT

_CONVOLUTION: Final = mask_of(*f.CONVOLUTIONS)
_UNGROUPED: Final = mask_of(f.CONV, f.POINTWISE_CONV)
_DENSE: Final = mask_of(f.LINEAR, f.MATMUL)
_POINTWISE: Final = mask_of(f.POINTWISE_CONV)
#: Kernels that read elements and calculate with them, but multiply no matrices.
_CONVERTING: Final = mask_of(
    f.NORM, f.SOFTMAX, f.ACTIVATION, f.ELEMENTWISE, f.POOLING, f.REDUCTION, f.RESAMPLE
)


def native(columns: Columns, runtime: Runtime, threads: int) -> npt.NDArray[np.bool_]:
    """Which convolutions run as plain products on ``threads`` threads, shape (K,).

    The size of the kernel, which matters to few small convolutions, is not looked at.
    """
    if np.all(runtime.native_dispatch == 0):
        return np.zeros(columns.family.shape, dtype=np.bool_)
    wide = np.array([fmt == "fp32" for fmt in columns.precision.arithmetic])
    family = columns.family
    ungrouped = _UNGROUPED[family] & (columns.work.loops[:, 0] == 1) & wide[family]
    alone = _POINTWISE[family] & (threads == 1) & (columns.batch < np.max(runtime.native_batch))
    read = columns.elements(INPUT)
    small = (columns.batch == 1) & (read <= np.max(runtime.native_elements))
    found: npt.NDArray[np.bool_] = ungrouped & (alone | small)
    return found


def dispatch(columns: Columns, runtime: Runtime, threads: int) -> FloatArray:
    """Seconds to launch each kernel, broadcasting to (..., P, K)."""
    general = runtime.dispatch[..., columns.family]
    special = native(columns, runtime, threads)
    seconds: FloatArray = np.where(special, runtime.native_dispatch, general)
    return seconds


def conversion_seconds(columns: Columns, runtime: Runtime, rate: FloatArray) -> Rate:
    """Seconds per element to convert between a 16-bit format and FP32, (..., 1, K).

    Args:
        rate: simple operations on elements per second of one core, (..., 1, 1).
    """
    narrow = columns.precision.input_bits == 16
    converting = (_CONVERTING & narrow)[columns.family]
    if not np.any(runtime.conversion) or not converting.any():
        return 0.0
    seconds: FloatArray = runtime.conversion * converting / rate
    return seconds


def copies(
    columns: Columns,
    runtime: Runtime,
    traffic: Traffic,
    rate: FloatArray,
    cores: FloatArray,
    threads: int,
) -> FloatArray | float:
    """Seconds of layout changes, packing and first touches, (..., P, K).

    Args:
        rate: simple operations on elements per second of one core, (..., 1, 1).
        cores: how many share the layout changes, (P, 1) or (P, K).
        threads: how many the runtime has.
    """
    seconds: FloatArray | float = 0.0
    family = columns.family
    narrow = (columns.precision.input_bits == 16)[family]
    converted = np.where(narrow, runtime.conversion, 0.0)
    if np.any(runtime.repacking):
        weight, read, _ = traffic.bandwidth
        first, second = columns.second
        seconds = runtime.repacking * (first / weight + second / read)
    if np.any(runtime.relayout):
        changed = _CONVOLUTION[family] & ~native(columns, runtime, threads)
        elements = np.where(changed, columns.elements(INPUT) + columns.elements(OUTPUT), 0.0)
        seconds = seconds + (runtime.relayout + converted) * elements / (rate * cores)
    if np.any(runtime.conversion):
        # A product of one row, in 16 bits, reads its matrix element by element in FP32.
        one_row = _DENSE[family] & (columns.work.loops[:, 1] == 1)
        elements = np.where(one_row, columns.elements(WEIGHT), 0.0)
        seconds = seconds + converted * elements / (rate * cores)
    if np.any(np.isfinite(runtime.fresh_threshold)):
        written = columns.work.moved[OUTPUT]
        fresh = np.where(written >= runtime.fresh_threshold, written, 0.0)
        seconds = seconds + fresh / runtime.fresh_bandwidth
    return seconds
