"""Operator families: the few kinds of work that efficiencies and precisions distinguish."""

from __future__ import annotations

from typing import Final

#: Multiply-accumulate families: their kernels carry GEMM loops and FLOPs.
CONV: Final = "conv"
#: Kernel of one pixel, stride 1, one group: a plain product of the pixels with the weights.
POINTWISE_CONV: Final = "pointwise_conv"
DEPTHWISE_CONV: Final = "depthwise_conv"
LINEAR: Final = "linear"
MATMUL: Final = "matmul"
ATTENTION: Final = "attention"
#: Families without multiply-accumulate loops: vector operations and bytes only.
NORM: Final = "norm"
SOFTMAX: Final = "softmax"
ACTIVATION: Final = "activation"
ELEMENTWISE: Final = "elementwise"
POOLING: Final = "pooling"
REDUCTION: Final = "reduction"
RESAMPLE: Final = "resample"
EMBEDDING: Final = "embedding"
DATA_MOVEMENT: Final = "data_movement"
UNMODELLED: Final = "unmodelled"

CONVOLUTIONS: Final = (CONV, POINTWISE_CONV, DEPTHWISE_CONV)
GEMM_FAMILIES: Final = (*CONVOLUTIONS, LINEAR, MATMUL, ATTENTION)
VECTOR_FAMILIES: Final = (
    NORM,
    SOFTMAX,
    ACTIVATION,
    ELEMENTWISE,
    POOLING,
    REDUCTION,
    RESAMPLE,
    EMBEDDING,
    DATA_MOVEMENT,
    UNMODELLED,
)
FAMILIES: Final = (*GEMM_FAMILIES, *VECTOR_FAMILIES)
CODE: Final = {family: code for code, family in enumerate(FAMILIES)}
