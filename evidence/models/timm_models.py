"""Networks of timm (pytorch-image-models), built from its registry without weights.

They are those of the timm suite of the TorchInductor dashboard, of torchbench (which takes them
from timm), and of timm's own benchmark files. A network that is the same in torchvision is not
repeated here at the resolution it has there.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import torch

from evidence.recipe import Made, Recipe, image
from perfmodel.models._torchvision import import_torchvision


def network(name: str, pixels: int, **options: Any) -> Made:
    """Return the network ``name`` of timm for square images of ``pixels``."""
    import_torchvision()
    import timm

    with torch.device("meta"):
        module = timm.create_model(name, pretrained=False, **options)
    return module.to("meta").eval(), image(3, pixels, pixels)


def resized(name: str, pixels: int) -> Made:
    """Return the convolutional network ``name`` of torchvision for other images than its own."""
    torchvision = import_torchvision()
    with torch.device("meta"):
        module = torchvision.models.get_model(name, weights=None)
    return module.to("meta").eval(), image(3, pixels, pixels)


#: Networks at the one resolution they are measured at, and whether at one sample only.
_TIMM: Final = {
    "vit_small_patch16_224": (224, False),
    "vit_base_patch16_224": (224, False),
    "vit_large_patch16_224": (224, True),
    "vit_giant_patch14_224": (224, False),
    "deit_base_distilled_patch16_224": (224, False),
    "beit_base_patch16_224": (224, False),
    "swin_base_patch4_window7_224": (224, False),
    "convnext_base": (224, False),
    "cait_m36_384": (384, False),
    "dpn107": (224, False),
    "regnety_120": (224, False),
    "dm_nfnet_f0": (192, True),
    "eca_botnext26ts_256": (256, True),
}
#: Convolutional networks of timm at several resolutions, one sample.
_RESIZED_TIMM: Final = {
    "convnext_tiny": (224, 288, 384),
    "convnext_base": (256, 288, 320, 384),
    "efficientnet_b4": (384,),
    "tf_efficientnetv2_s": (300, 384),
}
#: The same, of networks that timm and torchvision share.
_RESIZED: Final = {
    "resnet18": (288,),
    "resnet50": (160, 176, 288),
    "resnet152": (160, 176, 288),
    "resnext50_32x4d": (288,),
    "densenet121": (288,),
}

RECIPES: Final = {
    **{
        name: Recipe(partial(network, name, pixels), None if single else ("batch",))
        for name, (pixels, single) in _TIMM.items()
    },
    **{
        f"{name}_{pixels}": Recipe(partial(network, name, pixels), None)
        for name, sizes in _RESIZED_TIMM.items()
        for pixels in sizes
    },
    **{
        f"{name}_{pixels}": Recipe(partial(resized, name, pixels), None)
        for name, sizes in _RESIZED.items()
        for pixels in sizes
    },
}
