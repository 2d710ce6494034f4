"""Speed: pytest-benchmark prints the distributions, the ledger holds figures against targets.

Where a figure depends on the machine it is a ratio to something measured in the same minute; the
others have a target with slack. Nothing is compared with a recorded run.
"""

from __future__ import annotations

import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any, Final

import numpy as np
import pytest

from benchmarks.support.cpus import AMD, CPUS
from benchmarks.support.ledger import Hold, seconds
from perfmodel import estimate, load_machine, published
from perfmodel.exploration import explore, read_space
from perfmodel.exploration.space import Space
from perfmodel.mapping.columns import columns
from perfmodel.mapping.prepared import prepare
from perfmodel.mapping.registry import mapper_for
from perfmodel.mapping.variants import latency_variants
from perfmodel.models import zoo
from perfmodel.ranking import rank
from perfmodel.resolve import resolve_model
from perfmodel.vocabulary.precision import get_precision
from perfmodel.workload.fusion import fuse
from perfmodel.workload.workload import Workload

#: Those of the published comparison.
PUBLISHED_MODELS: Final = (
    "resnet50",
    "deeplabv3_resnet50",
    "vit_b_16",
    "vit_l_16",
    "convnext_large",
)
EXAMPLE: Final = Path(__file__).parents[1] / "examples" / "guarded-model"
COMMAND: Final = Path(sys.executable).with_name("perfmodel")


# -- tracing -------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["resnet50", "vit_b_16"])
def test_tracing_against_bare_export(model: str, benchmark: Any, hold: Hold) -> None:
    """Trace, and before each round bare torch.export.export of the same module."""
    import torch

    from perfmodel.tracing.tracing import trace

    module, inputs = zoo.build(model)
    bare: list[float] = []
    traced: list[float] = []

    def export() -> None:
        bare.append(seconds(lambda: torch.export.export(module, inputs, strict=False)))

    def measured() -> None:
        traced.append(seconds(lambda: trace(module, inputs, name=model)))

    export()  # Not counted: what the first export of a process imports.
    bare.clear()
    benchmark.pedantic(measured, setup=export, rounds=1)
    hold(f"trace {model} / bare export", min(traced) / min(bare), 1.5, "x", limit=2)


def test_a_cached_workload_against_tracing_it(benchmark: Any, hold: Hold) -> None:
    model = "vit_l_16"
    trace = seconds(lambda: zoo.workload(model, refresh=True))
    cached: list[float] = []
    benchmark.pedantic(lambda: cached.append(seconds(lambda: zoo.workload(model))), rounds=5)
    hold(f"cached {model} / tracing it", min(cached) / trace, 0.05, "x")


def test_evaluating_a_parametric_workload(benchmark: Any, hold: Hold) -> None:
    """ViT-L, traced with a symbolic batch, at another batch each round."""
    workload = zoo.parametric("vit_l_16")
    times: list[float] = []

    def evaluate() -> None:
        times.append(seconds(lambda: workload.at(batch=2 + len(times))))

    benchmark.pedantic(evaluate, rounds=20)
    hold("parametric vit_l_16 at a batch", min(times) * 1e3, 2, "ms")


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


def test_machine_variants_against_bare_arithmetic(benchmark: Any, hold: Hold) -> None:
    """10,000 variants of one CPU on ViT-L, and the same arithmetic on ready-made arrays.

    Every core count of every kernel is evaluated in both; the bare loop knows each rate already and
    takes nothing apart. One figure of each kind varies, so that no term is constant.
    """
    machine, workload, runtime = load_machine(AMD), zoo.workload("vit_l_16"), "ideal"
    rng = np.random.default_rng(1)
    figures = machine.figures()
    values = {
        path: figures[path].typical * rng.uniform(0.8, 1.0, 10_000)
        for path in (
            "clock.sustained",
            "memory.sustained",
            "core.engines.avx512.efficiency.linear",
            "core.cache_bandwidth.l3",
            "parallel_region.per_doubling",
        )
    }
    kernels = len(columns(fuse(workload), get_precision("int8")).family)
    bare = bare_arithmetic(kernels, machine.cores.count.typical, 10_000)
    times: list[float] = []
    plain: list[float] = []

    def variants() -> None:
        times.append(
            seconds(lambda: latency_variants(workload, machine, values, "int8", software=runtime))
        )

    benchmark.pedantic(variants, setup=lambda: plain.append(seconds(bare)), rounds=3)
    hold("10,000 machine variants / bare arithmetic", min(times) / min(plain), 1.5, "x")


