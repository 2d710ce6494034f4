"""What software adds to a kernel, each term against its closed form."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from perfmodel.errors import MachineError
from perfmodel.figures.checking import validated
from perfmodel.figures.figure import Figure, Origin
from perfmodel.machine import Machine, load_machine
from perfmodel.machine import catalogue as cpus
from perfmodel.machine.parts import one_domain, with_cores
from perfmodel.mapping import estimate, mapper_for
from perfmodel.mapping.columns import columns
from perfmodel.mapping.policies import effective
from perfmodel.mapping.roofline import Times
from perfmodel.mapping.variants import latency_variants
from perfmodel.scenario import Scenario
from perfmodel.serving import serve
from perfmodel.software import Software, catalogue, load_software
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.partition import Partition
from perfmodel.vocabulary.precision import get_precision
from perfmodel.workload.fusion import without_constants
from perfmodel.workload.tables import RECURRENT
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.examples import anywhere

#: Software that adds nothing but what a test states: every thread works, launches take 1 us.
PLAIN = {
    "id": "plain",
    "name": "Plain",
    "description": "for tests",
    "threads": "all",
    "launch": {"default": "1 us"},
    "join": "1 ns",
}


def software(**fields: Any) -> Software:
    return validated(Software, PLAIN | fields, Origin("test.toml", {}))


def elementwise(elements: int) -> Workload:
    b = Builder()
    b.kernel("add", f.ELEMENTWISE, [b.input(elements)], elements=elements, vector_ops=elements)
    return b.workload()


def linear(rows: int, width: int = 1024) -> Workload:
    b = Builder()
    b.linear(b.input(rows * width), rows, width, width)
    return b.workload()


def layers() -> Workload:
    """Small linear layers one after another: launches are most of their time."""
    b = Builder()
    at = b.input(32 * 256)
    for _ in range(8):
        at = b.linear(at, 32, 256, 256)
    return b.workload()


def times(
    workload: Workload, machine: Machine, chosen: Software, precision: str = "fp32", **how: Any
) -> Times:
    table = columns(workload, get_precision(precision))
    return mapper_for(machine).times(table, chosen, **how)


EPYC = load_machine("epyc_9654")


def test_every_thread_takes_part_and_meets_behind_every_kernel() -> None:
    found = times(elementwise(64), EPYC, software(join="300 ns"))
    assert found.cores.tolist() == [96]
    assert found.overhead[0] == pytest.approx(1e-6 + 96 * 300e-9)
    alone = times(elementwise(64), with_cores(EPYC, 1), software(join="300 ns"))
    assert alone.overhead[0] == pytest.approx(1e-6)


def test_a_thread_is_woken_for_a_grain_of_work_alone() -> None:
    machine = with_cores(EPYC, 8)
    plain = times(elementwise(2**20), machine, software())
    alone = max(
        float(plain.compute[0]) * 8,
        2 * 2**20 * 4 / machine.memory.per_core.typical,
    )
    for grains, woken in ((3.0, 3.0), (100.0, 8.0), (0.5, 0.0)):
        chosen = software(join="1 us", grain=f"{alone / grains} s")
        found = times(elementwise(2**20), machine, chosen)
        assert found.overhead[0] == pytest.approx(1e-6 + woken * 1e-6), grains


def test_stragglers_stretch_arithmetic_by_the_doublings_of_threads() -> None:
    machine = with_cores(EPYC, 64)
    even = times(linear(4096), machine, software())
    late = times(linear(4096), machine, software(stragglers=0.1))
    assert late.compute[0] == pytest.approx(even.compute[0] * (1 + 0.1 * 6))
    assert late.memory[0] == even.memory[0]


def test_chunks_are_uneven_by_the_threads_they_are_divided_among() -> None:
    machine = with_cores(EPYC, 64)
    even, uneven, both = (
        times(linear(4096), machine, software(**how)).compute[0]
        for how in ({}, {"chunks": 32}, {"chunks": 32, "stragglers": 0.1})
    )
    assert uneven == pytest.approx(even * (1 + 64 / 32))
    assert both == pytest.approx(even * (1 + 64 / 32 + 0.1 * 6))


def test_all_threads_meet_where_they_are_joined_whoever_worked() -> None:
    """A kernel for one core: that core works alone, and still waits for all of the others."""
    region = EPYC.parallel_region
    met = region.base.typical + region.per_doubling.typical * math.log2(96)
    for threads, expected in (("joined", met), ("best", 0.0)):
        found = times(elementwise(64), EPYC, software(threads=threads, join=None))
        assert found.cores[0] < 96
        assert found.overhead[0] == pytest.approx(1e-6 + expected)
    alone = times(elementwise(64), with_cores(EPYC, 1), software(threads="joined", join=None))
    assert alone.overhead[0] == pytest.approx(1e-6)


def test_data_is_moved_at_so_many_bytes_in_a_cycle_of_a_core() -> None:
    """What calculates is not: an element is read and written, of 4 bytes each."""
    elements = 96 * 16 * 100
    b = Builder()
    b.kernel("clone", f.DATA_MOVEMENT, [b.input(elements)], elements=elements)
    chosen = software(moving="16 B/cycle")
    found = times(b.workload(), EPYC, chosen).compute[0]
    cycles = elements / 96 * 8 / 16
    assert found == pytest.approx(cycles / EPYC.clock.sustained.typical)
    assert times(b.workload(), EPYC, software()).compute[0] == 0.0
    added, plain = (times(elementwise(elements), EPYC, s).compute[0] for s in (chosen, software()))
    assert added == plain


def test_what_does_not_overlap_adds_its_share_of_the_smaller_part() -> None:
    hidden = times(linear(4096), EPYC, software())
    shown = times(linear(4096), EPYC, software(overlap=0.25))
    smaller = min(float(hidden.compute[0]), float(hidden.memory[0]))
    assert smaller > 0
    assert shown.latency[0] - hidden.latency[0] == pytest.approx(0.75 * smaller)


def test_one_instance_draws_its_share_of_the_bandwidth_and_several_all_of_it() -> None:
    chosen = software(bandwidth=0.5)
    workload = linear(1, 8192)
    full = times(workload, EPYC, software(), state="cold")
    alone = times(workload, EPYC, chosen, state="cold")
    several = times(workload, EPYC, chosen, state="cold", alone=False)
    assert alone.memory[0] == pytest.approx(2 * full.memory[0], rel=0.01)
    assert several.memory[0] == full.memory[0]
    # Served by two instances, which share the bandwidth that one could not draw.
    run = Scenario("fp32", chosen, "cold")
    one = serve(workload, EPYC, Partition(1, 96), run)
    two = serve(workload, EPYC, Partition(2, 48), run)
    assert two.throughput_fps > 1.9 * one.throughput_fps


def test_kernels_beside_one_are_launched_as_it_is() -> None:
    chosen = software(join="10 ns", beside={"int8": {f.LINEAR: 2}})
    for precision, kernels in (("int8", 3), ("fp32", 1)):
        found = times(linear(64), EPYC, chosen, precision)
        assert found.overhead[0] == pytest.approx(kernels * (1e-6 + 96 * 10e-9))
    # Of another family there is none.
    other = times(elementwise(64), EPYC, chosen, "int8")
    assert other.overhead[0] == pytest.approx(1e-6 + 96 * 10e-9)


def test_operands_are_touched_by_all_threads_beside_the_kernel() -> None:
    plain, touched = (
        times(linear(64), EPYC, software(**how)).overhead[0]
        for how in ({}, {"touching": "10 GB/s"})
    )
    moved = 2 * 64 * 1024 * 4
    assert touched - plain == pytest.approx(moved / (96 * 10e9))


def test_quantised_weights_are_unpacked_beside_being_multiplied() -> None:
    machine = load_machine("ampereone_192")
    plain, slow = (
        times(linear(192 * 64), machine, software(**how), "w8").compute[0]
        for how in ({}, {"unpacking": {"w8": "8 op/cycle"}})
    )
    tiles = 192 * 64 * 1024 * 1024 * 2 / 192
    assert slow - plain == pytest.approx(tiles / 8 / machine.clock.sustained.typical, rel=0.01)


def test_an_engine_without_kernels_is_not_used() -> None:
    xeon = load_machine("xeon_8490h")
    for without, engine in (((), "amx"), (("amx",), "avx512")):
        run = Scenario("int8", software(without=without))
        assert estimate(linear(4096), xeon, run).kernels[0].engine == engine


def test_products_in_a_format_without_kernels_run_in_a_wider_one() -> None:
    xeon = load_machine("xeon_8490h")
    only_wide = software(formats={"default": ("fp32",)})
    narrow, wide = (times(linear(4096), xeon, only_wide, p).compute[0] for p in ("int8", "fp32"))
    assert narrow == wide
    assert times(linear(4096), xeon, software(), "int8").compute[0] < wide / 4
    # For one family alone.
    own = software(formats={"default": ("int8", "bf16", "fp32"), f.LINEAR: ("fp32",)})
    assert times(linear(4096), xeon, own, "int8").compute[0] == wide


def test_efficiency_is_of_the_nearest_table() -> None:
    xeon = load_machine("xeon_8490h")
    full = float(times(linear(4096), xeon, software(), "int8").compute[0])
    tables: dict[str, dict[str, float]] = {}
    for key, share in (("any", 0.5), ("int8", 0.4), ("amx", 0.8), ("amx_int8", 0.25)):
        tables[key] = {f.LINEAR: share}
        found = times(linear(4096), xeon, software(efficiency=tables), "int8").compute[0]
        assert found == pytest.approx(full / share), key
    assert "w8" not in tables
    tables["w8"] = {f.LINEAR: 0.125}
    weights = times(linear(4096), xeon, software(efficiency=tables), "w8").compute[0]
    plain = times(linear(4096), xeon, software(), "w8").compute[0]
    assert weights == pytest.approx(plain / 0.125)


def test_what_is_no_product_runs_at_the_software_s_share() -> None:
    half = software(efficiency={"any": {f.ELEMENTWISE: 0.5}})
    slow, fast = (times(elementwise(2**16), EPYC, s).compute[0] for s in (half, software()))
    assert slow == pytest.approx(2 * fast)


def test_a_precision_means_what_the_software_says() -> None:
    int8, xeon = get_precision("int8"), load_machine("xeon_8490h")
    rule = {"arithmetic": {f.ATTENTION: "fp32"}, "read": {f.NORM: 32}, "write": {f.LINEAR: 8}}
    chosen = software(precision={"int8": rule})
    found = effective(int8, chosen, xeon)
    assert found.arithmetic[f.CODE[f.ATTENTION]] == "fp32"
    assert found.arithmetic[f.CODE[f.LINEAR]] == "int8"
    assert found.input_bits[f.CODE[f.NORM]] == 32
    assert found.output_bits[f.CODE[f.LINEAR]] == 8
    assert found.output_bits[f.CODE[f.NORM]] == int8.output_bits[f.CODE[f.NORM]]
    assert effective(int8, chosen, xeon) is found
    assert effective(int8, software(), xeon) is int8


@pytest.mark.parametrize(("cpu", "bits"), [("xeon_8280", 32), ("xeon_8490h", 16)])
def test_16_bit_storage_is_widened_where_nothing_calculates_in_it(cpu: str, bits: int) -> None:
    machine, int8 = load_machine(cpu), get_precision("int8")
    found = effective(int8, software(widens=True), machine)
    assert found.output_bits[f.CODE[f.NORM]] == bits
    assert found.weight_bits[f.CODE[f.LINEAR]] == 8
    # Weights are widened in the registers: memory holds them as they were asked for.
    half = effective(get_precision("fp16"), software(widens=True), machine)
    assert half.weight_bits[f.CODE[f.LINEAR]] == 16
    assert effective(int8, software(), machine) is int8


def test_operators_that_read_no_activation_are_calculated_once() -> None:
    b = Builder()
    table = b.weight(4096)
    reshaped = b.kernel("to", f.DATA_MOVEMENT, [], weights=(table,), elements=4096)
    doubled = b.kernel("mul", f.ELEMENTWISE, [reshaped], elements=4096, vector_ops=4096)
    b.kernel("add", f.ELEMENTWISE, [b.input(4096), doubled], elements=4096, vector_ops=4096)
    workload = b.workload()
    assert without_constants(workload).kernels.operator == ("add",)
    ran = estimate(workload, EPYC, "fp32", software=software(folds=True)).kernels
    assert [kernel.operator for kernel in ran] == ["add"]
    assert len(estimate(workload, EPYC, "fp32", software=software()).kernels) == 3


def test_one_request_runs_on_one_numa_domain_where_the_software_keeps_it_there() -> None:
    socket = load_machine("xeon_6979p")
    assert socket.numa_domains == 3
    domain = one_domain(socket)
    assert domain.cores.count.typical == 40
    assert domain.sustained_bandwidth == pytest.approx(socket.sustained_bandwidth / 3)
    assert domain.cache.l3.typical == pytest.approx(socket.cache.l3.typical / 3)
    inside = software(join="1 us", numa="domain")
    across = replace(Scenario("fp32"), software=software(join="1 us"))
    kept = estimate(elementwise(64), socket, "fp32", software=inside)
    assert kept.active_cores == 40
    assert estimate(elementwise(64), socket, across).active_cores == 120
    # A socket that is divided into instances is divided otherwise.
    assert serve(elementwise(64), socket, Partition(1, 120), "fp32", software=inside)
    one = load_machine("xeon_8490h")
    assert one_domain(one) is one


def test_fewer_working_cores_hold_a_higher_clock() -> None:
    machine = load_machine("xeon_8490h")
    top = machine.clock.max.typical
    assert with_cores(machine, 1).clock.sustained.typical == top
    assert with_cores(machine, 1).clock.engine["avx512"].typical == top
    assert with_cores(machine, None) is machine
    clocks = [with_cores(machine, n).clock.engine["amx"].typical for n in (1, 2, 8, 30, 60)]
    assert clocks == sorted(clocks, reverse=True)
    assert clocks[-1] == machine.clock.engine["amx"].typical
    share = math.log2(8) / math.log2(60)
    assert clocks[2] == pytest.approx(top + (clocks[-1] - top) * share)


def test_a_sample_of_cores_has_no_more_than_its_own() -> None:
    """Where kernels choose how many cores work, and where all of them do."""
    counts = np.array([16.0, 48.0, 96.0])
    for chosen in (software(join="100 ns"), load_software("ideal")):
        swept = latency_variants(
            linear(4096), EPYC, {"cores.count": counts}, "fp32", software=chosen
        )
        alone = [
            estimate(
                linear(4096), EPYC.with_values({"cores.count": n}), "fp32", software=chosen
            ).latency_ms
            for n in counts.tolist()
        ]
        np.testing.assert_allclose(swept, alone, rtol=1e-12)


@pytest.mark.parametrize("name", catalogue())
def test_every_figure_of_a_software_varies_as_one_at_a_time(name: str) -> None:
    """A sweep of any figure equals one description after the other."""
    chosen = anywhere(name)
    b = Builder()
    x = b.linear(b.input(64 * 512), 64, 512, 512)
    b.kernel("gelu", f.ACTIVATION, [x], elements=64 * 512, vector_ops=64 * 512 * 8)
    b.kernel("cat", f.DATA_MOVEMENT, [x, b.input(2**23)], elements=2**23 + 64 * 512)
    workload = b.workload()
    for path, figure in chosen.figures().items():
        values = np.array([figure.typical * 0.5, figure.typical])
        if path.endswith((".batch", ".elements")):
            continue  # Which library a convolution goes to is not sampled.
        for precision in ("int8", "w8"):
            swept = latency_variants(
                workload, "epyc_9654", {path: values}, precision, software=chosen
            )
            inner = path.removeprefix(f"software.{name}.").split(".")
            alone = []
            for value in values.tolist():
                tree: Any = Figure(value, value, value, figure.unit)
                for part in reversed(inner):
                    tree = {part: tree}
                changed = chosen.overlaid(tree, "test")
                found = estimate(workload, "epyc_9654", precision, software=changed)
                alone.append(found.latency_ms)
            np.testing.assert_allclose(swept, alone, rtol=1e-12, err_msg=path)


def test_a_precision_may_have_fusion_rules_of_its_own() -> None:
    b = Builder()
    hidden = b.linear(b.input(64 * 64), 64, 64, 64)
    b.kernel("relu", f.ACTIVATION, [hidden], elements=64 * 64, vector_ops=64 * 64)
    workload = b.workload()
    chosen = software(precision={"int8": {"fusion": ["linear_activation"]}})
    assert len(estimate(workload, EPYC, "fp32", software=chosen).kernels) == 2
    assert len(estimate(workload, EPYC, "int8", software=chosen).kernels) == 1
    with pytest.raises(MachineError, match="unknown rule 'linear_activatoin'"):
        software(precision={"int8": {"fusion": ["linear_activatoin"]}})


@pytest.mark.parametrize("cpu", cpus())
def test_a_narrower_format_is_not_slower_in_small_layers(cpu: str) -> None:
    found = [
        estimate(layers(), cpu, precision, software="openvino").latency_ms
        for precision in ("fp32", "bf16", "int8")
    ]
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize("operator", sorted(RECURRENT))
@pytest.mark.parametrize("steps", [1, 40])
def test_threads_of_a_recurrent_layer_meet_after_each_step(operator: str, steps: int) -> None:
    """The arithmetic of a step is shared by the cores; launched is the layer once."""
    b = Builder()
    x = b.input(steps * 4 * 512)
    b.kernel(operator, f.LINEAR, [x], weights=(b.weight(2048 * 1024),), gemm=(steps, 4, 2048, 1024))
    machine = load_machine("epyc_9654")
    found = times(b.workload(), machine, software())
    assert found.overhead == pytest.approx(1e-6 + steps * 96e-9)
    # What is woken for a grain of work is woken for that of a step.
    grain = software(grain="2 us")
    one_core = found.compute * found.cores / steps
    woken = np.clip(one_core / 2e-6, 1, 96)
    overhead = times(b.workload(), machine, grain).overhead
    assert overhead == pytest.approx(1e-6 + steps * woken * 1e-9, rel=1e-6)


def test_steps_are_no_loop_that_cores_share() -> None:
    def compute(operator: str, gemm: tuple[int, int, int, int]) -> float:
        b = Builder()
        b.kernel(operator, f.LINEAR, [b.input(9)], weights=(b.weight(9),), gemm=gemm)
        found = times(b.workload(), load_machine("epyc_9654"), software())
        return float(found.compute[0])

    assert compute("aten.lstm", (40, 4, 64, 256)) == compute("linear", (1, 4, 64, 40 * 256))
    assert compute("aten.lstm+aten.relu", (40, 4, 64, 256)) > compute("linear", (40, 4, 64, 256))
