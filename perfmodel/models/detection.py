"""Detection models, cut where the data begin to decide.

How many boxes survive, and which features are pooled for them, depends on the image. What comes
before, and what is done for each box that survives, is dense and of known size: that is modelled.

* One stage (RetinaNet, FCOS, SSD): backbone with its pyramid, and the heads on every level.
* Two stages (Faster, Mask and Keypoint R-CNN): backbone with its pyramid, the head that proposes
  regions, then the box head on features of the regions, and the mask or keypoint head on those of
  the detections. Both kinds of features, pooled already, are inputs: their number is an assumption.

Not modelled: resizing and normalising the image, anchors, decoding of boxes, selection and
non-maximum suppression, and the pooling of regions (RoIAlign).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def dense_part(detector: torch.nn.Module, boundary: str) -> torch.nn.Module:
    """What is modelled of a torchvision detector; its parts keep their names and parameters.

    ``boundary`` says in words what that is: every estimate repeats it.
    """
    part = TwoStage(detector) if hasattr(detector, "roi_heads") else OneStage(detector)
    part.perfmodel_boundary = boundary
    return part


class OneStage(torch.nn.Module):  # type: ignore[misc]  # torch is Any to mypy
    """Backbone and heads of a detector that looks at every position once."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone = detector.backbone
        self.head = detector.head

    def forward(self, image: torch.Tensor) -> Any:
        """What the heads say of every position of an image, shape (N, 3, H, W)."""
        return self.head(_levels(self.backbone(image)))


class TwoStage(torch.nn.Module):  # type: ignore[misc]  # torch is Any to mypy
    """Both stages of a region-based detector, without the selection of regions between them."""

    def __init__(self, detector: Any) -> None:
        super().__init__()
        self.backbone = detector.backbone
        self.rpn = detector.rpn
        self.roi_heads = detector.roi_heads

    def forward(
        self,
        image: torch.Tensor,
        regions: torch.Tensor,
        detections: torch.Tensor | None = None,
    ) -> list[Any]:
        """What the heads say of every position, every region and every detection.

        Args:
            image: shape (N, 3, H, W).
            regions: features pooled for the boxes, shape (N, R, C, h, w).
            detections: features pooled for masks or keypoints, shape (N, D, C, h, w).
        """
        heads = self.roi_heads
        results = [
            self.rpn.head(_levels(self.backbone(image))),
            heads.box_predictor(heads.box_head(regions.flatten(0, 1))),
        ]
        if detections is not None:
            features = detections.flatten(0, 1)
            if heads.has_mask():
                results.append(heads.mask_predictor(heads.mask_head(features)))
            if heads.has_keypoint():
                results.append(heads.keypoint_predictor(heads.keypoint_head(features)))
        return results


def _levels(features: torch.Tensor | Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    """The levels of a feature pyramid; a backbone without one has a single level."""
    return [features] if isinstance(features, torch.Tensor) else list(features.values())
