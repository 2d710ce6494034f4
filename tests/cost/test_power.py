"""Power of a package: laws for any workload, and what measurements there are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.cost.power import PackagePower, figures, package_power
from perfmodel.machine import CONFIDENCES, Machine, catalogue, load_machine
from perfmodel.mapping import estimate
from perfmodel.serving import Partition, serve
from perfmodel.vocabulary.precision import PRECISIONS
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.mapping.machines import machines, scaled
from tests.strategies import workloads

PRECISION = st.sampled_from(sorted(PRECISIONS))
SLACK = 1 + 1e-9


@st.composite
def running(draw: st.DrawFn) -> tuple[Machine, PackagePower, float]:
    """A machine, its power under some instances of a workload, and seconds of one inference."""
    machine = draw(machines())
    machine = scaled(machine, ["power.idle"], draw(st.floats(0.1, 5.0), label="idle"))
    total = int(machine.cores.count.typical)
    cores = draw(st.integers(1, total), label="cores per instance")
    partition = Partition(draw(st.integers(1, total // cores), label="instances"), cores)
    served = serve(draw(workloads()), machine, partition, draw(PRECISION))
    power = package_power(served)
    return machine, power, 1 / served.throughput_fps


@given(running())
def test_energy_is_between_idle_and_limit_times_time(
    found: tuple[Machine, PackagePower, float],
) -> None:
    machine, power, seconds = found
    idle = machine.power.idle.typical
    limit = (machine.power.limit or machine.power.tdp).typical
    assert idle * seconds <= power.energy_j * SLACK
    assert power.energy_j <= max(limit, idle) * seconds * SLACK
    for part in (power.active_w, power.operations_w, power.traffic_w):
        assert part >= 0


@given(workloads(), machines(), PRECISION)
@settings(max_examples=50)
def test_power_of_a_sample_is_that_of_the_machine_with_that_sample(
    workload: Workload, machine: Machine, precision: str
) -> None:
    machine = machine.with_values({"power.limit": machine.power.tdp.typical * 1.1})
    run = estimate(workload, machine, precision)
    seconds = run.latency_ms / 1e3
    for path in ("power.idle", "power.tdp", "power.limit"):
        samples = machine.figures()[path].typical * np.array([0.5, 1.0, 1.5])
        together = package_power(run, machine, values={path: samples})
        for index, value in enumerate(samples.tolist()):
            alone = package_power(run, machine.with_values({path: value}))
            for name in ("idle_w", "active_w", "limit_w", "package_w"):
                found = np.broadcast_to(getattr(together, name), 3)[index]
                assert found == pytest.approx(getattr(alone, name)), (path, name)
    halves = package_power(run, machine, latency_s=np.array([1.0, 2.0]) * seconds)
    np.testing.assert_allclose(
        halves.throughput_fps, [1 / seconds, 0.5 / seconds] * np.array(workload.batch)
    )


@pytest.mark.parametrize(("instances", "cores"), [(1, 96), (1, 24), (3, 24), (96, 1)])
def test_the_parts_of_some_instances_by_hand(instances: int, cores: int) -> None:
    """Operations and bytes of all of them; cores that none holds draw nothing."""
    machine = load_machine("epyc_9654")
    b = Builder("layer", batch=2)
    b.linear(b.input(2 * 4096), 2, 8192, 4096)
    division = Partition(instances, cores)
    run = serve(b.workload(), machine, division, "int8")
    energy = {path: figure.typical for path, figure in figures().items()}
    seconds = run.latency_ms / 1e3
    power = package_power(run)
    headroom = machine.power.tdp.typical - machine.power.idle.typical
    share = instances * cores / machine.cores.count.typical
    assert power.active_w == pytest.approx(energy["energy.package.active"] * headroom * share)
    per_op = energy["energy.datapath.int8"] * energy["energy.overhead.vector"]
    done = instances * 2 * 2 * 8192 * 4096
    assert power.operations_w == pytest.approx(done * per_op / seconds)
    moved = run.moved_bytes()
    joules = sum(moved[level] * energy[f"energy.byte.{level}"] for level in moved)
    assert power.traffic_w == pytest.approx(instances * joules / seconds)
    assert power.throughput_fps == pytest.approx(instances * 2 / seconds)
    assert sum(moved.values()) >= 8192 * 4096


@given(running())
def test_no_figure_of_power_is_infinite_or_undefined(
    found: tuple[Machine, PackagePower, float],
) -> None:
    _, power, _ = found
    values = [*vars(power).values(), power.package_w, power.energy_j]
    assert np.all(np.isfinite(values))


@given(workloads(), machines(), PRECISION)
def test_idle_power_and_energy_figures_never_lower_the_energy(
    workload: Workload, machine: Machine, precision: str
) -> None:
    run = estimate(workload, machine, precision)
    base = package_power(run, machine).energy_j
    for path in ("power.idle", "power.tdp"):
        more = package_power(run, scaled(machine, [path], 1.2)).energy_j
        assert base <= more * SLACK, path
    for path, figure in figures().items():
        values = {path: np.array([figure.low, figure.typical, figure.high])}
        energy = package_power(run, machine, values=values).energy_j
        energy = np.broadcast_to(energy, 3)
        assert np.all(np.diff(energy) >= -1e-9 * energy[0]), path
        assert energy[1] == pytest.approx(base)


@given(workloads(), machines())
def test_the_parts_of_twice_the_work_at_the_same_rate_are_the_same_power(
    workload: Workload, machine: Machine
) -> None:
    """Power is a rate: it depends on work per second, not on how long it goes on."""
    run = estimate(workload, machine)
    power = package_power(run, machine)
    again = package_power(run, machine, latency_s=np.array([1.0, 2.0]) * run.latency_ms / 1e3)
    assert np.broadcast_to(again.package_w, 2)[0] == pytest.approx(power.package_w)
    # Slowed to half, the work costs the same energy, and waiting costs more.
    assert again.operations_w[1] * 2 == pytest.approx(power.operations_w)
    assert np.all(np.diff(again.energy_j) >= 0)


def test_operations_and_bytes_by_hand() -> None:
    """One INT8 layer in DRAM's way: the parts from their definitions."""
    b = Builder("layer")
    b.linear(b.input(1 * 8192), 1, 65536, 8192)
    machine = load_machine("epyc_9654")
    run = estimate(b.workload(), machine, "int8")
    energy = {path: figure.typical for path, figure in figures().items()}
    seconds = run.latency_ms / 1e3
    power = package_power(run, machine)
    per_op = energy["energy.datapath.int8"] * energy["energy.overhead.vector"]
    assert power.operations_w * seconds == pytest.approx(2 * 8192 * 65536 * per_op)
    moved = run.moved_bytes()
    assert moved["DRAM"] >= 8192 * 65536
    assert power.traffic_w * seconds == pytest.approx(
        sum(moved[level] * energy[f"energy.byte.{level}"] for level in moved)
    )


