"""Every model of torchvision, against torchvision's own table and two independent counts.

The table (``meta`` of the weights) has parameters, and operations in units of 10^9 rounded to three
digits, a multiply-accumulate being one. What does not agree to the last digit is listed here with
its explanation, and the explanation is what is asserted.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import fx

from conformance.counting import counted_flops, fx_counts
from perfmodel.errors import TraceError
from perfmodel.models import torchvision_models as tv
from perfmodel.models import zoo
from perfmodel.models._torchvision import build_model, import_torchvision
from perfmodel.tracing.tracing import trace
from perfmodel.workload.workload import Workload

models = import_torchvision().models

#: Half of the last digit of the table, and as much as the sum of two floats may be off.
ROUNDING = 0.0005 + 1e-9

#: Parameters that are missing in the table: its backbones have frozen batch norms, whose scale and
#: shift are buffers. Ours is built without weights and has batch norms with parameters.
RESNET50_NORMS = 2 * 26_560
MOBILENET_V3_NORMS = 2 * 12_200
FROZEN_NORMS = {
    "fasterrcnn_mobilenet_v3_large_320_fpn": MOBILENET_V3_NORMS,
    "fasterrcnn_mobilenet_v3_large_fpn": MOBILENET_V3_NORMS,
    "fasterrcnn_resnet50_fpn": RESNET50_NORMS,
    "fcos_resnet50_fpn": RESNET50_NORMS,
    "keypointrcnn_resnet50_fpn": RESNET50_NORMS,
    "maskrcnn_resnet50_fpn": RESNET50_NORMS,
    "retinanet_resnet50_fpn": RESNET50_NORMS,
}

#: Regions or detections that were left when the table's operations were counted, where not all of
#: them were; with the head they go through, and how many we model.
SECOND_STAGE = {
    "FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1": ("roi_heads.box_", 0, 150),
    "FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1": ("roi_heads.box_", 0, 1000),
    "KeypointRCNN_ResNet50_FPN_Weights.COCO_LEGACY": ("roi_heads.keypoint_", 0, 100),
    "KeypointRCNN_ResNet50_FPN_Weights.COCO_V1": ("roi_heads.keypoint_", 1, 100),
    "MaskRCNN_ResNet50_FPN_Weights.COCO_V1": ("roi_heads.mask_", 0, 100),
}

#: Models that torch.fx cannot trace and torch.export can: both check shapes by an ``if``, in the
#: lookup of RAFT and in the box heads of the region-based detectors.
NOT_BY_FX = frozenset(
    {
        "fasterrcnn_mobilenet_v3_large_320_fpn",
        "fasterrcnn_mobilenet_v3_large_fpn",
        "fasterrcnn_resnet50_fpn",
        "fasterrcnn_resnet50_fpn_v2",
        "keypointrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn",
        "maskrcnn_resnet50_fpn_v2",
        "raft_large",
        "raft_small",
    }
)

#: Whole detectors, selection of boxes included: torch.export stops at a value.
DETECTORS = tuple(name for name, spec in tv.SPECS.items() if spec.task == tv.DETECTION)


def expected_gflop(weights: Any, workload: Workload) -> float:
    """Billions of multiply-accumulates that the table should have, by our trace."""
    flops = workload.flops
    if str(weights) in SECOND_STAGE:
        head, left, modelled = SECOND_STAGE[str(weights)]
        in_head = sum(
            flops
            for path, flops in zip(
                workload.kernels.name, workload.kernels.flops.tolist(), strict=True
            )
            if path.startswith(head)
        )
        assert in_head % modelled == 0
        flops -= in_head // modelled * (modelled - left)
    return flops / 2e9


def check_fx(name: str, module: torch.nn.Module, inputs: Any, workload: Workload) -> None:
    if name in NOT_BY_FX:
        with pytest.raises(fx.proxy.TraceError, match="cannot be used as inputs to control flow"):
            fx_counts(module, inputs)
        return
    flops, weight_bytes = fx_counts(module, inputs)
    assert flops == workload.flops
    assert weight_bytes == workload.weight_bytes("fp32")


@pytest.mark.parametrize("name", tv.SPECS)
def test_a_model_as_it_is_in_the_zoo(name: str) -> None:
    module, inputs = zoo.build(name)
    workload = trace(module, inputs, name=name)
    assert workload.unmodelled == ()
    assert workload.flops == counted_flops(lambda: module(*inputs))
    check_fx(name, module, inputs, workload)

    if "aux" in tv.SPECS[name].notes:
        return  # The table has the auxiliary classifier: below.
    parameters = workload.parameters - FROZEN_NORMS.get(name, 0)
    at_this_size = [w for w in models.get_model_weights(name) if pixels(name, w) is None]
    assert at_this_size
    for weights in at_this_size:
        assert parameters == weights.meta["num_params"]
        gflop = expected_gflop(weights, workload)
        assert gflop == pytest.approx(weights.meta["_ops"], abs=ROUNDING)


def pixels(name: str, weights: Any) -> int | None:
    """Of the images ``weights`` are for, where that is not what the zoo takes."""
    if tv.SPECS[name].task != tv.CLASSIFICATION:
        return None
    size: int = weights.transforms.keywords["crop_size"]
    return None if size == tv.SPECS[name].inputs[0].shape[-1] else size


OTHER_SIZES = [
    (name, size, weights)
    for name, spec in tv.SPECS.items()
    for weights in models.get_model_weights(name)
    if (size := pixels(name, weights)) is not None
]


@pytest.mark.parametrize(
    ("name", "size", "weights"), [pytest.param(*case, id=str(case[2])) for case in OTHER_SIZES]
)
def test_a_model_at_the_size_of_its_other_weights(name: str, size: int, weights: Any) -> None:
    # A vision transformer has positions for one size only.
    options = {"image_size": size} if name.startswith("vit") else {}
    module = build_model(name, **options)
    workload = trace(module, torch.empty(1, 3, size, size, device="meta"), name=name)
    assert workload.parameters == weights.meta["num_params"]
    assert workload.flops / 2e9 == pytest.approx(weights.meta["_ops"], abs=ROUNDING)


def test_the_other_sizes_are_of_weights_fine_tuned_end_to_end() -> None:
    assert {(name, size) for name, size, _ in OTHER_SIZES} == {
        ("regnet_y_16gf", 384),
        ("regnet_y_32gf", 384),
        ("regnet_y_128gf", 384),
        ("vit_b_16", 384),
        ("vit_l_16", 512),
        ("vit_h_14", 518),
    }


@pytest.mark.parametrize("name", [name for name, s in tv.SPECS.items() if "aux" in s.notes])
def test_a_segmentation_model_with_its_auxiliary_classifier(name: str) -> None:
    module = build_model(name, weights_backbone=None, aux_loss=True)
    workload = trace(module, torch.empty(1, 3, 520, 520, device="meta"), name=name)
    weights = models.get_model_weights(name).DEFAULT
    assert workload.parameters == weights.meta["num_params"]
    assert workload.flops / 2e9 == pytest.approx(weights.meta["_ops"], abs=ROUNDING)


def test_every_model_of_torchvision_is_in_the_zoo() -> None:
    assert set(tv.SPECS) == set(models.list_models())
    assert len(tv.SPECS) > 100


@pytest.mark.parametrize("name", DETECTORS)
def test_a_whole_detector_cannot_be_exported(name: str) -> None:
    detector = build_model(name, weights_backbone=None)
    image = torch.empty(tv.SPECS[name].inputs[0].shape, device="meta")
    with pytest.raises(TraceError, match="depends on the values of a tensor"):
        trace(detector, ([image],), batch=1, name=name)


@pytest.mark.parametrize("name", ["quantized_shufflenet_v2_x0_5", "quantized_resnet18"])
def test_a_module_converted_to_int8_cannot_be_exported(name: str) -> None:
    # Its weights are packed in objects that hold no tensors to trace.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        converted = models.get_model(name, weights=None, quantize=True)
    with pytest.raises(TraceError, match="trace the float model and choose --precision"):
        trace(converted, torch.empty(1, 3, 224, 224), name=name)
