from __future__ import annotations

from pathlib import Path

import pytest

from perfmodel.calibration.cases import load_cases
from perfmodel.calibration.host import run as host_run
from perfmodel.calibration.host.detection import (
    Host,
    caches,
    count,
    described,
    machine_text,
    physical_cores,
)
from perfmodel.calibration.host.plan import Step, plan
from perfmodel.calibration.host.run import Point, disturbed, family_of, time_model, time_step
from perfmodel.calibration.host.timing import Timing, timed
from perfmodel.calibration.probes import probe
from perfmodel.errors import MachineError
from perfmodel.machine import load_machine
from perfmodel.mapping import estimate
from perfmodel.workload import zoo
from tests.cli.conftest import Run

FLAGS = ["avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16"]
GENOA = {"vendor_id_raw": "AuthenticAMD", "family": 25, "model": 17, "brand_raw": "EPYC"}


@pytest.mark.parametrize(
    ("info", "base", "recognised"),
    [
        (GENOA | {"flags": FLAGS}, "epyc_9654", True),
        # A virtual machine that hides AVX-512 is not a Genoa to any program in it.
        (GENOA | {"flags": ["avx2", "fma"]}, "i7_12700k", False),
        ({"flags": [*FLAGS, "amx_int8", "amx_bf16"]}, "xeon_8490h", False),
        ({"flags": ["asimd", "sve", "sve2"]}, "graviton4", False),
        ({"flags": ["asimd"]}, "ampereone_96", False),
    ],
)
def test_a_cpu_is_described_by_its_core_or_its_instructions(
    info: dict[str, object], base: str, recognised: bool
) -> None:
    found = described(info)
    assert (found.base, found.recognised) == (base, recognised)


def test_a_cpu_like_none_of_the_catalogue_is_refused() -> None:
    with pytest.raises(MachineError, match="neither AVX2 nor NEON"):
        described({"brand_raw": "Old", "flags": ["sse2"]})


def test_cores_and_caches_are_read_from_the_system(tmp_path: Path) -> None:
    for cpu in range(4):
        topology = tmp_path / f"cpu{cpu}/topology"
        topology.mkdir(parents=True)
        (topology / "thread_siblings_list").write_text(f"{cpu % 2},{cpu % 2 + 2}\n")
    for index, (kind, level, size, shared) in enumerate(
        [
            ("Data", "1", "32K", "0,2"),
            ("Instruction", "1", "32K", "0,2"),
            ("Unified", "2", "1024K", "0,2"),
            ("Unified", "3", "16384K", "0-3"),
        ]
    ):
        folder = tmp_path / f"cpu0/cache/index{index}"
        folder.mkdir(parents=True)
        values = {"type": kind, "level": level, "size": size, "shared_cpu_list": shared}
        for name, value in values.items():
            (folder / name).write_text(value + "\n")
    assert physical_cores(range(4), tmp_path) == 2
    assert physical_cores([9], tmp_path) == 0
    assert caches(0, 2, tmp_path) == {
        "cache.l1d": "32 KiB",
        "cache.l2": "1024 KiB",
        "cache.l3": "16384 KiB",
        "cache.l3_domains": 1,
    }
    assert count("0-3,8,10-11") == 7


def test_the_machine_file_of_a_computer_is_one(tmp_path: Path) -> None:
    host = Host("A CPU", "epyc_9654", True, frozenset(FLAGS), {"cores.count": 2})
    host.stated["cache.l3_domains"] = 1
    path = tmp_path / "host.toml"
    path.write_text(machine_text(host, "mine"))
    machine = load_machine(path)
    assert (machine.id, machine.cores.count.typical) == ("mine", 2)
    assert machine.calibration is None


def test_a_timing_is_the_least_and_the_middle_of_its_samples() -> None:
    now = 0.0
    costs = [0.010, 0.010, 0.010, 0.013, 0.012, 0.020, 0.011]
    calls = iter(costs)

    def call() -> None:
        nonlocal now
        now += next(calls)

    found = timed(call, 0.0, clock=lambda: now)
    assert found.minimum == pytest.approx(0.010)
    assert found.median == pytest.approx(0.012)
    assert found.spread == pytest.approx(0.2)
    assert found.samples == 5


def test_short_calls_are_timed_several_at_once() -> None:
    now, calls = 0.0, 0

    def call() -> None:
        nonlocal now, calls
        now, calls = now + 1e-6, calls + 1

    found = timed(call, 0.0, clock=lambda: now)
    assert found.minimum == pytest.approx(1e-6)
    assert calls >= 5 * 2000


def test_every_planned_microbenchmark_exists_and_fits_the_cpu() -> None:
    steps = plan(120, 8, FLAGS)
    assert len(set(steps)) == len(steps)
    assert {probe(step.probe).name for step in steps} == {step.probe for step in steps}
    assert {step.precision for step in steps} == {"fp32", "bf16", "int8"}
    assert {step.precision for step in plan(120, 8, ["avx2"])} == {"fp32"}
    assert {step.threads for step in steps} == {1, 8}
    assert len(plan(10, 2, FLAGS)) < len(steps) / 2


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("linear 8x16x32", 2 * 8 * 16 * 32),
        ("conv 1x4x6x6 to 8 by 3", 2 * 36 * 8 * 4 * 9),
        ("depthwise 1x4x6x6 by 3", 2 * 36 * 4 * 9),
        ("attention 2x16x8", 2 * 2 * 2 * 16 * 16 * 8),
        ("max_pool 1x4x8x8 by 3", 0),
    ],
)
def test_a_microbenchmark_asks_for_what_its_name_says(name: str, flops: int) -> None:
    assert probe(name).workload().flops == flops


