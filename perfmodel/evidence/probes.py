"""Microbenchmarks by name: one operator at one size, as a module and as a workload.

A name is a kind and its sizes: ``linear 64x1024x1024`` (rows, outputs, inputs), ``conv 1x64x56x56
to 64 by 3`` (input in NCHW, output channels, kernel; ``stride 2`` may follow), ``depthwise
1x96x56x56 by 3``, ``max_pool 1x64x112x112 by 3`` (stride 2), ``avg_pool 1x2048x7x7``, ``attention
12x196x64`` (heads, tokens, head size), ``layer_norm 196x768``, ``batch_norm 1x64x56x56``, ``relu``,
``gelu``, ``softmax``, ``add``, ``sum`` with a shape, and ``int_mm 256x1024x1024`` (rows, outputs,
inputs; INT8 to INT32).

Two are blocks of networks, where operators follow each other as they do in one, and launching them
costs what it costs there: ``bottleneck 1x256x14x14 to 64`` (a residual block of three convolutions,
its inner channels) and ``inverted_residual 1x40x14x14 to 240 by 5`` (a depthwise convolution and
squeeze-and-excitation between two pointwise ones). Two more are of transformers: ``feed_forward
197x768 to 3072`` (tokens, width, inner width) and ``encoder 197x768 by 12`` (tokens, width, heads).

What keeps its shape can follow itself: ``6 of encoder 197x768 by 12`` is six such blocks one after
the other, each with weights of its own, as they are within a network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from perfmodel.errors import MeasurementError

if TYPE_CHECKING:
    import torch

    from perfmodel.workload.workload import Workload

_NAME: Final = re.compile(
    r"((?P<layers>[1-9]\d*) of )?(?P<kind>\w+) (?P<shape>\d+(x\d+)*)"
    r"( to (?P<to>\d+))?( by (?P<by>\d+))?"
    r"( stride (?P<stride>\d+))?"
)
#: Kind -> how many sizes its shape has (0: any), and whether it takes "to" and "by".
_KINDS: Final = {
    "linear": (3, False, False),
    "conv": (4, True, True),
    "depthwise": (4, False, True),
    "attention": (3, False, False),
    "layer_norm": (2, False, False),
    "batch_norm": (4, False, False),
    "max_pool": (4, False, True),
    "avg_pool": (4, False, False),
    "relu": (0, False, False),
    "gelu": (0, False, False),
    "softmax": (2, False, False),
    "add": (0, False, False),
    "sum": (0, False, False),
    "int_mm": (3, False, False),
    "bottleneck": (4, True, False),
    "inverted_residual": (4, True, True),
    "feed_forward": (2, True, False),
    "encoder": (2, False, True),
}
#: Products of the largest microbenchmark: hours on any computer, and far from what 64 bits count.
LARGEST: Final = 10**16


@dataclass(frozen=True)
class Probe:
    """One microbenchmark.

    Attributes:
        layers: how often it follows itself.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    to: int = 0
    by: int = 0
    stride: int = 1
    layers: int = 1

    @property
    def keeps_shape(self) -> bool:
        """Whether the result is like the only operand, so that it can follow itself."""
        if self.kind == "linear":
            return self.shape[1] == self.shape[2]
        if self.kind == "conv":
            return self.shape[1] == self.to and self.stride == 1 and self.by % 2 == 1
        if self.kind == "depthwise":
            return self.stride == 1 and self.by % 2 == 1
        return self.kind in ("bottleneck", "inverted_residual", "feed_forward", "encoder")

    def of(self, layers: int) -> Probe:
        """Return as many of the same layer, one after the other."""
        name = self.name.rpartition(" of ")[2]
        return replace(self, name=f"{layers} of {name}", layers=layers)

    def module(self) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
        """The operator and its arguments, on the current default device, in FP32.

        ``int_mm`` is a linear layer here; :mod:`perfmodel.calibration.host.microbenchmarks` runs it
        as an integer product.
        """
        from torch import nn

        module, operands = self._layer()
        if self.layers > 1:
            more = (self._layer()[0] for _ in range(self.layers - 1))
            module = nn.Sequential(module, *more)
        return module, operands

    def _layer(self) -> tuple[torch.nn.Module, tuple[torch.Tensor, ...]]:
        import torch
        from torch import nn

        from perfmodel.evidence import blocks

        shape, kind = self.shape, self.kind
        if kind in ("linear", "int_mm"):
            rows, outputs, inputs = shape
            return nn.Linear(inputs, outputs, bias=False), (torch.randn(rows, inputs),)
        if kind in ("conv", "depthwise"):
            channels = shape[1]
            groups, out = (channels, channels) if kind == "depthwise" else (1, self.to)
            layer = nn.Conv2d(
                channels,
                out,
                self.by,
                stride=self.stride,
                padding=self.by // 2,
                groups=groups,
                bias=False,
            )
            return layer, (torch.randn(shape),)
        if kind == "attention":
            operands = tuple(torch.randn(1, *shape) for _ in range(3))
            return blocks.Function(nn.functional.scaled_dot_product_attention), operands
        if kind == "add":
            return blocks.Function(torch.add), (torch.randn(shape), torch.randn(shape))
        if kind == "bottleneck":
            return blocks.bottleneck(shape[1], self.to), (torch.randn(shape),)
        if kind == "inverted_residual":
            return blocks.inverted_residual(shape[1], self.to, self.by), (torch.randn(shape),)
        if kind == "feed_forward":
            return blocks.feed_forward(shape[1], self.to), (torch.randn(1, *shape),)
        if kind == "encoder":
            return blocks.Encoder(shape[1], self.by), (torch.randn(1, *shape),)
        if kind == "max_pool":
            pool = nn.MaxPool2d(self.by, stride=2, padding=(self.by - 1) // 2)
            return pool, (blocks.feature_map(shape),)
        makers: dict[str, Callable[[], nn.Module]] = {
            "layer_norm": lambda: nn.LayerNorm(shape[-1]),
            "batch_norm": lambda: nn.BatchNorm2d(shape[1]),
            "avg_pool": lambda: nn.AdaptiveAvgPool2d(1),
            "relu": nn.ReLU,
            "gelu": nn.GELU,
            "softmax": lambda: nn.Softmax(dim=-1),
            "sum": lambda: blocks.Function(torch.sum),
        }
        return makers[kind](), (torch.randn(shape),)

    def workload(self) -> Workload:
        """What it asks for."""
        return _workload(self)


@lru_cache(maxsize=256)
def _workload(probe: Probe) -> Workload:
    import torch

    from perfmodel.tracing.tracing import trace

    with torch.device("meta"):
        module, operands = probe.module()
    return trace(module.eval(), operands, name=probe.name, batch=1)


def probe(name: str) -> Probe:
    """The microbenchmark called ``name``.

    Raises:
        MeasurementError: it is none.
    """
    match = _NAME.fullmatch(name)
    kind = match["kind"] if match else ""
    if match is None or kind not in _KINDS:
        raise MeasurementError(
            f"probe {name!r}; expected a kind and its sizes, such as 'linear 64x1024x1024'; kinds "
            f"are {', '.join(_KINDS)}"
        )
    sizes, wants_to, wants_by = _KINDS[kind]
    shape = tuple(map(int, match["shape"].split("x")))
    fits = len(shape) == (sizes or len(shape)) and bool(match["to"]) == wants_to
    strided = match["stride"] is not None and kind not in ("conv", "depthwise")
    if not fits or strided or bool(match["by"]) != wants_by or 0 in shape:
        parts = [f"{sizes or 'any number of'} sizes"]
        parts += ["to N"] if wants_to else []
        parts += ["by N"] if wants_by else []
        raise MeasurementError(f"probe {name!r}; expected {kind} with {' '.join(parts)}")
    to, by, stride = (int(match[part] or 0) for part in ("to", "by", "stride"))
    work = math.prod(shape) * max(1, to) * max(1, by) ** 2
    if work > LARGEST:
        raise MeasurementError(
            f"probe {name!r}: {work:.1g} products; expected at most {LARGEST:.1g}"
        )
    found = Probe(name, kind, shape, to, by, max(1, stride), int(match["layers"] or 1))
    if found.layers > 1 and not found.keeps_shape:
        raise MeasurementError(f"probe {name!r}; only what keeps the shape can follow itself")
    if kind == "encoder" and shape[1] % by:
        raise MeasurementError(f"probe {name!r}; expected a width that {by} heads divide")
    return found