def test_a_matrix_engine_spends_less_on_an_operation() -> None:
    b = Builder("layer")
    b.linear(b.input(4096 * 1024), 4096, 1024, 1024)
    machine = load_machine("xeon_8490h")
    run = estimate(b.workload(), machine, "bf16")
    assert {engine for engine, _ in run.flops_by_engine()} == {"amx"}
    energy = {path: figure.typical for path, figure in figures().items()}
    spent = package_power(run, machine).operations_w * run.latency_ms / 1e3
    assert spent / run.flops_by_engine()["amx", "linear"] == pytest.approx(
        energy["energy.datapath.bf16"] * energy["energy.overhead.matrix"]
    )


def decoding() -> Workload:
    """One token of a model of 8 billion INT8 weights, layer by layer."""
    b = Builder("decode")
    x = b.input(4096)
    for _ in range(32):
        x = b.linear(x, 1, 14336, 4096)
        x = b.linear(x, 1, 4096, 14336)
        x = b.linear(x, 1, 4096, 4096 * 3)
        x = b.linear(x, 1, 4096, 4096)
    return b.workload()


def test_the_sensors_of_an_ampereone_under_llm_inference() -> None:
    """237 to 245 W by its SoC sensors (github.com/AmpereComputingAI/reviewers_day)."""
    machine = load_machine("ampereone_192")
    power = package_power(estimate(decoding(), machine, "w8"), machine)
    assert 237 / 1.15 <= power.package_w <= 245 * 1.15


@pytest.mark.parametrize("cpu", catalogue())
def test_a_compute_bound_kernel_draws_most_of_the_rating(cpu: str) -> None:
    """RAPL of one desktop: about 0.7 of its rating; no CPU is said to draw twice that or half."""
    b = Builder("layer")
    b.linear(b.input(8192 * 2048), 8192, 2048, 2048)
    machine = load_machine(cpu)
    power = package_power(estimate(b.workload(), machine, "fp32"), machine)
    assert 0.5 <= power.package_w / machine.power.tdp.typical <= 1.1


def test_every_energy_figure_is_cited() -> None:
    for path, figure in figures().items():
        assert figure.confidence in CONFIDENCES, path
        assert figure.confidence != "stated", path
        assert figure.source, path


def test_a_rating_below_the_idle_power_adds_nothing_and_cuts_nothing_off() -> None:
    machine = load_machine("epyc_9654").with_values({"power.tdp": 90.0, "power.idle": 100.0})
    b = Builder("layer")
    b.linear(b.input(4096), 1, 4096, 4096)
    power = package_power(estimate(b.workload(), machine, "fp32"))
    assert (power.active_w, power.limit_w, power.package_w) == (0.0, 100.0, 100.0)
    # JSON and reprs have no scalars of NumPy.
    plain = (power.active_w, power.limit_w, power.package_w, power.energy_j)
    assert {type(each) for each in plain} == {float}


def test_arithmetic_that_is_no_product_is_in_fp32_on_the_vector_engine() -> None:
    """Beside products in the same format, and alone; by hand, to the last operation."""
    machine = load_machine("epyc_9654")
    b = Builder("vector")
    x = b.kernel("exp", "elementwise", [b.input(64)], elements=64, vector_ops=640)
    b.linear(x, 1, 2, 64)
    run = estimate(b.workload(), machine, "fp32")
    energy = {path: figure.typical for path, figure in figures().items()}
    per_op = energy["energy.datapath.fp32"] * energy["energy.overhead.vector"]
    spent = package_power(run).operations_w * run.latency_ms / 1e3
    assert spent == pytest.approx((run.vector_operations() + 2 * 2 * 64) * per_op, rel=1e-6)
    assert run.vector_operations() >= 640
