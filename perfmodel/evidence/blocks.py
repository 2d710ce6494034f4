"""Modules that microbenchmarks run: blocks of networks, and functions as modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn


class Residual(nn.Module):  # type: ignore[misc]
    """A body whose input is added to its result."""

    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` plus the body of it, of the same shape."""
        return x + self.body(x)


class Squeeze(nn.Module):  # type: ignore[misc]
    """Squeeze-and-excitation (Hu et al., arXiv:1709.01507): each channel times a weight of it."""

    def __init__(self, channels: int, inner: int) -> None:
        super().__init__()
        self.weight = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, inner, 1),
            nn.ReLU(inplace=True),
            nn.Conv2d(inner, channels, 1),
            nn.Hardsigmoid(),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` weighted, of the same shape."""
        return x * self.weight(x)


class Function(nn.Module):  # type: ignore[misc]
    """A function of tensors."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = function

    def forward(self, *operands: torch.Tensor) -> Any:
        """What the function makes of the operands."""
        return self.function(*operands)


class Encoder(nn.Module):  # type: ignore[misc]
    """A layer of a transformer's encoder, norms first (Xiong et al., arXiv:2002.04745)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.rest = feed_forward(width, 4 * width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Tokens (1, tokens, width) with what they tell each other, of the same shape."""
        normed = self.first(x)
        query, key, value = (
            part(normed).view(1, x.shape[1], self.heads, -1).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        mixed = nn.functional.scaled_dot_product_attention(query, key, value)
        x = x + self.out(mixed.transpose(1, 2).reshape(x.shape))
        return x + self.rest(self.second(x))


def feed_forward(width: int, inner: int) -> nn.Module:
    """The two linear layers of a transformer's block, with GELU between them."""
    return nn.Sequential(nn.Linear(width, inner), nn.GELU(), nn.Linear(inner, width))


def bottleneck(channels: int, inner: int) -> nn.Module:
    """The residual block of ResNet-50 (He et al., arXiv:1512.03385) at stride 1."""
    return nn.Sequential(
        Residual(
            *_convolution(channels, inner, 1),
            nn.ReLU(inplace=True),
            *_convolution(inner, inner, 3),
            nn.ReLU(inplace=True),
            *_convolution(inner, channels, 1),
        ),
        nn.ReLU(inplace=True),
    )


def inverted_residual(channels: int, inner: int, kernel: int) -> nn.Module:
    """The block of MobileNetV3 (Howard et al., arXiv:1905.02244) at stride 1."""
    return Residual(
        *_convolution(channels, inner, 1),
        nn.Hardswish(inplace=True),
        *_convolution(inner, inner, kernel, groups=inner),
        nn.Hardswish(inplace=True),
        Squeeze(inner, max(1, inner // 4)),
        *_convolution(inner, channels, 1),
    )


def _convolution(
    channels: int, to: int, kernel: int, groups: int = 1
) -> tuple[nn.Module, nn.Module]:
    layer = nn.Conv2d(channels, to, kernel, padding=kernel // 2, groups=groups, bias=False)
    return layer, nn.BatchNorm2d(to)


def feature_map(shape: tuple[int, ...]) -> torch.Tensor:
    """Activations of NCHW ``shape`` whose neighbours are alike and half of which are 0.

    What a maximum costs depends on them: on noise, branch prediction fails.
    """
    coarse = torch.randn(*shape[:2], -(-shape[2] // 4), -(-shape[3] // 4))
    fine = nn.functional.interpolate(coarse, size=shape[2:], mode="bilinear")
    return nn.functional.relu(fine)
