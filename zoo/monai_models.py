"""Networks of MONAI for medical images."""

from __future__ import annotations

from typing import Any

import torch
from monai.networks import nets

from zoo.case import Built, Case

_2D = {"spatial_dims": 2, "in_channels": 1}
_3D = {"spatial_dims": 3, "in_channels": 1}
#: By class: its arguments, and the shape of its input.
MODELS: dict[str, tuple[dict[str, Any], tuple[int, ...]]] = {
    "UNet": (
        {**_3D, "out_channels": 2, "channels": (8, 16, 32), "strides": (2, 2), "num_res_units": 1},
        (1, 1, 32, 32, 32),
    ),
    "BasicUNet": (
        {**_3D, "out_channels": 2, "features": (8, 8, 16, 16, 32, 8)},
        (1, 1, 32, 32, 32),
    ),
    "BasicUNetPlusPlus": (
        {**_2D, "out_channels": 2, "features": (8, 8, 16, 16, 32, 8)},
        (1, 1, 64, 64),
    ),
    "AttentionUnet": (
        {**_2D, "out_channels": 2, "channels": (8, 16, 32), "strides": (2, 2)},
        (1, 1, 64, 64),
    ),
    "DynUNet": (
        {
            **_2D,
            "out_channels": 2,
            "kernel_size": [3, 3, 3],
            "strides": [1, 2, 2],
            "upsample_kernel_size": [2, 2],
            "filters": [8, 16, 32],
        },
        (1, 1, 64, 64),
    ),
    "SegResNet": ({**_3D, "out_channels": 2, "init_filters": 8}, (1, 1, 32, 32, 32)),
    "SegResNetDS": ({**_3D, "out_channels": 2, "init_filters": 8}, (1, 1, 32, 32, 32)),
    "VNet": ({**_3D, "out_channels": 2}, (1, 1, 32, 32, 32)),
    "HighResNet": ({**_3D, "out_channels": 2}, (1, 1, 16, 16, 16)),
    "UNETR": (
        {
            "in_channels": 1,
            "out_channels": 2,
            "img_size": 32,
            "feature_size": 8,
            "hidden_size": 48,
            "mlp_dim": 96,
            "num_heads": 4,
        },
        (1, 1, 32, 32, 32),
    ),
    "SwinUNETR": ({"in_channels": 1, "out_channels": 2, "feature_size": 12}, (1, 1, 64, 64, 64)),
    "ViT": (
        {
            "in_channels": 1,
            "img_size": 32,
            "patch_size": 16,
            "hidden_size": 48,
            "mlp_dim": 96,
            "num_layers": 2,
            "num_heads": 4,
            "classification": True,
        },
        (1, 1, 32, 32, 32),
    ),
    "DenseNet121": ({**_2D, "out_channels": 2}, (1, 1, 64, 64)),
    "SEResNet50": ({**_2D, "num_classes": 2}, (1, 1, 64, 64)),
    "ResNet": (
        {
            "block": "basic",
            "layers": [1, 1, 1, 1],
            "block_inplanes": [8, 16, 32, 64],
            "spatial_dims": 3,
            "n_input_channels": 1,
        },
        (1, 1, 32, 32, 32),
    ),
    "EfficientNetBN": (
        {"model_name": "efficientnet-b0", "spatial_dims": 2, "in_channels": 1, "pretrained": False},
        (1, 1, 64, 64),
    ),
    "FlexibleUNet": (
        {"in_channels": 1, "out_channels": 2, "backbone": "efficientnet-b0", "spatial_dims": 2},
        (1, 1, 64, 64),
    ),
    "AutoEncoder": (
        {**_2D, "out_channels": 1, "channels": (8, 16), "strides": (2, 2)},
        (1, 1, 64, 64),
    ),
    "VarAutoEncoder": (
        {
            "spatial_dims": 2,
            "in_shape": (1, 32, 32),
            "out_channels": 1,
            "latent_size": 4,
            "channels": (8, 16),
            "strides": (2, 2),
        },
        (1, 1, 32, 32),
    ),
    "MILModel": ({"num_classes": 2, "mil_mode": "att", "pretrained": False}, (1, 2, 3, 64, 64)),
}


def _build(name: str) -> Built:
    options, shape = MODELS[name]
    torch.manual_seed(0)
    return Built(getattr(nets, name)(**options).eval(), (torch.randn(shape),))


def cases() -> list[Case]:
    """Return a case for each network."""
    return [Case(f"monai/{name}", lambda name=name: _build(name)) for name in MODELS]
