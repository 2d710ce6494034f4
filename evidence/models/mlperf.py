"""RetinaNet of MLPerf: ResNeXt-50 32x4d with a feature pyramid, 264 classes of OpenImages."""

from __future__ import annotations

from typing import Final

import torch

from evidence.recipe import Made, Recipe, image
from perfmodel.models._torchvision import import_torchvision
from perfmodel.models.detection import dense_part


def retinanet() -> Made:
    """Return its backbone and heads at 800 pixels."""
    torchvision = import_torchvision()
    detection = torchvision.models.detection
    with torch.device("meta"):
        backbone = detection.backbone_utils.resnet_fpn_backbone(
            backbone_name="resnext50_32x4d",
            weights=None,
            returned_layers=[2, 3, 4],
            extra_blocks=torchvision.ops.feature_pyramid_network.LastLevelP6P7(256, 256),
        )
        module = detection.RetinaNet(backbone, num_classes=264)
    return dense_part(module, "").to("meta").eval(), image(3, 800, 800)


RECIPES: Final = {"retinanet_resnext50_800": Recipe(retinanet)}
