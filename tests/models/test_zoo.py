from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from perfmodel import _installed, cache
from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.models import zoo
from perfmodel.workload import storage
from perfmodel.workload.workload import Workload
from tests.examples import make_workload

#: The auxiliary classifier torchvision counts in DeepLabV3 and we leave out: a 3x3 convolution of
#: 1024 to 256 channels, its batch norm, and a 1x1 convolution with bias to 21 classes.
AUXILIARY = 1024 * 256 * 9 + 2 * 256 + 256 * 21 + 21


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def traces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What was traced, in place of the tracer (which has tests of its own), with an own cache."""
    done: list[tuple[str, int]] = []

    def trace(module: object, inputs: object, *, name: str, batch: int, state: object) -> Workload:
        done.append((name, batch))
        return replace(make_workload(), name=name, batch=batch)

    stand_in = ModuleType("perfmodel.tracing.tracing")
    stand_in.trace = trace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "perfmodel.tracing.tracing", stand_in)
    monkeypatch.setattr(zoo, "build_run", lambda chosen, run: (None, ()))
    return done


@pytest.mark.parametrize("name", zoo.DEFAULT_MODELS)
def test_a_model_is_built_on_meta_as_torchvision_counts_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("building a model used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    module, inputs = zoo.build(name, batch=3)
    assert not module.training
    assert {p.device.type for p in (*module.parameters(), *module.buffers())} == {"meta"}

    from perfmodel.models._torchvision import import_torchvision

    weights = import_torchvision().models.get_model_weights(name).DEFAULT
    published = weights.meta["num_params"] - (AUXILIARY if "deeplab" in name else 0)
    assert sum(p.numel() for p in module.parameters()) == published
    (image,) = inputs
    assert image.device.type == "meta"
    size = 512 if "deeplab" in name else weights.transforms().crop_size[0]
    assert image.shape == (3, 3, size, size)
    assert zoo.spec(name).describe_inputs(3) == f"image 3x3x{size}x{size} float32"


def test_an_unknown_model_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown model 'vit_b16': did you mean 'vit_b_16'"):
        zoo.workload("vit_b16")


@pytest.mark.parametrize("batch", [0, -1, 1.0, True, "1"])
def test_a_batch_that_is_none_is_refused(batch: Any) -> None:
    for function in (zoo.build, zoo.workload):
        with pytest.raises(PerfmodelError, match="batch must be a whole number of at least 1"):
            function("resnet50", batch)


def test_a_second_request_is_not_traced_again(traces: list[tuple[str, int]]) -> None:
    first = zoo.workload("resnet50")
    assert zoo.workload("resnet50") == first
    assert traces == [("resnet50", 1)]
    zoo.workload("resnet50", 2)
    zoo.workload("vit_b_16")
    zoo.workload("resnet50", refresh=True)
    assert traces[1:] == [("resnet50", 2), ("vit_b_16", 1), ("resnet50", 1)]


@pytest.mark.parametrize("library", ["torch", "torchvision"])
def test_another_library_version_is_traced_anew(
    traces: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, library: str
) -> None:
    zoo.workload("resnet50")
    installed = _installed.version
    monkeypatch.setattr(
        _installed, "version", lambda name: "9.9" if name == library else installed(name)
    )
    zoo.workload("resnet50")
    assert len(traces) == 2


@pytest.mark.parametrize("change", ["TRACER_VERSION", "_source_digest", "VERSION"])
def test_another_tracer_or_format_is_traced_anew(
    traces: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    zoo.workload("resnet50")
    before = zoo.cache_key(zoo.spec("resnet50"))
    if change == "VERSION":
        monkeypatch.setattr(storage, "VERSION", 0)
    elif change == "TRACER_VERSION":
        monkeypatch.setattr(zoo, "TRACER_VERSION", zoo.TRACER_VERSION + 1)
    else:
        monkeypatch.setattr(zoo, "_source_digest", lambda: "edited")
    assert zoo.cache_key(zoo.spec("resnet50")) != before
    assert cache.load(zoo.cache_key(zoo.spec("resnet50"))) is None


def test_a_formula_of_ones_own_is_part_of_the_key(tmp_path: Path) -> None:
    from perfmodel.tracing import operators

    def own(call: operators.Call) -> operators.Cost:
        return operators.Cost("activation", vector_ops=7 * call.result_numel)

    key = zoo.cache_key(zoo.spec("resnet50"))
    assert key["formulas"] == {}
    original = operators.find("aten.relu")
    assert original is not None
    operators.register("aten.relu", replace=True)(own)
    try:
        changed = zoo.cache_key(zoo.spec("resnet50"))
        assert set(changed["formulas"]) == {"aten.relu"}  # type: ignore[call-overload]
        assert changed == zoo.cache_key(zoo.spec("resnet50"))
        operators.unregister("aten.relu")
        assert zoo.cache_key(zoo.spec("resnet50")) not in (key, changed)
    finally:
        operators.register("aten.relu", replace=True)(original)
    assert zoo.cache_key(zoo.spec("resnet50")) == key


def test_a_replaced_formula_reaches_a_cached_model(folder: Path) -> None:
    from perfmodel.tracing import operators

    before = zoo.workload("alexnet")
    assert zoo.workload("alexnet").vector_ops == before.vector_ops
    original = operators.find("aten.relu")
    assert original is not None
    operators.register("aten.relu", replace=True)(
        lambda call: operators.Cost("activation", vector_ops=3 * call.result_numel)
    )
    try:
        after = zoo.workload("alexnet")
    finally:
        operators.register("aten.relu", replace=True)(original)
    # Each output of the five convolutions and two linear layers is rectified.
    elements = 64 * 55**2 + 192 * 27**2 + (384 + 256 + 256) * 13**2 + 2 * 4096
    assert after.vector_ops - before.vector_ops == 2 * elements
    assert zoo.workload("alexnet").vector_ops == before.vector_ops


def test_the_digest_of_sources_covers_what_a_trace_goes_through() -> None:
    package = Path(zoo.__file__).parents[1]
    for room in ("models", "tracing", "workload", "vocabulary"):
        assert room in zoo._ROOMS
        assert list((package / room).rglob("*.py"))


def test_a_corrupt_entry_is_traced_anew(traces: list[tuple[str, int]]) -> None:
    zoo.workload("resnet50")
    path = cache.path(zoo.cache_key(zoo.spec("resnet50")))
    path.write_text(path.read_text()[:-20])
    assert zoo.workload("resnet50").name == "resnet50"
    assert len(traces) == 2
    zoo.workload("resnet50")
    assert len(traces) == 2


def test_an_entry_that_is_whole_but_no_workload_is_traced_anew(
    traces: list[tuple[str, int]],
) -> None:
    cache.store(zoo.cache_key(zoo.spec("resnet50")), {"format": "perfmodel.workload"})
    assert zoo.workload("resnet50").name == "resnet50"
    assert len(traces) == 1


def test_a_hit_imports_no_torch(folder: Path) -> None:
    stored = replace(make_workload(), name="vit_l_16")
    cache.store(zoo.cache_key(zoo.spec("vit_l_16")), stored.to_dict())
    code = (
        "import sys, perfmodel\n"
        "assert perfmodel.model_workload('vit_l_16').flops == 48\n"
        "assert not {'torch', 'torchvision'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, env=dict(os.environ))


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> str:
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(_installed, "version", absent)
    with pytest.raises(PerfmodelError, match=r"needs torch, .*pip install 'perfmodel\[torch\]'"):
        zoo.workload("resnet50")


def test_a_key_is_plain_json() -> None:
    key = zoo.cache_key(zoo.spec("deeplabv3_resnet50"), zoo.spec("deeplabv3_resnet50").run(4))
    assert json.loads(json.dumps(key)) == key
    assert key["inputs"] == [[[4, 3, 512, 512], "float32"]]


def test_a_real_trace_survives_the_cache(folder: Path) -> None:
    traced = zoo.workload("resnet50")
    assert traced.name == "resnet50"
    assert traced.batch == 1
    assert [path.name for path in (folder / "workload").iterdir()] == [
        cache.path(zoo.cache_key(zoo.spec("resnet50"))).name
    ]
    assert cache.load(zoo.cache_key(zoo.spec("resnet50"))) == traced.to_dict()
    again = zoo.workload("resnet50")
    assert again is not traced
    assert again == traced
