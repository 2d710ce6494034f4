"""What a trace takes for granted of values: tokens spread evenly over the experts of a mixture.

A router scores E experts for each token and takes the k best. Which ones depends on values; that
there are k of E does not. So the indices it returns are given values: choice j of token t is expert
(k t + j) modulo E. Of E experts the first min(E, k * tokens) run, each on as many rows as the next,
give or take one, as in the zoo's Mixtral. Masks, counts and sizes that a model computes from them
are then known, too: a loop over experts, a list of their rows, ``torch.where(index == expert)``.

A router may choose one after the other: the largest score, then the largest of those that are left
once ``scatter`` has taken the first away. Then choice j of token t is expert (j * tokens + t)
modulo E, which spreads as evenly.
"""

from __future__ import annotations

from typing import Any, Final

import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

#: The name under which reading such values is noted.
NAME: Final = "the router's choice"
RULE: Final = "routing to experts is assumed even, so min(E, k x tokens) of E experts run"
#: More choices than this are those of something else, as of a vocabulary.
MOST_EXPERTS: Final = 1024
#: Elements of what is computed from them, at most: a mask of tokens, choices and experts.
MOST_ELEMENTS: Final = 33_554_432

_aten: Final = torch.ops.aten


def take_away(func: Any, args: tuple[Any, ...], result: Any) -> None:
    """Note on ``result`` how many of the scores in each row have been chosen and taken away."""
    if func in (_aten.scatter.value, _aten.scatter_.value) and NAME in _names(args[2]):
        result._perfmodel_taken = _taken(args[0]) + args[2].shape[-1]


def _names(tensor: torch.Tensor) -> frozenset[str]:
    return getattr(tensor, "_perfmodel_names", frozenset())


def _taken(scores: torch.Tensor) -> int:
    return getattr(scores, "_perfmodel_taken", 0)


def choices(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
    """The position of indices among the results of a router's operator, and their values, or None.

    A router's operator takes the largest along the last dimension of floating-point scores.
    """
    if func is _aten.topk.default or func is _aten.max.dim:
        index, position = result[1], 1
    elif func is _aten.argmax.default:
        index, position = result, None
    else:
        return None
    scores = args[0]
    dim = _dim(func, args, kwargs)
    if dim is None or not scores.ndim or dim % scores.ndim != scores.ndim - 1:
        return None
    if not scores.is_floating_point() or not 1 < scores.shape[-1] <= MOST_EXPERTS:
        return None
    if any(not isinstance(size, int) for size in (*scores.shape, *index.shape)):
        return None
    with unset_fake_temporarily():
        places = torch.arange(index.numel()) + index.numel() * _taken(scores)
        even = places.remainder(scores.shape[-1]).reshape(index.shape)
    return position, even


def _dim(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int | None:
    place = 2 if func is _aten.topk.default else 1
    dim = args[place] if len(args) > place else kwargs.get("dim")
    if dim is None and func is _aten.topk.default:
        return -1
    return dim if isinstance(dim, int) else None
