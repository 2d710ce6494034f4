from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from pathlib import Path

import pytest

from perfmodel.calibration.host import clock, microbenchmarks
from perfmodel.calibration.host.detection import (
    Host,
    caches,
    count,
    described,
    machine_text,
    physical_cores,
)
from perfmodel.calibration.host.microbenchmarks import MIN_ROUNDS, measure
from perfmodel.calibration.host.models import family_of, profiled_as, time_model
from perfmodel.calibration.host.plan import Step, plan
from perfmodel.calibration.host.points import Point, disturbed
from perfmodel.calibration.host.timing import Timing, timed
from perfmodel.errors import MachineError
from perfmodel.evidence.cases import load_cases
from perfmodel.evidence.probes import probe
from perfmodel.machine import load_machine
from perfmodel.machine.parts import with_cores
from perfmodel.mapping import estimate
from perfmodel.models import zoo
from perfmodel.vocabulary.families import CONVOLUTIONS
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


def test_the_clock_is_measured_and_is_that_of_a_processor() -> None:
    found = clock.measured_clock()
    assert found is None or 0.5e9 < found < 8e9


def test_additions_and_the_branch_over_them_are_encoded_as_the_manuals_say() -> None:
    # Displacements are from the end of a branch on x86, from its start on Arm.
    x86 = clock._x86_64()
    back = int.from_bytes(x86[-5:-1], "little", signed=True)
    assert x86[len(x86) - 1 + back :][:3] == bytes.fromhex("48 01 c8")
    assert x86[: len(x86) - 1 + back] == bytes.fromhex("31 c0 48 c7 c1 01 00 00 00")
    arm = clock._aarch64()
    words = [int.from_bytes(arm[i : i + 4], "little") for i in range(0, len(arm), 4)]
    (branch,) = (i for i, word in enumerate(words) if word >> 24 == 0x54)
    offset = (words[branch] >> 5 & 0x7FFFF) - 0x80000
    assert words[branch + offset] == 0x8B020021
    assert words[branch + offset - 1] != 0x8B020021


def test_a_clock_that_cannot_be_measured_is_the_highest_of_its_kind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clock.platform, "machine", lambda: "riscv64")
    assert clock.measured_clock() is None
    found = described(GENOA | {"flags": FLAGS})
    assert not found.clock_measured
    assert found.stated["clock.sustained"] == "3.7 GHz"
    # Engines with a clock of their own have no lower one here: efficiencies are shares of it.
    xeon = described({"flags": [*FLAGS, "amx_int8", "amx_bf16"]})
    assert xeon.base == "xeon_8490h"
    assert {xeon.stated[f"clock.engine.{name}"] for name in ("avx512", "amx")} == {"3.5 GHz"}


def test_the_machine_file_of_a_computer_is_one(tmp_path: Path) -> None:
    host = Host("A CPU", "epyc_9654", True, frozenset(FLAGS), {"cores.count": 2})
    host.stated["cache.l3_domains"] = 1
    path = tmp_path / "host.toml"
    path.write_text(machine_text(host, "mine"))
    machine = load_machine(path)
    assert (machine.id, machine.cores.count.typical) == ("mine", 2)
    assert machine.calibration is None


def test_a_timing_is_the_least_the_lower_decile_and_the_middle_of_its_samples() -> None:
    now = 0.0
    costs = [0.010, 0.010, 0.010, 0.013, 0.012, 0.020, 0.011]
    calls = iter(costs)

    def call() -> None:
        nonlocal now
        now += next(calls)

    found = timed(call, 0.0, clock=lambda: now)
    assert found.minimum == pytest.approx(0.010)
    assert found.median == pytest.approx(0.012)
    assert Timing.of([1.0 + i for i in range(11)]).decile == pytest.approx(2.0)
    assert Timing.of([3.0]) == Timing(3.0, 3.0, 3.0, 1)
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
    # Those that take turns are in a row.
    kinds = [(step.precision, step.threads) for step in steps]
    assert len([kind for kind, _ in groupby(kinds)]) == len(set(kinds))


