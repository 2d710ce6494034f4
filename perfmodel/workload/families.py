"""Operator families: the few kinds of work that efficiencies and precisions distinguish."""

from __future__ import annotations

from typing import Final

#: Multiply-accumulate families: their kernels carry GEMM loops and FLOPs.
CONV: Final = "conv"
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

GEMM_FAMILIES: Final = (CONV, DEPTHWISE_CONV, LINEAR, MATMUL, ATTENTION)
FAMILIES: Final = (
    *GEMM_FAMILIES,
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
CODE: Final = {family: code for code, family in enumerate(FAMILIES)}
