"""Software that plans a graph on this computer: what is measured of it, and what is fitted.

The software itself is made up here; ``hosted/`` holds the real ones against PyTorch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from perfmodel.calibration.calibrate import calibrate
from perfmodel.calibration.host import layers
from perfmodel.calibration.host.detection import Host, machine_text
from perfmodel.calibration.host.layers import difference
from perfmodel.calibration.host.plan import Step, plan_layers
from perfmodel.calibration.host.points import Point, measurements_text
from perfmodel.calibration.host.runners import RUNNERS, runner_for
from perfmodel.calibration.host.timing import Timing
from perfmodel.calibration.parameters import opened
from perfmodel.errors import MeasurementError, PerfmodelError, UnknownName
from perfmodel.evidence.cases import load_cases
from perfmodel.evidence.probes import probe
from perfmodel.machine import Machine, load_machine
from perfmodel.machine.parts import with_cores
from perfmodel.mapping import estimate
from tests.cli.conftest import Run

FLAGS = frozenset({"avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16"})
PRECISIONS = ("fp32", "bf16", "int8")


# -- chains ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    [
        "linear 8x16x16",
        "conv 1x4x6x6 to 4 by 3",
        "depthwise 1x4x6x6 by 3",
        "bottleneck 1x8x6x6 to 2",
        "inverted_residual 1x2x6x6 to 8 by 3",
        "feed_forward 8x16 to 64",
        "encoder 8x16 by 4",
    ],
)
def test_a_chain_asks_for_its_layers_each_with_weights_of_its_own(name: str) -> None:
    one, three = probe(name).workload(), probe(f"3 of {name}").workload()
    assert probe(name).of(3) == probe(f"3 of {name}") == probe(f"2 of {name}").of(3)
    assert three.flops == 3 * one.flops
    assert three.parameters == 3 * one.parameters
    module, (operand,) = probe(f"3 of {name}").module()
    assert module.eval()(operand).shape == operand.shape


def test_an_encoder_asks_for_its_products_and_attention() -> None:
    tokens, width = 6, 16
    products = 2 * tokens * width * width * (4 + 8)
    assert probe(f"encoder {tokens}x{width} by 4").workload().flops == (
        products + 2 * 2 * tokens * tokens * width
    )


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("2 of linear 8x16x32", "only what keeps the shape"),
        ("2 of conv 1x4x6x6 to 4 by 3 stride 2", "only what keeps the shape"),
        ("2 of gelu 64", "only what keeps the shape"),
        ("0 of linear 8x16x16", "expected a kind and its sizes"),
        ("encoder 8x16 by 3", "a width that 3 heads divide"),
    ],
)
def test_what_cannot_be_a_chain_is_refused(name: str, message: str) -> None:
    with pytest.raises(MeasurementError, match=message):
        probe(name)


def test_every_planned_chain_exists_and_fits_the_cpu() -> None:
    steps = plan_layers("openvino", PRECISIONS, 120, FLAGS)
    assert all(probe(step.probe).layers > 1 for step in steps)
    assert {step.threads for step in steps} == {1}
    assert [step.precision for step in steps] == sorted(
        (step.precision for step in steps), key=PRECISIONS.index
    )
    assert {s.precision for s in plan_layers("openvino", PRECISIONS, 120, {"avx2"})} == {"fp32"}
    assert len(plan_layers("openvino", PRECISIONS, 10, FLAGS)) < len(steps) / 2


# -- measuring, with a clock that is made up ------------------------------------------------------


class Hours:
    """A clock that runs make advance, and a software whose runs are 3 ms and 2 ms a layer."""

    def __init__(self) -> None:
        self.now = 0.0
        self.prepared: list[tuple[int, str, int]] = []

    def __call__(self) -> float:
        return self.now

    def prepare(self, module: Any, operands: Any, precision: str, threads: int) -> Any:
        count = sum(type(part).__name__ == "Linear" for part in module.modules())
        self.prepared.append((count, precision, threads))

        def call() -> None:
            self.now += 0.003 + 0.002 * count

        return call


def test_layers_are_told_from_what_a_network_costs_beside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hours = Hours()
    made_up = replace(RUNNERS["openvino"], prepare=hours.prepare)
    monkeypatch.setitem(RUNNERS, "openvino", made_up)
    steps = [Step(f"{n} of linear 4x8x8", "bf16", 1, "openvino") for n in (2, 5)]
    found = list(layers.rounds(steps, 0.5, clock=hours))[-1]
    assert [point.seconds for point in found] == pytest.approx([0.004, 0.010])
    assert hours.prepared == [(3, "bf16", 1), (1, "bf16", 1), (6, "bf16", 1), (1, "bf16", 1)]
    # Two calls of each in a round, one of them timed: 68 ms a round.
    assert {point.timing.samples for point in found} == {8}


def test_a_chain_within_its_noise_has_no_time_below_zero() -> None:
    long, short = Timing(1.0, 1.1, 1.5, 9), Timing(1.0, 1.2, 2.0, 9)
    assert difference(long, short) == Timing(0.1, pytest.approx(0.11), pytest.approx(0.15), 9)


# -- fitting --------------------------------------------------------------------------------------


@pytest.fixture
def described(tmp_path: Path) -> Path:
    """This computer as an AMX core before anything is measured, with a software's figures open."""
    host = Host("A Xeon", "xeon_8490h", False, FLAGS, {"cores.count": 1, "cache.l3_domains": 1})
    path = tmp_path / "host.detected.toml"
    path.write_text(machine_text(host, "host"))
    path.write_text(machine_text(host, "host", opened(load_machine(path), "openvino", PRECISIONS)))
    return path