@pytest.mark.parametrize(
    ("name", "flops"),
    [
        ("linear 8x16x32", 2 * 8 * 16 * 32),
        ("conv 1x4x6x6 to 8 by 3", 2 * 36 * 8 * 4 * 9),
        ("depthwise 1x4x6x6 by 3", 2 * 36 * 4 * 9),
        ("attention 2x16x8", 2 * 2 * 2 * 16 * 16 * 8),
        ("conv 1x4x6x6 to 8 by 3 stride 2", 2 * 9 * 8 * 4 * 9),
        ("max_pool 1x4x8x8 by 3", 0),
        ("bottleneck 1x8x6x6 to 2", 2 * 36 * (8 * 2 + 2 * 2 * 9 + 2 * 8)),
        # two pointwise ones, a depthwise one, and two of a single pixel
        ("inverted_residual 1x2x6x6 to 8 by 3", 2 * 36 * (16 + 8 * 9 + 16) + 2 * (16 + 16)),
    ],
)
def test_a_microbenchmark_asks_for_what_its_name_says(name: str, flops: int) -> None:
    assert probe(name).workload().flops == flops


def test_several_threads_that_take_longer_than_one_are_found() -> None:
    def point(name: str, threads: int, seconds: float) -> Point:
        return Point(Step(name, "fp32", threads), Timing.of([seconds] * 5))

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
    assert family_of("aten::_adaptive_avg_pool2d") == "pooling"
    assert family_of("aten::mean") == "reduction"
    assert family_of("aten::empty") == "other"
    assert {profiled_as(family) for family in CONVOLUTIONS} == {family_of("aten::convolution")}
    assert profiled_as("norm") == "norm"


# -- the command line, with times that are made up ------------------------------------------------


def fake(monkeypatch: pytest.MonkeyPatch, spread: float = 0.02, stop_after: int = 99) -> None:
    """Times as the model has them on a Genoa core, without running anything."""
    machine = load_machine("epyc_9654").with_values(
        {"cores.count": 2, "cache.l3": "32 MiB", "cache.l3_domains": 1}
    )
    done = 0

    def rounds(
        steps: Sequence[Step], budget_s: float, cache_bytes: float, turn: Callable[[Step], None]
    ) -> Iterator[list[Point]]:
        nonlocal done
        points: list[Point] = []
        for step in steps:
            done += 1
            if done > stop_after:
                raise KeyboardInterrupt
            turn(step)
            own = with_cores(machine, step.threads)
            workload = probe(step.probe).workload()
            milliseconds = estimate(
                workload, own, step.precision, state="cold", software="eager"
            ).latency_ms
            seconds = milliseconds / 1e3
            timing = Timing(seconds, seconds, seconds * (1 + spread), 9)
            points.append(Point(step, timing))
            yield points

    host = Host("A Genoa", "epyc_9654", True, frozenset(FLAGS), {"cores.count": 2})
    host.stated.update({"cache.l3": "32 MiB", "cache.l3_domains": 1})
    monkeypatch.setattr(microbenchmarks, "rounds", rounds)
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


def test_microbenchmarks_of_every_kind_run_by_turns() -> None:
    names = (
        "linear 8x16x16",
        "conv 1x4x8x8 to 4 by 3 stride 2",
        "depthwise 1x4x8x8 by 3",
        "attention 2x8x8",
        "layer_norm 8x16",
        "batch_norm 1x4x8x8",
        "max_pool 1x4x8x8 by 3",
        "avg_pool 1x4x8x8",
        "add 64",
        "bottleneck 1x8x4x4 to 2",
        "inverted_residual 1x2x4x4 to 8 by 3",
    )
    steps = [Step(name, precision, 1) for precision in ("fp32", "bf16") for name in names]
    steps.append(Step("int_mm 32x64x64", "int8", 1))
    kept: list[int] = []
    shares: list[float] = []
    points = measure(
        steps, 0.01, 2**16, lambda p: kept.append(len(p)), lambda _, done: shares.append(done)
    )
    assert [point.step for point in points] == steps
    assert all(0 < point.seconds < 1 for point in points)
    assert all(point.timing.samples >= MIN_ROUNDS for point in points)
    assert sorted(set(kept)) == [len(names), 2 * len(names), len(steps)]
    assert shares == sorted(shares)


def test_a_model_runs_and_its_estimate_is_of_that_order() -> None:
    timing, families = time_model("mobilenet_v3_small", 1, "fp32", 1, 0.2)
    machine = load_machine("epyc_9654").with_values({"cores.count": 1, "cache.l3_domains": 1})
    guess = estimate(zoo.workload("mobilenet_v3_small"), machine, "fp32", software="eager")
    assert 1 / 30 < guess.latency_ms / 1e3 / timing.minimum < 30
    assert families["conv"] > 0
