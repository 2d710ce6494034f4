"""A case: how to build a small model of a public library, and what to call it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch


@dataclass(frozen=True)
class Built:
    """A module in eval mode on the CPU, and the arguments of its forward."""

    module: torch.nn.Module
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    allow_masks: bool = False


@dataclass(frozen=True)
class Case:
    """One model of a library, by a name such as ``timm/vit_tiny_patch16_224``."""

    name: str
    build: Callable[[], Built]