def test_a_file_with_open_figures_says_what_it_said_before(described: Path) -> None:
    machine = load_machine(described)
    closed = machine.model_copy(update={"software": {}})
    assert machine.software
    for name in ("encoder 64x128 by 2", "inverted_residual 1x8x14x14 to 32 by 3"):
        workload = probe(name).workload()
        for precision in PRECISIONS:
            one, other = (
                estimate(workload, each, precision, software="openvino").latency_ms
                for each in (machine, closed)
            )
            assert one == pytest.approx(other, rel=1e-12)


def made(machine: Machine, steps: Sequence[Step]) -> list[Point]:
    """Points as ``machine`` has them."""
    found = []
    for step in steps:
        guess = estimate(
            probe(step.probe).workload(), machine, step.precision, software=step.software
        )
        found.append(Point(step, Timing.of([guess.latency_ms / 1e3] * 5)))
    return found


def test_a_fit_finds_what_a_software_reaches_in_each_format(
    described: Path, tmp_path: Path
) -> None:
    machine = load_machine(described)
    prefix = "software.openvino.efficiency"
    truth: dict[str, float] = {
        f"{prefix}.amx_int8.conv": 0.3,
        f"{prefix}.amx_bf16.conv": 0.5,
        f"{prefix}.amx_int8.linear": 0.2,
        f"{prefix}.avx512_fp32.pointwise_conv": 0.6,
        # More than the core is said to attain (0.2 of its peak).
        f"{prefix}.avx512_fp32.depthwise_conv": 1.0,
        "core.engines.avx512.efficiency.depthwise_conv": 0.4,
    }
    real = machine.with_values(truth)
    steps = plan_layers("openvino", PRECISIONS, 10, FLAGS)
    kept = tmp_path / "made.toml"
    kept.write_text(measurements_text(made(real, steps), described.name, "A Xeon", "2026-01-01"))
    found = calibrate(machine, load_cases([kept]), "made")
    figures = found.machine.figures()
    for path, value in truth.items():
        assert figures[path].typical == pytest.approx(value, rel=0.1), path
    # Nothing else of the core moves: other software has its own figures.
    core = {path for path in found.figures if path.startswith("core.engines")}
    assert core == {"core.engines.avx512.efficiency.depthwise_conv"}
    for name in ("2 of encoder 96x256 by 4", "2 of bottleneck 1x128x14x14 to 64"):
        workload = probe(name).workload()
        for precision in PRECISIONS:
            guess, value = (
                estimate(workload, each, precision, software="openvino").latency_ms
                for each in (found.machine, real)
            )
            assert guess == pytest.approx(value, rel=0.08)


# -- the command line -----------------------------------------------------------------------------


def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    """This computer is an AMX core on which OpenVINO reaches half of what is said of it."""
    host = Host("A Xeon", "xeon_8490h", False, FLAGS, {"cores.count": 1, "cache.l3_domains": 1})
    monkeypatch.setattr("perfmodel.calibration.host.detection.detect", lambda: host)
    made_up = replace(RUNNERS["openvino"], modules={"any": ()})
    monkeypatch.setitem(RUNNERS, "openvino", made_up)

    def rounds(
        steps: Sequence[Step], budget_s: float, turn: Callable[[Step], None]
    ) -> Iterator[list[Point]]:
        machine = with_cores(load_machine("xeon_8490h"), 1)
        yield [
            Point(p.step, Timing.of([2 * p.seconds] * 5)) for p in made(machine, steps) if p.step
        ]

    monkeypatch.setattr(layers, "rounds", rounds)


