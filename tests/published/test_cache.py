"""Traces are kept on disk, read without torch, and never trusted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from perfmodel import published
from perfmodel.published import tracing


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path))
    return tmp_path


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the models that were built, and so traced, since the test began."""
    names: list[str] = []
    real = tracing.build
    monkeypatch.setattr(tracing, "build", lambda name: (names.append(name), real(name))[1])
    return names


def entry(folder: Path) -> Path:
    (path,) = (path for path in folder.rglob("*") if path.is_file())
    return path


def test_the_second_reading_traces_nothing(folder: Path, builds: list[str]) -> None:
    first = published.graph("alexnet")
    assert published.graph("alexnet") == first
    assert builds == ["alexnet"]
    assert entry(folder).parent.name == "published-graph"


def test_another_input_shape_is_another_entry(folder: Path, builds: list[str]) -> None:
    published.graph("alexnet")
    published.graph("alexnet", (3, 96, 96))
    assert builds == ["alexnet", "alexnet"]
    assert sum(path.is_file() for path in folder.rglob("*")) == 2


@pytest.mark.parametrize("package", ["torch", "torchvision"])
def test_another_version_is_another_entry(
    folder: Path, builds: list[str], monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    published.graph("alexnet")
    real = published._version
    monkeypatch.setattr(published, "_version", lambda p: "0.0" if p == package else real(p))
    published.graph("alexnet")
    assert builds == ["alexnet", "alexnet"]


@pytest.mark.parametrize("damage", ["truncated", "no JSON", "another payload", "binary"])
def test_a_corrupt_entry_is_traced_again_and_replaced(
    folder: Path, builds: list[str], damage: str
) -> None:
    first = published.graph("alexnet")
    path = entry(folder)
    good = path.read_bytes()
    assert b"9216" in good  # features after AlexNet's last pooling
    path.write_bytes(
        {
            "truncated": good[: len(good) // 2],
            "no JSON": b"hello",
            "another payload": good.replace(b"9216", b"9217"),
            "binary": b"\xff\x00",
        }[damage]
    )
    assert published.graph("alexnet") == first
    assert builds == ["alexnet", "alexnet"]
    assert path.read_bytes() == good


def test_an_intact_entry_that_is_no_graph_is_traced_again(
    folder: Path, builds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published.cache, "load", lambda key: {"format": 1, "model": "alexnet"})
    assert len(published.graph("alexnet").nodes) > 20
    assert builds == ["alexnet"]


def test_a_cached_model_needs_no_torch(graphs: dict[str, published.Graph]) -> None:
    program = (
        "import sys; from perfmodel import published\n"
        "print(published.estimate('resnet50', 'epyc_9654').latency_ms)\n"
        "print([m for m in ('torch', 'torchvision', 'pydantic') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    latency, imported = done.stdout.splitlines()
    assert float(latency) == published.estimate(graphs["resnet50"], "epyc_9654").latency_ms
    assert imported == "[]"
