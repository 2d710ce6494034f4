"""The saved workloads that measurements name: they load, and count what others publish."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import perfmodel
from perfmodel.evidence.measurements import SHIPPED, folder_of, load_measurements
from perfmodel.workload.parametric import load
from perfmodel.workload.workload import Workload

FOLDER = Path(perfmodel.__file__).parent / "evidence" / "workloads"
NAMES = sorted(path.name.removesuffix(".json.gz") for path in FOLDER.iterdir())
PUBLISHED = tomllib.loads((Path(__file__).parent / "published.toml").read_text("utf-8"))

#: Transformers: layers, width, width of the MLP, vocabulary of the head, tokens; operations follow.
ENCODERS = {
    "hf_bert_512": (12, 768, 3072, 30522, 512),
    "hf_bert_large_512": (24, 1024, 3072, 30522, 512),
    "albert_xxlarge_masked_lm_512": (12, 4096, 16384, 0, 512),
    "hf_albert_512": (12, 768, 3072, 0, 512),
    "distilbert_masked_lm_128": (6, 768, 3072, 30522, 128),
    "distilbert_base_128": (6, 768, 3072, 0, 128),
    "roberta_causal_lm_512": (12, 768, 3072, 50265, 512),
    "megatron_bert_qa_512": (24, 1024, 4096, 2, 512),
    "bert_pytorch_128": (12, 768, 3072, 0, 128),
    "hf_gpt2_256": (12, 768, 3072, 50257, 256),
    "hf_gpt2_large_1024": (36, 1280, 5120, 50257, 1024),
}


@cache
def loaded(name: str) -> Workload:
    return load(FOLDER / f"{name}.json.gz")


@pytest.mark.parametrize("name", NAMES)
def test_every_saved_workload_loads_and_is_modelled(name: str) -> None:
    workload = loaded(name)
    assert workload.name == name
    assert workload.batch == 1
    assert workload.unmodelled == ()
    assert workload.flops > 0
    # Nothing of the computer that traced it is kept.
    assert not any("/" in value for value in workload.provenance.values())


@pytest.mark.parametrize("name", PUBLISHED["workloads"])
def test_operations_and_parameters_are_those_published(name: str) -> None:
    known: dict[str, Any] = PUBLISHED["workloads"][name]
    assert known["source"] in PUBLISHED["sources"]
    workload = loaded(name)
    digits = len(str(known["parameters"]).partition(".")[2])
    rounding = known.get("rounding", 0.51 * 10**-digits)
    assert workload.parameters / 1e6 == pytest.approx(known["parameters"], abs=rounding)
    if "gmacs" in known:
        tolerance = known.get("tolerance", 0.02)
        assert workload.flops / 2e9 == pytest.approx(known["gmacs"], rel=tolerance)


@pytest.mark.parametrize("name", PUBLISHED["resized"])
def test_a_resized_network_is_the_same_on_other_pixels(name: str) -> None:
    known = PUBLISHED["resized"][name]
    original, pixels = PUBLISHED["usual"][known["of"]], known["pixels"]
    workload = loaded(name)
    assert workload.parameters == original["parameters"]
    assert workload.inputs[0].shape == (1, 3, pixels, pixels)
    # Maps that the strides do not divide are rounded up.
    expected = original["gmacs"] * (pixels / 224) ** 2
    assert workload.flops / 2e9 == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("name", ENCODERS)
def test_operations_of_a_transformer_by_hand(name: str) -> None:
    layers, hidden, width, vocabulary, tokens = ENCODERS[name]
    body = layers * (4 * hidden**2 + 2 * hidden * width) * tokens
    attention = layers * 2 * tokens**2 * hidden
    head = vocabulary * hidden * tokens
    # Transforms before a head, embeddings of another width and poolers are 5 % at most.
    assert loaded(name).flops / 2 == pytest.approx(body + attention + head, rel=0.05)


def test_retinanet_is_torchvisions_with_another_backbone_and_more_classes() -> None:
    # 34,014,999 parameters with ResNet-50 and 91 classes; the backbones are without classifier.
    classes = (264 - 91) * 9 * (256 * 9 + 1)
    backbone = 25_028_904 - 25_557_032
    parameters = loaded("retinanet_resnext50_800").parameters
    assert parameters == pytest.approx(34_014_999 + classes + backbone, rel=1e-3)


def test_the_perceptron_by_hand() -> None:
    workload = load(FOLDER / "mlp_4096_11008.json.gz", batch=256)
    matrices = 4096 * 4096 + 4096 * 11008 + 11008 * 10
    assert workload.flops == 2 * 256 * matrices
    assert workload.parameters == matrices + 4096 + 11008 + 10


def test_every_saved_workload_is_measured_and_every_measured_one_is_saved() -> None:
    named = set()
    for file in SHIPPED:
        for _, row in load_measurements(file).rows():
            if row.is_saved:
                path = (folder_of(file) / str(row.model)).resolve()
                assert path.parent == FOLDER.resolve()
                named.add(row.subject)
                loaded_at = load(path, batch=row.samples)
                assert loaded_at.batch == row.samples
    assert named == set(NAMES)


def test_a_recipe_stands_behind_every_saved_workload() -> None:
    from evidence.build import recipes

    assert set(recipes()) == set(NAMES)


def test_every_saved_workload_is_checked_against_something() -> None:
    by_hand = {*ENCODERS, "retinanet_resnext50_800", "mlp_4096_11008"}
    assert by_hand | {*PUBLISHED["workloads"], *PUBLISHED["resized"]} == set(NAMES)
