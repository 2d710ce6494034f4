"""Results of operators that a CPU runs and PyTorch's own shape functions refuse."""

from __future__ import annotations

from typing import Any

import torch

_aten = torch.ops.aten


def result(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A tensor without contents as ``func`` returns one, or NotImplemented."""
    if func is _aten._grouped_mm.default:
        return _grouped_mm(*args, **kwargs)
    return NotImplemented


def _grouped_mm(
    left: torch.Tensor,
    right: torch.Tensor,
    offs: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    out_dtype: torch.dtype | None = None,
) -> Any:
    """The shape function asks for BF16 and aligned rows, as a GPU does; a CPU takes any."""
    if left.ndim == right.ndim == 2 and offs is not None:
        shape: tuple[int, ...] = (offs.shape[0], left.shape[0], right.shape[1])
    elif left.ndim == 3 and right.ndim == 3:
        shape = (left.shape[0], left.shape[1], right.shape[2])
    elif left.ndim == 2 and right.ndim == 3:
        shape = (left.shape[0], right.shape[2])
    elif left.ndim == 3 and right.ndim == 2:
        shape = (left.shape[1], right.shape[1])
    else:
        return NotImplemented
    if left.shape[-1] != right.shape[-2]:
        return NotImplemented  # PyTorch says what is wrong.
    return left.new_empty(shape, dtype=out_dtype or left.dtype)
