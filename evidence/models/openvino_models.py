"""Networks of OpenVINO's benchmark pages: detectors and segmenters of its Open Model Zoo.

Input sizes are those of docs/articles_en/about-openvino/performance-benchmarks of
github.com/openvinotoolkit/openvino; operations and parameters to check them by are those of the
README of each network in github.com/openvinotoolkit/open_model_zoo.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

import torch
from torch import nn

from evidence.models import convolutional
from evidence.models.torchbench import UNet
from evidence.recipe import Made, Recipe, image
from perfmodel.models._torchvision import import_torchvision


def on_meta(network: Callable[[], nn.Module], *size: int) -> Made:
    """Return what ``network`` makes, and one image of ``size`` (height, width)."""
    with torch.device("meta"):
        return network().eval(), image(3, *size)


def ssd_resnet34() -> nn.Module:
    """Return SSD-ResNet34 of MLPerf."""
    torchvision = import_torchvision()
    return convolutional.SsdResNet34(torchvision.models.get_model("resnet34", weights=None))


def efficientdet() -> Made:
    """Return EfficientDet-D0 without anchors and suppression, from the package effdet."""
    import_torchvision()
    import effdet

    config = effdet.get_efficientdet_config("tf_efficientdet_d0")
    with torch.device("meta"):
        module = effdet.EfficientDet(config, pretrained_backbone=False)
    return module.to("meta").eval(), image(3, 512, 512)


RECIPES: Final = {
    "efficientdet_d0": Recipe(efficientdet, None),
    "ssd_mobilenet_v1_300": Recipe(partial(on_meta, convolutional.SsdMobileNet, 300, 300), None),
    "ssd_resnet34_1200": Recipe(partial(on_meta, ssd_resnet34, 1200, 1200)),
    "yolo_v8n_608": Recipe(partial(on_meta, convolutional.YoloV8, 608, 608), None),
    "yolo_v3_416": Recipe(partial(on_meta, convolutional.YoloV3, 416, 416), None),
    "yolo_v3_spp_384x512": Recipe(
        partial(on_meta, partial(convolutional.YoloV3, pyramid=True), 384, 512)
    ),
    "unet_camvid_368x480": Recipe(
        partial(on_meta, partial(UNet, 3, 12, bilinear=False), 368, 480), None
    ),
}
