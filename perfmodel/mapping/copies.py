"""What software without a plan does beside its kernels, and which library it gives them to.

PyTorch's eager mode runs one operator at a time and knows nothing of the next. So it brings the
operands of a convolution into its kernel library's layout and the result back, packs the weights of
every product, touches large outputs for the first time, and converts 16-bit elements on the way in
and out of every other operator. None of it overlaps with the kernel. Some FP32 convolutions are
plain matrix products instead (``ConvParams::use_mkldnn`` in PyTorch's
aten/src/ATen/native/Convolution.cpp), which launch faster and change no layout.

Software that plans does none of this: its figures are absent, and all of it is 0.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.mapping.applied import Applied
from perfmodel.mapping.columns import Columns, mask_of
from perfmodel.mapping.roofline import FloatArray, Rate, Traffic
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


def native(columns: Columns, software: Applied, threads: int) -> npt.NDArray[np.bool_]:
    """Which convolutions run as plain products on ``threads`` threads, shape (K,).

    The size of the kernel, which matters to few small convolutions, is not looked at.
    """
    if software.software.native_convolution is None:
        return np.zeros(columns.family.shape, dtype=np.bool_)
    wide = np.array([fmt == "fp32" for fmt in columns.precision.arithmetic])
    family = columns.family
    ungrouped = _UNGROUPED[family] & (columns.work.loops[:, 0] == 1) & wide[family]
    alone = (
        _POINTWISE[family]
        & (threads == 1)
        & (columns.batch < np.max(software.value("native_convolution.batch")))
    )
    read = columns.elements(INPUT)
    small = (columns.batch == 1) & (read <= np.max(software.value("native_convolution.elements")))
    found: npt.NDArray[np.bool_] = ungrouped & (alone | small)
    return found


def launch(columns: Columns, software: Applied, threads: int) -> FloatArray:
    """Return seconds to launch each kernel, broadcasting to (..., P, K)."""
    general = software.launch()[..., columns.family]
    special = native(columns, software, threads)
    seconds: FloatArray = np.where(special, software.value("native_convolution.launch"), general)
    return seconds


def conversion_seconds(columns: Columns, software: Applied, rate: FloatArray) -> Rate:
    """Seconds per element to convert between a 16-bit format and FP32, (..., 1, K).

    Args:
        rate: simple operations on elements per second of one core, (..., 1, 1).
    """
    narrow = columns.precision.input_bits == 16
    converting = (_CONVERTING & narrow)[columns.family]
    if software.software.conversion is None or not converting.any():
        return 0.0
    seconds: FloatArray = software.value("conversion") * converting / rate
    return seconds


def copies(
    columns: Columns,
    software: Applied,
    traffic: Traffic,
    rate: FloatArray,
    cores: FloatArray,
    threads: int,
) -> FloatArray | float:
    """Seconds of layout changes, packing and first touches, (..., P, K).

    Args:
        rate: simple operations on elements per second of one core, (..., 1, 1).
        cores: how many share the layout changes, (P, 1) or (P, K).
        threads: how many the software has.
    """
    seconds: FloatArray | float = 0.0
    family = columns.family
    narrow = (columns.precision.input_bits == 16)[family]
    stated = software.software
    converted = np.where(narrow, software.value("conversion"), 0.0)
    rule = stated.precision.get(columns.precision.name)
    packed = rule is not None and rule.packed
    if stated.packing is not None and not packed:
        weight, read, _ = traffic.bandwidth
        if stated.packing_bandwidth is not None:
            weight = software.value("packing_bandwidth") * cores
        first, second = columns.second
        seconds = software.value("packing") * (first / weight + second / read)
    if stated.relayout is not None and not packed:
        changed = _CONVOLUTION[family] & ~native(columns, software, threads)
        elements = np.where(changed, columns.elements(INPUT) + columns.elements(OUTPUT), 0.0)
        seconds = seconds + (software.value("relayout") + converted) * elements / (rate * cores)
    if stated.conversion is not None:
        # A product of one row, in 16 bits, reads its matrix element by element in FP32.
        one_row = _DENSE[family] & (columns.work.loops[:, 1] == 1)
        elements = np.where(one_row, columns.elements(WEIGHT), 0.0)
        seconds = seconds + converted * elements / (rate * cores)
    if stated.touching is not None:
        moved = columns.work.moved[INPUT] + columns.work.moved[OUTPUT]
        seconds = seconds + moved / (software.value("touching") * cores)
    if stated.fresh_output is not None:
        written = columns.work.moved[OUTPUT]
        fresh = np.where(written >= software.value("fresh_output.threshold"), written, 0.0)
        seconds = seconds + fresh / software.value("fresh_output.bandwidth")
    return seconds
