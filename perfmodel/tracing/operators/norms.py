"""Norms and softmax."""

from __future__ import annotations

from typing import Final

from perfmodel.tracing.formula import Call, Cost, Formula, register
from perfmodel.tracing.operators.attention import SOFTMAX_OPS
from perfmodel.tracing.operators.table import add, per_input, table
from perfmodel.vocabulary import families as f

table(
    per_input,
    f.SOFTMAX,
    ((SOFTMAX_OPS, "softmax _softmax _safe_softmax _masked_softmax log_softmax _log_softmax"),),
)

#: Operations on each element to find mean and variance: sum, centre, square, sum.
_STATISTICS: Final = 4


def _norm(statistics: int) -> Formula:
    """Statistics, then one operation to scale the (centred) value, and one for each affine term."""

    def formula(call: Call) -> Cost:
        affine = sum(1 for name in ("weight", "bias") if call.has(name))
        return Cost(f.NORM, vector_ops=(statistics + 1 + affine) * call.result_numel)

    return formula


add(_norm(_STATISTICS), "layer_norm native_layer_norm group_norm native_group_norm")
add(_norm(2), "rms_norm _fused_rms_norm")


@register(
    "aten.batch_norm",
    "aten.native_batch_norm",
    "aten._native_batch_norm_legit_no_training",
    "aten._native_batch_norm_legit",
    "aten._batch_norm_no_update",
    "aten._batch_norm_with_update",
    "aten.instance_norm",
)
def _running_norm(call: Call) -> Cost:
    """With running statistics, scale and shift of a channel are known: one multiply, one add."""
    if call.get("training", False) or call.get("use_input_stats", False):
        return _norm(_STATISTICS)(call)
    return Cost(f.NORM, vector_ops=2 * call.result_numel)


add(per_input(f.NORM, _STATISTICS), "_weight_norm _weight_norm_interface")
