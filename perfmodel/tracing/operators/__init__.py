"""One formula for every operator perfmodel knows, a file for each subject.

Most without multiply-accumulates are a line in a table: family, operations on each element, names.
An operation count says how many elementary operations (one addition, comparison, division,
exponential ...) one element takes; it follows the definition in PyTorch's documentation, not a
particular implementation of it. The registry is in :mod:`perfmodel.tracing.formula`.

Operators that only ever return views need no formula, and have none: the tracer recognises a view
by its storage. ``reshape``, ``contiguous``, ``to`` and the like reach their formula only when they
really copy. An operator that PyTorch itself composes of others needs none either: it is recorded as
what it is made of (:mod:`perfmodel.tracing.decomposing`).
"""

from __future__ import annotations

# Each of these registers the formulas of its subject.
from perfmodel.tracing.formula import (
    Call,
    Cost,
    Formula,
    canonical,
    find,
    register,
    registered,
    seal,
    unregister,
)
from perfmodel.tracing.operators import (
    attention,
    detection,
    elementwise,
    experts,
    linalg,
    losses,
    movement,
    norms,
    pooling,
    products,
    quantised,
    random,
    recurrent,
    reductions,
    selecting,
    spectral,
)
from perfmodel.tracing.operators.free import ARGUMENTS, FREE, is_identity

__all__ = [
    "ARGUMENTS",
    "FREE",
    "Call",
    "Cost",
    "Formula",
    "attention",
    "canonical",
    "detection",
    "elementwise",
    "experts",
    "find",
    "is_identity",
    "linalg",
    "losses",
    "movement",
    "norms",
    "pooling",
    "products",
    "quantised",
    "random",
    "recurrent",
    "reductions",
    "register",
    "registered",
    "seal",
    "selecting",
    "spectral",
    "unregister",
]

seal()
