"""Results of operators that a CPU runs and PyTorch's own shape functions refuse."""

from __future__ import annotations

from typing import Any

import torch

_aten = torch.ops.aten


def result(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """A tensor without contents as ``func`` returns one, or NotImplemented."""
    if func is _aten._grouped_mm.default:
        return _grouped_mm(*args, **kwargs)
    if func is _aten.linalg_lstsq.default:
        return _lstsq(*args[:2])
    if func in (_aten.ctc_loss.Tensor, _aten.ctc_loss.IntList):
        return _ctc_loss(*args, **kwargs)
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
        shape: tuple[int, ...] = (offs.numel(), left.shape[0], right.shape[1])
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


def _lstsq(left: torch.Tensor, right: torch.Tensor) -> Any:
    """The shape function looks at the rank; a CPU's usual driver returns no residuals."""
    *batch, _, columns = left.shape
    vector = right.ndim == left.ndim - 1
    solution = (*batch, columns) if vector else (*batch, columns, right.shape[-1])
    none = left.new_empty(0)
    rank = left.new_empty(tuple(batch), dtype=torch.long)
    return left.new_empty(solution), none, rank, left.new_empty(0)


def _ctc_loss(
    log_probs: torch.Tensor,
    targets: torch.Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int | None = None,
    reduction: int | None = None,
    zero_infinity: bool | None = None,
) -> Any:
    """The operator reads the lengths; how long labels are decides nothing about its result."""
    batch = tuple(log_probs.shape[1:-1])
    return log_probs.new_empty(batch if reduction == 0 else ())
