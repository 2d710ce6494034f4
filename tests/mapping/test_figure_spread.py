"""What the ranges of figures do to the interval of one estimate."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from perfmodel.certainty.error_model import NORMAL
from perfmodel.errors import MachineError
from perfmodel.figures.figure import Figure
from perfmodel.machine import Machine, catalogue, load_machine
from perfmodel.machine.tables import Calibration
from perfmodel.mapping import estimate
from perfmodel.mapping.figure_spread import FigureSpread
from perfmodel.mapping.unknowns import sample, unknowns
from perfmodel.mapping.variants import latency_variants
from perfmodel.scenario import scenario_of
from perfmodel.serving.serving import serve
from perfmodel.software import load_software
from perfmodel.vocabulary.partition import Partition
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.strategies import workloads

BANDWIDTH = "memory.sustained"


def stream() -> Workload:
    """One kernel that reads a matrix from memory, on however many cores."""
    builder = Builder("stream")
    builder.linear(builder.input(32768), 1, 32768, 32768)
    return builder.workload()


def ranged(machine: Machine, path: str, low: float, high: float) -> Machine:
    """The machine with another range of one figure, by factors on its typical value."""
    figure = machine.figures()[path]
    typical = figure.typical
    return machine.with_values(
        {path: Figure(typical * low, typical, typical * high, figure.unit, "R", "test")}
    )


def certain(machine: Machine) -> Machine:
    """The machine without a range of any figure."""
    return machine.with_values(
        {path: figure.typical for path, figure in machine.figures().items() if figure.is_range}
    )


def half_widths(workload: Workload, machine: Machine, software: str) -> tuple[float, float]:
    found = estimate(workload, machine, "fp32", software=software)
    assert found.figures is not None
    return found.figures.half_widths


def test_one_figure_moves_a_kernel_by_its_range() -> None:
    machine = certain(load_machine("epyc_9654"))
    fixed = half_widths(stream(), machine, "openvino")
    moved = half_widths(stream(), ranged(machine, BANDWIDTH, 0.5, 1.0), "openvino")
    result = estimate(stream(), machine, "fp32", software="openvino")
    memory = sum(kernel.memory_ms for kernel in result.kernels)
    rest = result.latency_ms - memory
    assert result.bottleneck == "DRAM"
    by_hand = NORMAL / math.sqrt(6) * math.log((memory / 0.5 + rest) / result.latency_ms)
    assert moved[1] == pytest.approx(math.hypot(fixed[1], by_hand), rel=1e-4)
    assert moved[0] == fixed[0]


@pytest.mark.parametrize("cpu", ["epyc_9654", "xeon_8490h", "ampereone_192"])
@pytest.mark.parametrize("software", ["openvino", "eager"])
def test_it_is_what_samples_of_the_figures_show(cpu: str, software: str) -> None:
    run = scenario_of("fp32", {"software": software})
    machine, workload = load_machine(cpu), stream()
    drawn = sample(unknowns([machine], run.loaded), 4096, 1).of(cpu)
    sampled = latency_variants(workload, machine, drawn, run, every_core_count=False)
    low, high = np.quantile(np.log(sampled / np.median(sampled)), [0.1, 0.9])
    less, more = half_widths(workload, machine, software)
    # Samples know that ranges are skewed; both say how far apart the ends are.
    assert less + more == pytest.approx(high - low, rel=0.2)


@given(
    workloads(),
    st.sampled_from(catalogue()),
    st.sampled_from(["openvino", "eager"]),
    st.data(),
)
def test_a_wider_range_never_narrows_an_interval(
    workload: Workload, cpu: str, software: str, data: st.DataObject
) -> None:
    machine = load_machine(cpu)
    ranges = sorted(path for path, figure in machine.figures().items() if figure.is_range)
    path = data.draw(st.sampled_from(ranges), label="figure")
    assume(machine.settable()[path].kind != "count")
    figure = machine.figures()[path]
    low, high = figure.low / figure.typical, figure.high / figure.typical
    less = data.draw(st.floats(0.9, 1.0), label="less")
    more = data.draw(st.floats(1.0, 1.1), label="more")
    try:
        wider = ranged(machine, path, low * less, high * more)
    except MachineError:
        assume(False)
    before = estimate(workload, ranged(machine, path, low, high), "fp32", software=software)
    after = estimate(workload, wider, "fp32", software=software)
    assert before.figures is not None
    assert after.figures is not None
    for narrow, wide in zip(before.figures.half_widths, after.figures.half_widths, strict=True):
        assert wide >= narrow * (1 - 1e-9) - 1e-12
    assert after.interval is not None
    assert before.interval is not None
    assert after.interval.low <= before.interval.low * (1 + 1e-9)
    assert after.interval.high >= before.interval.high * (1 - 1e-9)


def test_what_reaches_farther_is_the_interval() -> None:
    machine = load_machine("epyc_9654")
    usual = estimate(stream(), machine, "fp32", software="openvino")
    assert usual.interval == usual.certainty  # Errors that were measured hold usual ranges.
    vague = ranged(machine, BANDWIDTH, 0.05, 1.0)
    found = estimate(stream(), vague, "fp32", software="openvino")
    assert found.interval is not None
    assert found.certainty is not None
    assert found.figures is not None
    assert found.interval.high == pytest.approx(math.exp(found.figures.half_widths[1]), rel=1e-9)
    assert found.interval.high > 2 * found.certainty.high
    assert found.latency_high_ms == found.latency_ms * found.interval.high
    assert found.interval.low == found.certainty.low


def test_the_throughput_has_the_interval_of_the_latency() -> None:
    found = serve(stream(), "epyc_9654", Partition(4, 24), "fp32", software="openvino").to_dict()
    low, high = found["throughput_low_fps"], found["throughput_high_fps"]
    assert low < found["throughput_fps"] < high
    instances_ms = 4 * 1e3
    assert low == pytest.approx(instances_ms / found["latency_high_ms"])
    assert high == pytest.approx(instances_ms / found["latency_low_ms"])


def test_a_machine_that_was_measured_is_never_less_sure_for_the_ranges_of_its_fit() -> None:
    vague = ranged(load_machine("epyc_9654"), BANDWIDTH, 0.05, 1.0)
    record = Calibration(
        date="2026-11-26",
        measurements="stop watch",
        rows=4,
        error=0.1,
        precisions=("fp32",),
        runtimes=("openvino",),
    )
    measured = vague.model_copy(update={"calibration": record})
    without, found = (estimate(stream(), m, "fp32", software="openvino") for m in (vague, measured))
    assert found.provenance == "measured"
    assert without.interval is not None
    assert found.interval is not None
    assert found.interval.low >= without.interval.low
    assert found.interval.high < without.interval.high


def test_an_instance_has_the_ranges_of_its_share() -> None:
    machine = load_machine("epyc_9654")
    vague = ranged(machine, BANDWIDTH, 0.05, 1.0)
    found, usual = (
        serve(stream(), m, Partition(4, 24), "fp32", software="openvino") for m in (vague, machine)
    )
    assert found.latency_ms == usual.latency_ms
    assert found.latency_high_ms is not None
    assert usual.latency_high_ms is not None
    assert found.latency_high_ms > 1.5 * usual.latency_high_ms


def test_a_bound_has_no_interval_and_reads_no_range() -> None:
    def never(values: object) -> np.ndarray:
        raise AssertionError

    found = estimate(stream(), "epyc_9654", software="ideal")
    assert found.figures is not None
    silent = FigureSpread(found.figures.machine, load_software("ideal"), never)
    object.__setattr__(found, "figures", silent)
    assert found.latency_low_ms is None
    assert "latency_low_ms" not in found.to_dict()
    assert found.to_record()["latency_high_ms"] is None


def test_a_result_travels_with_its_ranges() -> None:
    found = estimate(stream(), "epyc_9654", "fp32", software="eager")
    assert pickle.loads(pickle.dumps(found)).latency_high_ms == found.latency_high_ms
