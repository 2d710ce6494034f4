"""The names of torchvision, without torchvision; the counts are in the conformance session."""

from __future__ import annotations

import subprocess
import sys

import pytest

from perfmodel.errors import UnknownName
from perfmodel.mapping import estimate
from perfmodel.models import torchvision_models, zoo
from perfmodel.resolve import resolve_model
from perfmodel.tracing.tracing import trace


def test_any_name_is_known_without_importing_torch() -> None:
    code = (
        "import sys\n"
        "from perfmodel.resolve import resolve_model\n"
        "assert resolve_model('maxvit_t').name == 'maxvit_t'\n"
        "assert not {'torch', 'torchvision', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("name", "near"), [("swin_v2b", "swin_v2_b"), ("raft_smal", "raft_small"), ("r3d18", "r3d_18")]
)
def test_the_nearest_of_all_names_is_suggested(name: str, near: str) -> None:
    assert near in zoo.known()
    with pytest.raises(UnknownName, match=f"did you mean '{near}'"):
        resolve_model(name)


def test_the_listed_ones_are_few_and_first() -> None:
    assert zoo.names()[: len(torchvision_models.LISTED)] == torchvision_models.LISTED
    assert zoo.names()[:5] == zoo.DEFAULT_MODELS
    assert "maxvit_t" not in zoo.names()
    assert zoo.spec("maxvit_t").title == "maxvit_t"


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("swin_v2_b", (3, 256, 256)),
        ("fcn_resnet50", (3, 520, 520)),
        ("r3d_18", None),
        ("raft_small", None),
        ("quantized_resnet18", None),
        ("retinanet_resnet50_fpn", None),
    ],
)
def test_the_published_method_has_classifiers_and_segmentation(
    name: str, shape: tuple[int, ...] | None
) -> None:
    expected = None if shape is None else (name, shape)
    assert resolve_model(name).published == expected


def test_a_model_that_computes_while_it_is_built_allocates_nothing() -> None:
    module, _ = zoo.build("regnet_y_400mf")
    assert {p.device.type for p in (*module.parameters(), *module.buffers())} == {"meta"}
    assert sum(p.numel() for p in module.parameters()) == 4_344_144


def test_a_detector_is_cut_where_its_notes_say() -> None:
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    one, two = (trace(*zoo.build(name, batch), name=name) for batch in (1, 2))
    assert two.flops == 2 * one.flops
    # 150 regions through layers of 256 x 7 x 7 to 1024, 1024, and 91 classes with a box each.
    in_head = [
        flops
        for path, flops in zip(one.kernels.name, one.kernels.flops.tolist(), strict=True)
        if path.startswith("roi_heads.")
    ]
    assert sum(in_head) == 2 * 150 * (256 * 7 * 7 * 1024 + 1024 * 1024 + 1024 * 91 * 5)
    notes = zoo.spec(name).notes
    assert one.provenance["boundary"] == notes
    assert f"{name}: {notes}" in estimate(one, "epyc_9654").notes
    assert "box head on 150 regions" in notes
    assert "not modelled are" in notes
    assert "non-maximum suppression" in notes
    assert {zoo.spec(other).task for other in zoo.known() if "rcnn" in other} == {
        torchvision_models.DETECTION
    }
