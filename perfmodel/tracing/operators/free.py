"""Operators that are no kernels: they compute nothing and move nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: In-place operators that change how a tensor is seen, not what it holds; allocations without
# contents; checks.
_FREE: Final = (
    "empty empty_like empty_strided empty_permuted new_empty new_empty_strided resize_ set_ "
    "detach_ squeeze_ unsqueeze_ transpose_ swapaxes_ swapdims_ t_ as_strided_ requires_grad_ "
    "_assert_tensor_metadata _assert_async _assert_scalar _functional_assert_async "
    "_functional_assert_scalar _is_all_true _is_any_true is_nonzero _linalg_check_errors "
    "sym_constrain_range sym_constrain_range_for_size _functional_sym_constrain_range "
    "_functional_sym_constrain_range_for_size _print is_same_size"
)
#: Operators that are not kernels.
FREE: Final = frozenset(f"aten.{name}" for name in _FREE.split())

#: Names of the arguments of operators that have no schema, in their order.
ARGUMENTS: Final = {
    "higher_order.flex_attention": ("query", "key", "value", "score_mod", "block_mask", "scale")
}

_DROPOUTS: Final = frozenset(
    f"aten.{name}" for name in ("dropout", "feature_dropout", "alpha_dropout")
)


def is_identity(name: str, arguments: Mapping[str, Any]) -> bool:
    """Whether the call returns its first argument, although the exported graph shows a new tensor.

    So does dropout in eval mode. The copy that is made of a constant of the source text, on each
    call, is not charged either.
    """
    if name in _DROPOUTS:
        return not arguments.get("train", True) or arguments.get("p") == 0
    return name == "aten.lift_fresh_copy"
