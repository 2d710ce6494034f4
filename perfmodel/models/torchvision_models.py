"""torchvision's models by name: the input each is traced with, how it is built, what is modelled.

The names stand here, so that one can be resolved, suggested and found in the cache without
importing torch. They are those of ``torchvision.models.list_models()`` in the release that
pyproject.toml asks for; a conformance test holds the two equal.

The input of a model is the one torchvision states its operation count (``_ops``) for, which is the
crop of its weights' preset. Where weights exist for several sizes it is the one the constructor
builds for, 224 pixels: ``vit_h_14`` takes 518 and ``regnet_y_128gf`` 384 pixels with weights that
were fine-tuned end to end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from perfmodel.models.spec import ModelInput, ModelSpec, Run

if TYPE_CHECKING:
    import torch

CLASSIFICATION: Final = "image classification"
SEGMENTATION: Final = "semantic segmentation"
VIDEO: Final = "video classification"
OPTICAL_FLOW: Final = "optical flow"
DETECTION: Final = "object detection"

#: Classifiers of square images of 224 pixels.
_OF_224: Final = (
    "alexnet convnext_tiny convnext_small convnext_base convnext_large densenet121 densenet161 "
    "densenet169 densenet201 efficientnet_b0 googlenet maxvit_t mnasnet0_5 mnasnet0_75 mnasnet1_0 "
    "mnasnet1_3 mobilenet_v2 mobilenet_v3_large mobilenet_v3_small regnet_x_400mf regnet_x_800mf "
    "regnet_x_1_6gf regnet_x_3_2gf regnet_x_8gf regnet_x_16gf regnet_x_32gf regnet_y_400mf "
    "regnet_y_800mf regnet_y_1_6gf regnet_y_3_2gf regnet_y_8gf regnet_y_16gf regnet_y_32gf "
    "regnet_y_128gf resnet18 resnet34 resnet50 resnet101 resnet152 resnext50_32x4d "
    "resnext101_32x8d resnext101_64x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 "
    "shufflenet_v2_x2_0 squeezenet1_0 squeezenet1_1 swin_t swin_s swin_b vgg11 vgg11_bn vgg13 "
    "vgg13_bn vgg16 vgg16_bn vgg19 vgg19_bn vit_b_16 vit_b_32 vit_l_16 vit_l_32 vit_h_14 "
    "wide_resnet50_2 wide_resnet101_2"
)
_PIXELS: Final = {
    **dict.fromkeys(_OF_224.split(), 224),
    "efficientnet_b1": 240,
    "efficientnet_b2": 288,
    "efficientnet_b3": 300,
    "efficientnet_b4": 380,
    "efficientnet_b5": 456,
    "efficientnet_b6": 528,
    "efficientnet_b7": 600,
    "efficientnet_v2_s": 384,
    "efficientnet_v2_m": 480,
    "efficientnet_v2_l": 480,
    "inception_v3": 299,
    "swin_v2_t": 256,
    "swin_v2_s": 256,
    "swin_v2_b": 256,
}
#: Models of torchvision.models.quantization: the classifier of the same name, which is traced.
_QUANTIZED: Final = (
    "googlenet inception_v3 mobilenet_v2 mobilenet_v3_large resnet18 resnet50 resnext101_32x8d "
    "resnext101_64x4d shufflenet_v2_x0_5 shufflenet_v2_x1_0 shufflenet_v2_x1_5 shufflenet_v2_x2_0"
)
_SEGMENTERS: Final = (
    "deeplabv3_mobilenet_v3_large deeplabv3_resnet50 deeplabv3_resnet101 fcn_resnet50 "
    "fcn_resnet101 lraspp_mobilenet_v3_large"
)
#: Square pixels of one frame.
_VIDEO: Final = {
    **dict.fromkeys(("mc3_18", "r2plus1d_18", "r3d_18"), 112),
    **dict.fromkeys(("mvit_v1_b", "mvit_v2_s", "s3d", "swin3d_t", "swin3d_s", "swin3d_b"), 224),
}
#: Frames of a clip torchvision counts operations for; the Swin and S3D presets read longer ones.
FRAMES: Final = 16
_OPTICAL_FLOW: Final = ("raft_large", "raft_small")

# The region-based detectors: pixels of the image, and regions that the second stage is run on, as
# many as the first one passes on (rpn_post_nms_top_n_test).
_TWO_STAGE: Final = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": (320, 150),
    "fasterrcnn_mobilenet_v3_large_fpn": (800, 1000),
    "fasterrcnn_resnet50_fpn": (800, 1000),
    "fasterrcnn_resnet50_fpn_v2": (800, 1000),
    "keypointrcnn_resnet50_fpn": (800, 1000),
    "maskrcnn_resnet50_fpn": (800, 1000),
    "maskrcnn_resnet50_fpn_v2": (800, 1000),
}
_ONE_STAGE: Final = {
    "fcos_resnet50_fpn": 800,
    "retinanet_resnet50_fpn": 800,
    "retinanet_resnet50_fpn_v2": 800,
    "ssd300_vgg16": 300,
    "ssdlite320_mobilenet_v3_large": 320,
}
#: Detections of an image that masks or keypoints are found for (box_detections_per_img).
DETECTIONS: Final = 100

_NOT_MODELLED: Final = (
    "cut where the data decide: not modelled are resizing and normalising the image, anchors, "
    "decoding of boxes, and non-maximum suppression"
)
_ONE_STAGE_NOTE: Final = f"backbone and heads; {_NOT_MODELLED}"
_TWO_STAGE_NOTE: Final = (
    "backbone, region proposal head, and box head on {regions} regions, as many as may be passed "
    "on{second}; " + _NOT_MODELLED + ", and pooling of the regions from the features"
)
_AUXILIARY: Final = (
    "without the auxiliary classifier, which serves training only but is counted in torchvision's "
    "own table"
)

#: Those that perfmodel lists and tests in every run, with their usual names.
_TITLES: Final = {
    "resnet50": "ResNet-50",
    "deeplabv3_resnet50": "DeepLabV3-ResNet50",
    "vit_b_16": "ViT-B/16",
    "vit_l_16": "ViT-L/16",
    "convnext_large": "ConvNeXt-Large",
    "vit_h_14": "ViT-H/14",
    "swin_v2_b": "Swin V2-B",
    "efficientnet_b0": "EfficientNet-B0",
    "efficientnet_v2_s": "EfficientNetV2-S",
    "mobilenet_v2": "MobileNetV2",
    "mobilenet_v3_large": "MobileNetV3-Large",
    "regnet_y_16gf": "RegNetY-16GF",
    "fcn_resnet50": "FCN-ResNet50",
    "lraspp_mobilenet_v3_large": "LR-ASPP-MobileNetV3-Large",
    "r3d_18": "ResNet3D-18",
    "mvit_v2_s": "MViTv2-S",
    "fasterrcnn_resnet50_fpn": "Faster R-CNN-ResNet50-FPN",
    "retinanet_resnet50_fpn": "RetinaNet-ResNet50-FPN",
}
LISTED: Final = tuple(_TITLES)


def _image(pixels: int, name: str = "image") -> ModelInput:
    return ModelInput(name, (3, pixels, pixels))


def _spec(
    name: str,
    task: str,
    *inputs: ModelInput,
    notes: str = "",
    detector: bool = False,
    **options: Any,
) -> ModelSpec:
    """The spec of ``torchvision.models.get_model(name, weights=None, **options)``."""

    def build(run: Run) -> torch.nn.Module:
        from perfmodel.models._torchvision import build_model

        module = build_model(name, **options)
        if not detector:
            return module
        from perfmodel.models.detection import dense_part

        return dense_part(module, notes)

    return ModelSpec(
        name=name,
        title=_TITLES.get(name, name),
        task=task,
        inputs=inputs,
        library="torchvision",
        build=build,
        notes=notes,
    )


def _classifier(name: str, pixels: int, **options: Any) -> ModelSpec:
    if name.endswith(("googlenet", "inception_v3")):
        # Their initialisation takes minutes on a CPU, and announces it; on meta it is nothing.
        options["init_weights"] = False
    if name.endswith("googlenet"):
        options["aux_logits"] = False  # as the table counts it; inception_v3 with them, likewise
    return _spec(name, CLASSIFICATION, _image(pixels), **options)


def _quantized(name: str) -> ModelSpec:
    spec = _classifier(f"quantized_{name}", _PIXELS[name])
    notes = "traced in floating point: the precision of an estimate decides in what it runs"
    return replace(spec, notes=notes)


def _segmenter(name: str) -> ModelSpec:
    # 512 pixels: the size of the published comparison. torchvision counts its models at 520.
    pixels = 512 if name == "deeplabv3_resnet50" else 520
    notes = "" if name.startswith("lraspp") else _AUXILIARY
    if name == "deeplabv3_resnet50":
        notes += " (42.0 M parameters there, 39.6 M here)"
    return _spec(name, SEGMENTATION, _image(pixels), notes=notes, weights_backbone=None)


def _video(name: str, pixels: int) -> ModelSpec:
    clip = ModelInput("clip", (3, FRAMES, pixels, pixels))
    return _spec(name, VIDEO, clip, notes=f"a clip of {FRAMES} frames")


def _optical_flow(name: str) -> ModelSpec:
    images = (_image(512, "first"), _image(512, "second"))
    return _spec(name, OPTICAL_FLOW, *images, notes="12 updates of the flow, the default")


def _two_stage(name: str, pixels: int, regions: int) -> ModelSpec:
    # All pool 256 channels: 7x7 positions of a region for its box, 14x14 for a mask or keypoints.
    inputs = [_image(pixels), ModelInput("regions", (regions, 256, 7, 7))]
    second = ""
    for kind, word in (("mask", "masks"), ("keypoint", "keypoints")):
        if name.startswith(kind):
            inputs.append(ModelInput("detections", (DETECTIONS, 256, 14, 14)))
            second = f", and {kind} head on {DETECTIONS} detections, the most {word} are found for"
    notes = _TWO_STAGE_NOTE.format(regions=regions, second=second)
    return _spec(name, DETECTION, *inputs, notes=notes, detector=True, weights_backbone=None)


def _one_stage(name: str, pixels: int) -> ModelSpec:
    return _spec(
        name,
        DETECTION,
        _image(pixels),
        notes=_ONE_STAGE_NOTE,
        detector=True,
        weights_backbone=None,
    )


_ALL: Final = (
    *(_classifier(name, pixels) for name, pixels in _PIXELS.items()),
    *(_quantized(name) for name in _QUANTIZED.split()),
    *(_segmenter(name) for name in _SEGMENTERS.split()),
    *(_video(name, pixels) for name, pixels in _VIDEO.items()),
    *(_optical_flow(name) for name in _OPTICAL_FLOW),
    *(_two_stage(name, *sizes) for name, sizes in _TWO_STAGE.items()),
    *(_one_stage(name, pixels) for name, pixels in _ONE_STAGE.items()),
)
#: Every model of torchvision by its name there, those that are listed first.
SPECS: Final = {
    spec.name: spec
    for spec in sorted(
        _ALL, key=lambda spec: LISTED.index(spec.name) if spec.name in LISTED else len(LISTED)
    )
}
#: Those that the published method can trace, too.
IN_PUBLISHED: Final = frozenset((*_PIXELS, *_SEGMENTERS.split()))
