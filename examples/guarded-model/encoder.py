"""A small text encoder: the model that this project ships, and whose latency it guards."""

from __future__ import annotations

import torch
from torch import nn

WIDTH = 256
HIDDEN = 1024
LAYERS = 4


class Layer(nn.Module):
    """Self-attention and a feed-forward network, each with a residual."""

    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.fc1, self.fc2 = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, tokens, _ = x.shape
        parts = self.qkv(self.norm1(x)).view(batch, tokens, 3, 8, WIDTH // 8)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind()
        attended = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, tokens, WIDTH))
        return x + self.fc2(nn.functional.gelu(self.fc1(self.norm2(x))))


class Encoder(nn.Module):
    """Embeds tokens, runs the layers, and pools."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(8192, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embedding(tokens)
        for layer in self.layers:
            x = layer(x)
        return x.mean(1)


def encoder() -> tuple[nn.Module, tuple[torch.Tensor]]:
    """Return the model and example inputs, without allocating a weight."""
    with torch.device("meta"):
        return Encoder(), (torch.zeros(1, 128, dtype=torch.int64),)