def test_a_choice_of_core_counts_against_every_one(benchmark: Any, hold: Hold) -> None:
    """10,000 variants of the explored figures on three CPUs, ResNet-50: CPU time of both."""
    workload = zoo.workload("resnet50")
    rng = np.random.default_rng(1)
    spent: dict[bool, list[float]] = {True: [], False: []}

    def measured(every: bool) -> None:
        began = process_time()
        for cpu in CPUS:
            figures = load_machine(cpu).figures()
            values = {p: figures[p].typical * rng.uniform(0.8, 1.0, 10_000) for p in SAMPLED}
            latency_variants(
                workload, cpu, values, "int8", software="ideal", every_core_count=every
            )
        spent[every].append(process_time() - began)

    benchmark.pedantic(lambda: measured(False), setup=lambda: measured(True), rounds=2)
    ratio = min(spent[False]) / min(spent[True])
    hold("variants at chosen core counts / at every one", ratio, 0.2, "x")


def bare_arithmetic(kernels: int, cores: float, variants: int) -> Callable[[], None]:
    """The formula at every core count of every kernel, on arrays that are ready, and no more."""
    rng = np.random.default_rng(1)
    counts = np.arange(1.0, cores + 1)[:, None]
    step = max(1, 80_000 // (kernels * len(counts)))
    rate = rng.uniform(1e9, 2e9, (step, 1, kernels))
    tiles, tile_work, vector, moved = rng.uniform(100, 1e4, (4, kernels))

    def bare() -> None:
        for _ in range(0, variants, step):
            compute = np.ceil(tiles / counts) * tile_work / rate + np.ceil(vector / counts) / rate
            bandwidth = np.minimum(counts * rate, 1e11)
            memory = moved / bandwidth + moved / bandwidth + moved / bandwidth
            overhead = 1e-6 + 1e-6 * np.log2(counts) * rate[..., :1]
            (np.maximum(compute, memory) + overhead).min(axis=-2).sum(axis=-1)

    return bare


# -- exploring -----------------------------------------------------------------------------------

#: What is explored: models by the phase that they run, and one figure of each kind.
EXPLORED: Final = {"resnet50": None, "vit_l_16": None, "llama_7b": "decode"}
SAMPLED: Final = {
    "memory.sustained": {"low": 0.6, "high": 0.9},
    "clock.sustained": {"low": "2 GHz", "high": "2.6 GHz"},
    "core.cache_bandwidth.l2": {"low": "20 B/cycle", "high": "40 B/cycle"},
}


@pytest.mark.parametrize(("software", "samples"), [("openvino", 11_112), ("ideal", 2_224)])
def test_exploring(software: str, samples: int, benchmark: Any, hold: Hold, tmp_path: Path) -> None:
    """Three models on three CPUs, from the space to its Parquet files: CPU time, of two cores.

    OpenVINO runs every kernel on all cores: 100,000 points. The ideal software has every core count
    tried, as the bare arithmetic does on arrays that are ready: 20,000 points.
    """
    spaces: list[Space] = []
    bare: list[Callable[[], None]] = []
    for model, phase in EXPLORED.items():
        given: dict[str, Any] = {"models": [model], "cpus": list(CPUS), "sampled": SAMPLED}
        given |= {"software": [software], "samples": samples}
        given |= {} if phase is None else {"phase": phase}
        spaces.append(read_space(given))
        for cell in spaces[-1].cells:
            # Not counted: tracing what is not cached yet.
            workload = resolve_model(model, cell.scenario).workload(1)
            machine = load_machine(cell.cpu)
            _, table = prepare(workload, cell.scenario, machine)
            tried = mapper_for(machine).candidates(cell.scenario.loaded)
            bare.append(bare_arithmetic(len(table.family), len(tried), samples))
    own: list[float] = []
    plain: list[float] = []

    def explore_all() -> None:
        folder = tmp_path / str(len(own))
        spent = process_time()
        for number, space in enumerate(spaces):
            assert explore(space, folder / str(number)).rows == 3 * samples
        own.append(process_time() - spent)

    def bare_all() -> None:
        spent = process_time()
        for function in bare:
            function()
        plain.append(process_time() - spent)

    benchmark.pedantic(explore_all, setup=bare_all, rounds=1)
    points = sum(space.points for space in spaces)
    hold(f"explore 1,000,000 points, {software}", min(own) / 2 * 1e6 / points, 60, "s")
    if software == "ideal":
        hold("explore, ideal / bare arithmetic, CPU time", min(own) / min(plain), 1.5, "x")


# -- ranking -------------------------------------------------------------------------------------

SERVERS: Final = (
    *CPUS,
    *("epyc_9754", "epyc_9755", "epyc_9965", "xeon_8592plus", "xeon_6980p"),
    *("ampereone_128", "ampereone_96", "graviton3", "graviton4"),
)

#: Prints the process's own peak in MiB; ru_maxrss would begin with the parent's.
PEAK_MEMORY: Final = """
with open("/proc/self/status") as status:
    print(next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM")))
"""

RANK_ALL: Final = f"""
from perfmodel.ranking import rank
from perfmodel.models import zoo
for model in ("resnet50", "deeplabv3_resnet50", "vit_b_16", "vit_l_16", "convnext_large"):
    found = rank(zoo.workload(model), {SERVERS!r})
    assert len(found.to_dict()["cpus"]) == 12
    assert found.sampled_ms.shape == (4096, 12)
{PEAK_MEMORY}"""


def test_ranking_twelve_cpus_on_one_model(benchmark: Any, hold: Hold) -> None:
    """4,096 samples of every uncertain figure, over all CPUs, on ViT-L."""
    from scipy import stats  # noqa: F401  Not counted: an import of almost a second.

    workload = zoo.workload("vit_l_16")
    times: list[float] = []
    benchmark.pedantic(lambda: times.append(seconds(lambda: rank(workload, SERVERS))), rounds=3)
    hold("rank vit_l_16 on 12 CPUs", min(times), 2, "s")


def test_ranking_twelve_cpus_on_five_models(benchmark: Any, hold: Hold) -> None:
    """In a new process, imports and the deciding figures included; its peak memory too."""
    for model in PUBLISHED_MODELS:
        zoo.workload(model)
    times: list[float] = []
    peaks: list[float] = []

    def measured() -> None:
        times.append(seconds(lambda: peaks.append(float(run(sys.executable, "-c", RANK_ALL)))))

    benchmark.pedantic(measured, rounds=1)
    hold("rank 5 models on 12 CPUs, new process", min(times), 5, "s")
    hold("peak memory of that", max(peaks), 1024, "MB")


# -- language models -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "phase", "target_s", "target_mb"),
    [("llama_7b", "decode", 10, 700), ("llama_2_70b", "prefill", 30, 1000)],
)
def test_tracing_a_language_model(
    model: str, phase: str, target_s: float, target_mb: float, benchmark: Any, hold: Hold
) -> None:
    """In a new process, with the imports of torch and transformers and without the disk cache."""
    code = (
        "from perfmodel.models import zoo\n"
        f"spec = zoo.spec({model!r})\n"
        f"assert len(zoo.trace_run(spec, spec.run(phase={phase!r}))) > 800\n"
        f"{PEAK_MEMORY}"
    )
    times: list[float] = []
    peaks: list[float] = []

    def measured() -> None:
        times.append(seconds(lambda: peaks.append(float(run(sys.executable, "-c", code)))))

    benchmark.pedantic(measured, rounds=1)
    hold(f"trace {phase} of {model}, new process", min(times), target_s, "s")
    hold(f"peak memory of tracing {model}", max(peaks), target_mb, "MB")