def test_a_host_is_calibrated_for_a_software_and_validated(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch)
    output, keep = tmp_path / "mine.toml", tmp_path / "run.toml"
    result = run("calibrate", "--host", "--software", "openvino", "-o", output, "--budget", 10)
    assert result.exit_code == 0, result.stderr
    machine = load_machine(output)
    assert machine.calibration is not None
    assert machine.calibration.runtimes == ("openvino",)
    assert machine.calibration.precisions == PRECISIONS
    assert "openvino" in machine.software

    model = "mobilenet_v2"
    monkeypatch.setattr(
        "perfmodel.calibration.host.models.time_model",
        lambda *_: (Timing.of([0.006] * 9), {}),
    )
    arguments = ("validate", "--host", model, "--software", "openvino", "-p", "int8")
    result = run(*arguments, "--cpu", output, "--keep", keep)
    assert result.exit_code == 0, result.stderr
    assert "host_int8, not calibrated" in result.stdout
    assert f"{model}, 1 thread, not calibrated" in result.stdout
    assert "no --cpu" not in result.stderr
    (case,) = load_cases([keep])
    assert (case.group.software, case.group.precision) == ("openvino", "int8")
    assert (case.measured, case.split, case.row.model) == (0.006, "validation", model)
    assert case.machine.id == machine.id
    again = run("validate", "-m", keep, "--cpu", output, "-f", "csv").stdout
    assert f"{model}, batch 1, 1 core" in again


@pytest.mark.parametrize(
    ("missing", "software", "precision", "extra"),
    [
        ("openvino", "openvino", "fp32", "openvino"),
        ("nncf", "openvino", "int8", "openvino"),
        ("onnxruntime", "onnxruntime", "int8", "onnxruntime"),
        ("onnxscript", "onnxruntime", "fp32", "onnxruntime"),
        ("torch", "inductor", "bf16", "torch"),
    ],
)
def test_a_missing_package_is_named_before_anything_runs(
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
    missing: str,
    software: str,
    precision: str,
    extra: str,
) -> None:
    monkeypatch.setattr(
        "perfmodel.calibration.host.runners._installed", lambda module: module != missing
    )
    result = run("validate", "--host", "resnet50", "--software", software, "-p", precision)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert f"needs {missing}, which is not installed: pip install 'perfmodel[{extra}]'" in (
        result.stderr
    )


def test_int8_is_left_out_where_nothing_can_quantise(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch)
    without = replace(RUNNERS["openvino"], modules={"any": (), "int8": ("no_such_quantiser",)})
    monkeypatch.setitem(RUNNERS, "openvino", without)
    output = tmp_path / "mine.toml"
    result = run("calibrate", "--host", "--software", "openvino", "-o", output, "--budget", 10)
    assert result.exit_code == 0, result.stderr
    assert "int8 is not measured" in result.stderr
    record = load_machine(output).calibration
    assert record is not None
    assert record.precisions == ("fp32", "bf16")


def test_a_precision_without_kernels_and_an_unknown_software_are_refused() -> None:
    with pytest.raises(PerfmodelError, match="runs onnxruntime in fp32 or int8, not bf16"):
        runner_for("onnxruntime").check("bf16")
    with pytest.raises(PerfmodelError, match="runs eager in fp32 or bf16, not int8"):
        runner_for("eager").check("int8")
    with pytest.raises(UnknownName, match="did you mean 'openvino'"):
        runner_for("openvno")


def test_what_runs_software_imports_none_of_it() -> None:
    import subprocess

    code = (
        "import sys, perfmodel.calibration.host.runners, perfmodel.calibration.host.layers\n"
        "print({'torch', 'openvino', 'nncf', 'onnxruntime', 'onnx'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_engines_that_a_software_has_no_kernels_for_are_not_opened() -> None:
    xeon = load_machine("xeon_8490h")
    assert any(".amx_int8." in path for path in opened(xeon, "openvino", PRECISIONS))
    found = opened(xeon, "onnxruntime", PRECISIONS)
    assert found
    assert not any(".amx_" in path for path in found)