def test_several_threads_that_take_longer_than_one_are_found() -> None:
    def point(name: str, threads: int, seconds: float) -> Point:
        return Point(Step(name, "fp32", threads), Timing(seconds, seconds, 5))

    points = [
        point("relu 64", 1, 1e-6),
        point("relu 64", 2, 9e-6),
        point("linear 256x1024x1024", 1, 5e-3),
        point("linear 256x1024x1024", 2, 20e-3),
        point("add 65536", 1, 1e-5),
        point("add 65536", 2, 8e-6),
    ]
    assert disturbed(points) == {points[3].step}


def test_operators_of_the_profiler_have_families() -> None:
    assert family_of("aten::mkldnn_convolution") == "conv"
    assert family_of("aten::addmm") == "linear"
    assert family_of("aten::bmm") == "matmul"
    assert family_of("aten::batch_norm") == "norm"
    assert family_of("aten::max_pool2d_with_indices") == "pooling"
    assert family_of("aten::empty") == "other"


# -- the command line, with times that are made up ------------------------------------------------


def fake(monkeypatch: pytest.MonkeyPatch, spread: float = 0.02, stop_after: int = 99) -> None:
    """Times as the model has them on a Genoa core, without running anything."""
    machine = load_machine("epyc_9654").with_values(
        {"cores.count": 2, "cache.l3": "32 MiB", "cache.l3_domains": 1}
    )
    done = 0

    def time_step(step: Step, budget_s: float) -> Timing:
        nonlocal done
        done += 1
        if done > stop_after:
            raise KeyboardInterrupt
        own = machine.with_values({"cores.count": step.threads})
        workload = probe(step.probe).workload()
        milliseconds = estimate(workload, own, step.precision, runtime="eager").latency_ms
        return Timing(milliseconds / 1e3, milliseconds / 1e3 * (1 + spread), 9)

    host = Host("A Genoa", "epyc_9654", True, frozenset(FLAGS), {"cores.count": 2})
    host.stated.update({"cache.l3": "32 MiB", "cache.l3_domains": 1})
    monkeypatch.setattr(host_run, "time_step", time_step)
    monkeypatch.setattr("perfmodel.calibration.host.detection.detect", lambda: host)


def test_a_host_is_measured_fitted_and_written(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch)
    output = tmp_path / "host.toml"
    result = run("calibrate", "--host", "-o", output, "--budget", 10)
    assert result.exit_code == 0, result.stderr
    machine = load_machine(output)
    assert machine.calibration is not None
    # What was made up with the catalogue's figures is fitted by them.
    figures, vendor = machine.figures(), load_machine("epyc_9654").figures()
    for path in ("linear", "conv", "attention"):
        name = f"core.engines.avx512.efficiency.{path}"
        assert figures[name].typical == pytest.approx(vendor[name].typical, rel=0.03)
    assert machine.calibration.error < 0.05
    kept = load_cases([tmp_path / "host.measurements.toml"])
    assert len(kept) == machine.calibration.rows == len(plan(10, 2, FLAGS))
    assert "described by epyc_9654" in result.stderr


def test_an_interrupted_host_keeps_what_was_measured(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, stop_after=3)
    output = tmp_path / "host.toml"
    output.write_text("old")
    result = run("calibrate", "--host", "-o", output, "--budget", 10)
    assert result.exit_code == 130
    assert output.read_text() == "old"
    assert "3 points are kept" in result.stderr
    measured, described = tmp_path / "host.measurements.toml", tmp_path / "host.detected.toml"
    assert len(load_cases([measured])) == 3
    again = run("calibrate", "--from", measured, "--cpu", described, "-o", output)
    assert again.exit_code == 0, again.stderr
    assert load_machine(output).calibration is not None


def test_a_noisy_host_is_refused_unless_forced(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(monkeypatch, spread=0.6)
    output = tmp_path / "host.toml"
    result = run("calibrate", "--host", "-o", output, "--budget", 10)
    assert result.exit_code == 2
    assert "too noisy to fit: the median spread is 60 %" in result.stderr
    assert not output.exists()
    fake(monkeypatch, spread=0.6)
    assert run("calibrate", "--host", "-o", output, "--budget", 10, "--force").exit_code == 0
    assert output.exists()


# -- the real thing, briefly: whether it works, not how fast this computer is ----------------------


@pytest.mark.parametrize("name", ["linear 64x64x64", "int_mm 32x64x64", "max_pool 1x4x8x8 by 3"])
def test_a_microbenchmark_runs(name: str) -> None:
    assert 0 < time_step(Step(name, "fp32", 1), 0.01).minimum < 1


def test_a_model_runs_and_its_estimate_is_of_that_order() -> None:
    timing, families = time_model("mobilenet_v3_small", 1, "fp32", 1, 0.2)
    machine = load_machine("epyc_9654").with_values({"cores.count": 1, "cache.l3_domains": 1})
    guess = estimate(zoo.workload("mobilenet_v3_small"), machine, "fp32", runtime="eager")
    assert 1 / 30 < guess.latency_ms / 1e3 / timing.minimum < 30
    assert families["conv"] > 0
