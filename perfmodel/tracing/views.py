"""What the values in a graph are: their tensors, and which elements of its storage a view holds.

A size may be a symbol (``torch.SymInt``), and what is computed from it is one, too, then.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

#: A part of a storage: its first element and how many there are.
Block = tuple[int, int]


def values_of(argument: Any) -> Any:
    """An argument of a node with each node in it replaced by the value it stands for."""
    if isinstance(argument, fx.Node):
        return argument.meta.get("val")
    if isinstance(argument, list | tuple):
        return [values_of(item) for item in argument]
    return argument


def tensors_in(value: Any) -> Iterator[torch.Tensor]:
    """The tensors in a value, also those in lists and tuples."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)


def view_of(value: torch.Tensor) -> tuple[object, ...]:
    """What tells views apart: the storage, and which of its elements they hold, as a key."""
    offset: Any = value.storage_offset()
    if is_unknown(offset):  # a row chosen by a value: which one costs the same
        offset = None
    places = (offset, *value.shape, *value.stride())
    if any(isinstance(place, torch.SymInt) for place in places):
        # A symbol cannot be looked up in a dict, its expression can.
        places = tuple(getattr(getattr(place, "node", place), "expr", place) for place in places)
    return (value.untyped_storage()._cdata, *places)


def block_of(value: torch.Tensor) -> Block | None:
    """First element and number of elements of a view without gaps; None of any other."""
    places = (value.storage_offset(), value.numel())
    if not value.is_contiguous() or not all(isinstance(place, int) for place in places):
        return None
    return places


def distinct(value: torch.Tensor) -> int:
    """Elements of ``value``, those along a dimension of stride 0 counted once."""
    elements = 1
    for size, stride in zip(value.shape, value.stride(), strict=True):
        if stride != 0 or size == 0:
            elements *= size
    return elements


def is_unknown(size: object) -> bool:
    """Whether a size depends on values; other symbols are named dimensions."""
    return isinstance(size, torch.SymInt) and bool(free_unbacked_symbols(size))


def least(left: Any, right: Any) -> Any:
    """The smaller one, of symbols by an expression: which one it is may differ by size."""
    if isinstance(left, torch.SymInt) or isinstance(right, torch.SymInt):
        return torch.sym_min(left, right)
    return min(left, right)
