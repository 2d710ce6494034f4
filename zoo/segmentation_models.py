"""Decoders of segmentation_models_pytorch, each on a small encoder."""

from __future__ import annotations

import segmentation_models_pytorch as smp
import torch

from zoo.case import Built, Case

MODELS = (
    "Unet",
    "UnetPlusPlus",
    "MAnet",
    "Linknet",
    "FPN",
    "PSPNet",
    "PAN",
    "DeepLabV3",
    "DeepLabV3Plus",
    "UPerNet",
    "Segformer",
    "DPT",
)


def _build(name: str) -> Built:
    torch.manual_seed(0)
    encoder = "tu-vit_tiny_patch16_224" if name == "DPT" else "resnet18"
    module = getattr(smp, name)(encoder, encoder_weights=None, classes=4).eval()
    size = 224 if name == "DPT" else 128
    return Built(module, (torch.randn(1, 3, size, size),))


def cases() -> list[Case]:
    """Return a case for each decoder."""
    return [Case(f"segmentation_models/{name}", lambda name=name: _build(name)) for name in MODELS]
