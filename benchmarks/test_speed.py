"""Speed: pytest-benchmark prints the distributions, the ledger holds figures against targets.

Where a figure depends on the machine it is a ratio to something measured in the same minute; the
others have a target with slack. Nothing is compared with a recorded run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks.support.cpus import CPUS
from benchmarks.support.ledger import Hold, seconds
from perfmodel import estimate, published
from perfmodel.workload import zoo
from perfmodel.workload.workload import Workload

COMMAND: Final = Path(sys.executable).with_name("perfmodel")


# -- tracing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["resnet50", "vit_b_16"])
def test_tracing_against_bare_export(model: str, benchmark: Any, hold: Hold) -> None:
    """Trace, and before each round bare torch.export.export of the same module."""
    import torch

    from perfmodel.workload.tracing import trace

    module, inputs = zoo.build(model)
    bare: list[float] = []
    traced: list[float] = []

    def export() -> None:
        bare.append(seconds(lambda: torch.export.export(module, inputs, strict=False)))

    def measured() -> None:
        traced.append(seconds(lambda: trace(module, inputs, name=model)))

    export()  # Not counted: what the first export of a process imports.
    bare.clear()
    benchmark.pedantic(measured, setup=export, rounds=3)
    hold(f"trace {model} / bare export", min(traced) / min(bare), 1.5, "x", limit=2)


def test_a_cached_workload_against_tracing_it(benchmark: Any, hold: Hold) -> None:
    model = "vit_l_16"
    trace = seconds(lambda: zoo.workload(model, refresh=True))
    cached: list[float] = []
    benchmark.pedantic(lambda: cached.append(seconds(lambda: zoo.workload(model))), rounds=5)
    hold(f"cached {model} / tracing it", min(cached) / trace, 0.05, "x")


# -- mapping -------------------------------------------------------------------------------------


def test_mapping_a_loaded_workload_on_three_cpus(
    benchmark: Any, hold: Hold, tmp_path: Path
) -> None:
    """Each round maps a workload that was just loaded, so fusion and its columns are counted."""
    path = tmp_path / "vit_l_16.json"
    zoo.workload("vit_l_16").save(path)
    times: list[float] = []

    def load() -> tuple[tuple[Workload], dict[str, Any]]:
        return (Workload.load(path),), {}

    def map_three(workload: Workload) -> None:
        times.append(seconds(lambda: [estimate(workload, cpu) for cpu in CPUS]))

    for cpu in CPUS:  # Not counted: reading the catalogue, once in a process.
        estimate(zoo.workload("resnet50"), cpu)
    benchmark.pedantic(map_three, setup=load, rounds=50)
    hold("map vit_l_16 on three CPUs", min(times) * 1e3, 5, "ms")


# -- comparing -----------------------------------------------------------------------------------


def test_comparing_the_zoo_by_both_methods(benchmark: Any, hold: Hold) -> None:
    """All models on three CPUs from cached workloads, as ``perfmodel compare`` does."""
    times: list[float] = []

    def compare() -> None:
        for model in zoo.names():
            workload = zoo.workload(model)
            for cpu in CPUS:
                estimate(workload, cpu)
                published.estimate(model, cpu)

    compare()  # Not counted: tracing what is not cached yet.
    benchmark.pedantic(lambda: times.append(seconds(compare)), rounds=3)
    hold("compare the zoo by both methods", min(times), 0.5, "s")


PUBLISHED_GRID: Final = """
import sys
from perfmodel import published
models = ("resnet50", "deeplabv3_resnet50", "vit_b_16", "vit_l_16", "convnext_large")
cells = [published.estimate(m, c).latency_ms for m in models for c in published.CPUS]
assert len(cells) == 40, len(cells)
assert not {"torch", "torchvision"} & sys.modules.keys(), "torch was imported"
"""


def test_the_published_grid_from_the_cache(benchmark: Any, hold: Hold) -> None:
    """8 CPUs x 5 models in a new process, imports included and torch not."""
    for model in zoo.names():
        published.graph(model)
    times: list[float] = []
    benchmark.pedantic(lambda: times.append(python(PUBLISHED_GRID)), rounds=3)
    hold("published grid from the cache, new process", min(times), 0.7, "s")


BARE_TYPER_HELP: Final = """
import typer
app = typer.Typer()
@app.command()
def one(): "One."
@app.command()
def two(): "Two."
app(["--help"])
"""


def test_help_against_a_bare_typer_program(benchmark: Any, hold: Hold) -> None:
    bare: list[float] = []
    own: list[float] = []

    def run_bare() -> None:
        bare.append(python(BARE_TYPER_HELP))

    def run_own() -> None:
        own.append(seconds(lambda: run(str(COMMAND), "--help")))

    benchmark.pedantic(run_own, setup=run_bare, rounds=5)
    hold("perfmodel --help / bare typer program", min(own) / min(bare), 1.5, "x")


def python(code: str) -> float:
    """Seconds that a new interpreter takes to run ``code``."""
    return seconds(lambda: run(sys.executable, "-c", code))


def run(*command: str) -> None:
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
