"""Networks measured on Arm servers: MobileNetV1, EfficientNet-Lite, and a perceptron."""

from __future__ import annotations

from functools import partial
from typing import Final

import torch
from torch import nn

from evidence.models.convolutional import MobileNetV1
from evidence.models.openvino_models import on_meta
from evidence.models.timm_models import network
from evidence.recipe import Made, Recipe


def perceptron() -> Made:
    """Return the three linear layers of PyTorch's recipe of inference on Graviton."""
    with torch.device("meta"):
        module = nn.Sequential(
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, 11008),
            nn.ReLU(),
            nn.Linear(11008, 10),
            nn.ReLU(),
        )
    return module.eval(), (torch.empty(1, 4096, device="meta"),)


_MOBILENETS: Final = {"": (1.0, (128, 160)), "_075": (0.75, (224,))}
_LITE: Final = {1: 240, 3: 280, 4: 300}

RECIPES: Final = {
    "mlp_4096_11008": Recipe(perceptron),
    **{
        f"mobilenet_v1{name}_{pixels}": Recipe(
            partial(on_meta, partial(MobileNetV1, width), pixels, pixels), None
        )
        for name, (width, sizes) in _MOBILENETS.items()
        for pixels in sizes
    },
    **{
        f"efficientnet_lite{size}_{pixels}": Recipe(
            partial(network, f"tf_efficientnet_lite{size}", pixels), None
        )
        for size, pixels in _LITE.items()
    },
}