def test_tracing_a_recurrence(benchmark: Any, hold: Hold) -> None:
    """Mamba-130M, 24 layers that step through 2,048 tokens in Python."""
    import torch

    from perfmodel.models.decoding import import_transformers
    from perfmodel.models.generation import trace_generation

    transformers = import_transformers()
    with torch.device("meta"):
        config = transformers.MambaConfig(num_hidden_layers=24)
        module = transformers.MambaForCausalLM(config).eval()
    times: list[float] = []

    def measured() -> None:
        times.append(seconds(lambda: trace_generation(module, tokens=2048)))

    benchmark.pedantic(measured, rounds=1)
    hold("trace prefill of mamba-130m, 2,048 tokens", min(times), 20, "s")


# -- comparing -----------------------------------------------------------------------------------


def test_comparing_the_zoo_by_both_methods(benchmark: Any, hold: Hold) -> None:
    """All models on three CPUs from cached workloads, as ``perfmodel compare`` does."""
    times: list[float] = []

    def compare() -> None:
        for model in PUBLISHED_MODELS:
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
    for model in PUBLISHED_MODELS:
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


COLD_GRID: Final = f"""
import sys
from perfmodel import published
models = ("resnet50", "deeplabv3_resnet50", "vit_b_16", "vit_l_16", "convnext_large")
cells = [published.estimate(m, c).latency_ms for m in models for c in published.CPUS]
assert "torch" in sys.modules, "nothing was traced"
{PEAK_MEMORY}"""


