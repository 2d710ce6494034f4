"""Reading by a mask whose values are unknown: all elements are taken, where the user allows it.

How many elements ``x[mask]``, ``mask.nonzero()`` and ``x.masked_select(mask)`` return depends on
values. All of them is an upper bound, and what follows is charged for as many.
"""

from __future__ import annotations

from math import prod
from typing import Any, Final

import torch

_aten: Final = torch.ops.aten
#: Operators that read by a mask.
READS: Final = frozenset(
    {
        _aten.index.Tensor,
        _aten.masked_select.default,
        _aten.nonzero.default,
        # Composed of nonzero, and named where that fails.
        _aten.where.default,
        _aten.argwhere.default,
    }
)
WAY_OUT: Final = (
    "; or allow_masks=True (--allow-masks), which takes all elements where a mask selects some, an "
    "upper bound"
)
_NOTE: Final = "reading by a mask takes all elements, an upper bound ({places})"
#: Places that a note names.
_MOST_PLACES: Final = 3


def everything(func: Any, args: tuple[Any, ...]) -> Any:
    """What ``func`` returns if every element is selected, or NotImplemented for others.

    Called where the mode of the stand-ins is on.
    """
    if func is _aten.nonzero.default:
        (source,) = args
        return source.new_empty((prod(source.shape), source.ndim), dtype=torch.long)
    if func is _aten.masked_select.default:
        source, mask = args
        shape = torch.broadcast_shapes(source.shape, mask.shape)
        return source.new_empty((prod(shape),))
    if func is _aten.index.Tensor and any(map(_is_mask, args[1])):
        indices: list[torch.Tensor | None] = []
        source, given = args
        for index in given:
            if _is_mask(index):
                places = index.new_empty((prod(index.shape),), dtype=torch.long)
                indices += [places] * index.ndim
            else:
                indices.append(index)
        return func(source, indices)
    return NotImplemented


def note(places: list[str]) -> str:
    """What a workload says of masks that were read at ``places``."""
    named = list(dict.fromkeys(places))
    more = " and elsewhere" if len(named) > _MOST_PLACES else ""
    return _NOTE.format(places=", ".join(named[:_MOST_PLACES]) + more)


def _is_mask(index: torch.Tensor | None) -> bool:
    return index is not None and index.dtype in (torch.bool, torch.uint8)
