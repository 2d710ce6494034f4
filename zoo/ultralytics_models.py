"""YOLO and what else ultralytics builds from its YAML files, at their smallest scale."""

from __future__ import annotations

import torch
from ultralytics.nn import tasks

from zoo.case import Built, Case

#: By configuration: the class that builds it.
MODELS = {
    "yolov3-tinyu.yaml": "DetectionModel",
    "yolov5n.yaml": "DetectionModel",
    "yolov6n.yaml": "DetectionModel",
    "yolov8n.yaml": "DetectionModel",
    "yolov8n-cls.yaml": "ClassificationModel",
    "yolov8n-pose.yaml": "PoseModel",
    "yolov8n-seg.yaml": "SegmentationModel",
    "yolov8n-obb.yaml": "OBBModel",
    "yolov9t.yaml": "DetectionModel",
    "yolov10n.yaml": "DetectionModel",
    "yolo11n.yaml": "DetectionModel",
    "yolo12n.yaml": "DetectionModel",
    "rtdetr-l.yaml": "RTDETRDetectionModel",
}


def _build(name: str) -> Built:
    torch.manual_seed(0)
    module = getattr(tasks, MODELS[name])(name, verbose=False).eval()
    return Built(module, (torch.rand(1, 3, 160, 160),))


def cases() -> list[Case]:
    """Return a case for each configuration."""
    return [
        Case(f"ultralytics/{name.removesuffix('.yaml')}", lambda name=name: _build(name))
        for name in MODELS
    ]
