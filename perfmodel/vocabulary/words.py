"""The closed words of a run: each list is spelt here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, get_args

from perfmodel.errors import UnknownName

#: The same model again and again, or its first run with nothing in the caches.
State: TypeAlias = Literal["steady", "cold"]
#: Of a model that generates tokens: the prompt at once, or one token with a KV cache.
Phase: TypeAlias = Literal["prefill", "decode"]
#: Whether instances hold their weights each on their own, as processes do, or all the same ones, as
#: threads of one process do.
Weights: TypeAlias = Literal["separate", "shared"]
#: perfmodel's own method, and the comparison of 2025-10-24.
Method: TypeAlias = Literal["roofline", "published"]
#: What FPS/W are over: the vendor's rating, or the power model.
PowerBasis: TypeAlias = Literal["tdp", "modelled"]

STATES: Final[tuple[str, ...]] = get_args(State)
PHASES: Final[tuple[str, ...]] = get_args(Phase)
WEIGHTS: Final[tuple[str, ...]] = get_args(Weights)
METHODS: Final[tuple[str, ...]] = get_args(Method)
POWER_BASES: Final[tuple[str, ...]] = get_args(PowerBasis)


def check(kind: str, word: str, words: Iterable[str]) -> None:
    """Raise :class:`UnknownName`, which suggests the nearest, unless ``word`` is one of ``words``.

    Args:
        kind: what the word says, as the message has it.
    """
    if word not in words:
        raise UnknownName(kind, word, words)