def test_the_published_grid_from_nothing(
    benchmark: Any, hold: Hold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with an empty cache: torch imported, five models built and traced."""
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path))
    times: list[float] = []
    peaks: list[float] = []

    def measured() -> None:
        times.append(seconds(lambda: peaks.append(float(run(sys.executable, "-c", COLD_GRID)))))

    benchmark.pedantic(measured, rounds=1)
    hold("published grid, empty cache, new process", min(times), 12, "s")
    hold("peak memory of that", max(peaks), 600, "MB")


def test_help_against_a_bare_typer_program(benchmark: Any, hold: Hold) -> None:
    bare: list[float] = []
    own: list[float] = []

    def run_bare() -> None:
        bare.append(python(BARE_TYPER_HELP))

    def run_own() -> None:
        own.append(seconds(lambda: run(str(COMMAND), "--help")))

    benchmark.pedantic(run_own, setup=run_bare, rounds=3)
    hold("perfmodel --help / bare typer program", min(own) / min(bare), 1.5, "x")


# -- guarding ------------------------------------------------------------------------------------

IDLE_PLUGIN: Final = """
import sys, time
import pytest
start = time.process_time()
import perfmodel.guard.plugin as plugin
plugin.pytest_report_header(None)
took = time.process_time() - start
assert not {"torch", "numpy", "pydantic", "syrupy"} & sys.modules.keys(), "too much is imported"
print(took)
"""


def test_a_guarded_model_adds_little_to_a_session(
    benchmark: Any, hold: Hold, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CPU time of pytest that guards a traced model on three CPUs, over one that imports it."""
    project = tmp_path / "project"
    shutil.copytree(EXAMPLE, project, ignore=shutil.ignore_patterns("__pycache__", "perfmodel_*"))
    (project / "tests" / "test_plain.py").write_text(
        "from encoder import encoder\ndef test_plain(): assert encoder\n"
    )
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    monkeypatch.chdir(project)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "perfmodel.guard.plugin"]
    command += ["-p", "no:cacheprovider"]
    guarded_test = "tests/test_latency.py::test_latency_is_as_reviewed"
    run(*command, "--perfmodel-update", guarded_test)  # Not counted: tracing it, and storing.
    plain: list[float] = []
    guarded: list[float] = []

    def measured() -> None:
        guarded.append(children_cpu(lambda: run(*command, guarded_test)))

    def bare() -> None:
        plain.append(children_cpu(lambda: run(*command, "tests/test_plain.py")))

    benchmark.pedantic(measured, setup=bare, rounds=2)
    hold("guard a traced model on 3 CPUs, CPU time", min(guarded) - min(plain), 0.3, "s", limit=0.6)


def test_the_plugin_costs_nothing_where_nothing_is_guarded(benchmark: Any, hold: Hold) -> None:
    """CPU time of importing it and of its line in pytest's header; torch is not imported."""
    times: list[float] = []
    benchmark.pedantic(
        lambda: times.append(float(run(sys.executable, "-c", IDLE_PLUGIN))), rounds=3
    )
    hold("plugin that guards nothing, CPU time", min(times) * 1e3, 20, "ms", limit=40)


def children_cpu(function: Callable[[], object]) -> float:
    """CPU seconds of the processes that a call starts and waits for."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    function()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def python(code: str) -> float:
    """Seconds that a new interpreter takes to run ``code``."""
    return seconds(lambda: run(sys.executable, "-c", code))


def run(*command: str) -> str:
    """What ``command`` prints."""
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout
