"""A small generated suite that guards a saved workload on two machine files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

# Here, so that pytester, which forgets what a run imports, keeps the module that is changed.
from perfmodel.guard import fixture
from perfmodel.workload.workload import Workload
from tests.builder import Builder

SUITE = """
import pytest

@pytest.mark.parametrize("cpu", ["one.toml", "two.toml"])
def test_net(perfmodel_guard, cpu):
    perfmodel_guard("net.json", cpus=[cpu], precision=["bf16", "int8"])

def test_budget(perfmodel_guard):
    perfmodel_guard("net.json", cpus=["one.toml"], precision="bf16", max_latency="1 s")
"""
INI = """
[pytest]
addopts = --strict-markers
filterwarnings = error
"""
PLUGIN = (
    # Where perfmodel is installed, this process has the plugin already.
    "-W", "ignore:Module already imported:pytest.PytestAssertRewriteWarning",
    "-p", "perfmodel.guard.plugin", "-p", "no:cacheprovider",
)  # fmt: skip
ONE = 'base = "epyc_9654"\nid = "one"\n[core.engines.avx512.efficiency]\nlinear = {}\n'
TWO = 'base = "xeon_8490h"\nid = "two"\n'


def net(hidden: int = 3072, *, layers: int = 4, tracer: str = "2", flops: float = 1.0) -> Workload:
    """Layers of two products and an attention, ``flops`` times what they are counted as."""
    b = Builder("net")
    x = b.input(128 * 768)
    for layer in range(layers):
        for name, n, k in (("fc1", hidden, 768), ("fc2", 768, hidden)):
            x = b.kernel(
                "aten.linear", "linear", [x], weights=(b.weight(n * k),), gemm=(1, 128, n, k),
                flops=int(2 * 128 * n * k * flops), name=f"layers.{layer}.{name}/linear",
            )  # fmt: skip
        x = b.kernel("aten.sdpa", "attention", [x], gemm=(12, 128, 128, 64),
                     name=f"layers.{layer}.attention/sdpa")  # fmt: skip
    return replace(b.workload(), provenance={"tracer": tracer})


class Suite:
    """The suite in a folder of its own, and runs of it in this process."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.path = pytester, pytester.path
        self.snapshots = self.path / "perfmodel_snapshots"
        pytester.makeini(INI)
        self.tests(SUITE)
        self.model()
        self.efficiency(0.70)
        (self.path / "two.toml").write_text(TWO)

    def tests(self, text: str, name: str = "test_suite") -> None:
        # A new name for a new text: Python would take a file of the same second for the old one.
        (self.path / f"{name}.py").write_text(text)

    def model(self, **how: Any) -> None:
        net(**how).save(self.path / "net.json")

    def efficiency(self, value: float) -> None:
        (self.path / "one.toml").write_text(ONE.format(value))

    def run(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess(*PLUGIN, "-p", "syrupy", *arguments)

    def accepted(self) -> Suite:
        assert self.run("--perfmodel-update").ret == 0
        return self

    def files(self) -> dict[str, bytes]:
        found = (p for p in self.snapshots.rglob("*") if p.is_file())
        return {p.relative_to(self.snapshots).as_posix(): p.read_bytes() for p in found}


def said(result: pytest.RunResult) -> str:
    """The output with runs of blanks made one, so that tables read as lines."""
    return "\n".join(" ".join(line.split()) for line in result.outlines)


def report(result: pytest.RunResult) -> list[str]:
    """The lines of the report alone."""
    lines = result.outlines
    starts = [n for n, line in enumerate(lines) if line.strip("= ") == "perfmodel"]
    if not starts:
        return []
    ends = (n for n, line in enumerate(lines) if n > starts[0] and line.startswith("==="))
    return [" ".join(line.split()) for line in lines[starts[0] + 1 : next(ends)]]


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    # The same with and without the plugin installed: only what a run names is loaded.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    return Suite(pytester)


@pytest.fixture
def changed_estimate(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """A function that changes the mapping: factors on latency, and engines by family."""

    def change(factor: float = 1.0, engines: dict[str, str] | None = None) -> None:
        original = fixture.estimate

        class Kernel:
            def __init__(self, kernel: Any) -> None:
                self.family = kernel.family
                self.engine = (engines or {}).get(kernel.family, kernel.engine)
                self.latency_ms = kernel.latency_ms * factor

        class Result:
            def __init__(self, result: Any) -> None:
                self.latency_ms = result.latency_ms * factor
                self.latency_low_ms = self.latency_high_ms = self.interval_coverage = None
                self.bottleneck = result.bottleneck
                self.kernels = [Kernel(kernel) for kernel in result.kernels]

        monkeypatch.setattr(fixture, "estimate", lambda *a, **k: Result(original(*a, **k)))

    return change
