"""What a saved workload is built from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

#: A module in eval mode, and its example inputs for one sample.
Made = tuple[torch.nn.Module, tuple[Any, ...]]


@dataclass(frozen=True)
class Recipe:
    """How one saved workload is made.

    Attributes:
        make: builds the module and example inputs of one sample, on the meta device.
        sizes: named axes of the inputs, as ``perfmodel.trace_parametric`` takes them; none for a
            trace at one sample.
        allow_unmodelled: operators without a formula are charged for their bytes.
        kwargs: of the forward.
    """

    make: Callable[[], Made]
    sizes: tuple[str, ...] | None = ("batch",)
    allow_unmodelled: bool = False
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def image(*shape: int) -> tuple[torch.Tensor]:
    """One image of ``shape`` (channels, height, width), without contents."""
    return (torch.empty(1, *shape, device="meta"),)
