"""Formulas of operators whose result has a size that depends on values.

They are met where the values are known. Each looks at every element that it selects from once.
"""

from __future__ import annotations

from perfmodel.tracing.formula import Call, Cost, register
from perfmodel.vocabulary import families


@register("aten.nonzero", "aten.masked_select", "aten.bincount")
def select(call: Call) -> Cost:
    """One comparison for each element."""
    return Cost(families.DATA_MOVEMENT, vector_ops=call.numel("self"))


@register("aten._pack_padded_sequence", "aten._pad_packed_sequence")
def pack(call: Call) -> Cost:
    """Rows are copied from one layout to another."""
    return Cost(families.DATA_MOVEMENT)
