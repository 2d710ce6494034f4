from __future__ import annotations

import functools
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import MachineError, PerfmodelError, UnknownName
from perfmodel.machine import Figure, Machine, catalogue, load_machine
from perfmodel.machine.schema import BANDWIDTH_PARTS
from perfmodel.mapping import assumptions, estimate
from perfmodel.mapping.pilots import PILOTS, worth_trying
from perfmodel.mapping.variants import latency_variants
from perfmodel.software import catalogue as software_catalogue
from perfmodel.software import load_software
from perfmodel.vocabulary import families as f
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.examples import anywhere
from tests.mapping.machines import machines
from tests.mapping.test_mappers import linear
from tests.strategies import workloads

EXACT = 1e-12
#: Figures of the memory in whose place a machine may list their product.
LISTED = tuple(f"memory.{part}" for part in BANDWIDTH_PARTS)
#: A value for a figure that a machine need not state, by unit.
SOME = {"Hz": 2e9, "B": 2.0**26, "B/s": 1e11, "op": 1e6, "s": 1e-6, "W": 300.0, "USD": 1e4, "": 1.0}


@functools.cache
def everything() -> Workload:
    """Kernels that between them read every kind of figure: engines, caches, memory, launches."""
    b = Builder(batch=1)
    x = b.input(64 * 14 * 14)
    b.kernel("conv2d", f.POINTWISE_CONV, [x], weights=(b.weight(4096),), gemm=(1, 196, 64, 64))
    b.kernel("conv2d", f.DEPTHWISE_CONV, [x], weights=(b.weight(576),), gemm=(64, 196, 1, 9))
    x = b.kernel("conv2d", f.CONV, [x], weights=(b.weight(36864),), gemm=(1, 196, 64, 576))
    x = b.kernel("max_pool2d", f.POOLING, [x], elements=3136, vector_ops=4 * 3136)
    x = b.linear(x, 49, 4096, 64)
    x = b.kernel("gelu", f.ACTIVATION, [x], elements=49 * 4096, vector_ops=8 * 49 * 4096)
    state = b.tensor(2 * 49 * 4096, "state")
    products, size = 4 * 32 * 49 * 49 * 128, 49 * 4096
    x = b.kernel(
        "attention", f.ATTENTION, [x, state], gemm=(32, 49, 49, 128), flops=products, elements=size
    )
    b.linear(x, 1, 16384, 8192)
    # An output that is touched for the first time, and a product of two activations.
    y = b.kernel("clone", f.DATA_MOVEMENT, [b.input(2**24)], elements=2**24)
    b.kernel("matmul", f.MATMUL, [y, b.input(1024 * 1024)], gemm=(1, 256, 1024, 1024))
    return b.workload()


def one_at_a_time(machine: Machine, path: str, values: np.ndarray, software: str) -> np.ndarray:
    return np.array(
        [
            estimate(
                everything(), machine.with_values({path: float(v)}), "bf16", software=software
            ).latency_ms
            for v in values
        ]
    )


def around(machine: Machine, path: str) -> np.ndarray:
    """Two values that the figure at ``path`` can have: less than what it is, and that."""
    stated, expected = machine.figures(), machine.settable()[path]
    typical = stated[path].typical if path in stated else SOME[expected.unit]
    return np.array([np.ceil(typical / 2) if expected.kind == "count" else typical / 2, typical])


@functools.cache
def alike() -> dict[frozenset[str], list[str]]:
    """CPUs of the catalogue by the figures that they state."""
    found: dict[frozenset[str], list[str]] = {}
    for cpu in catalogue():
        found.setdefault(frozenset(load_machine(cpu).figures()), []).append(cpu)
    return found


def own_share(cpu: str, paths: Iterable[str]) -> list[str]:
    """Those of the paths that fall to a CPU, of all that state the same figures."""
    shared = alike()[frozenset(load_machine(cpu).figures())]
    return sorted(paths)[shared.index(cpu) :: len(shared)]


@pytest.mark.parametrize("cpu", catalogue())
def test_a_sweep_of_any_figure_equals_one_at_a_time(cpu: str) -> None:
    """Of every figure that a machine states or may state; what one refuses, so does the other.

    CPUs that state the same figures share them out: each figure of theirs is held on one of them.
    """
    machine = load_machine(cpu)
    stated, settable = machine.figures(), machine.settable()
    expected = {p: e for p, e in settable.items() if not p.startswith("software.")}
    plain = [
        path
        for path in stated
        if path in expected and expected[path].kind != "count" and path not in LISTED
    ]
    # Each variant halves one of the figures that change nothing else.
    values = {path: np.full(len(plain), stated[path].typical) for path in plain}
    for index, path in enumerate(plain):
        values[path][index] /= 2
    # One that takes the whole socket, and one that keeps to a memory domain where there are some.
    for software in ("ideal", *(["openvino"] if machine.numa_domains > 1 else [])):
        found = latency_variants(everything(), machine, values, "bf16", software=software)
        for path in own_share(cpu, plain):
            index = plain.index(path)
            alone = one_at_a_time(machine, path, values[path][index : index + 1], software)
            assert found[index] == pytest.approx(alone[0], rel=EXACT), path
    for path in own_share(cpu, expected.keys() - plain):
        array = around(machine, path)
        try:
            alone = one_at_a_time(machine, path, array, "eager")
        except MachineError:
            with pytest.raises(MachineError):
                latency_variants(everything(), machine, {path: array}, "bf16", software="eager")
            continue
        found = latency_variants(everything(), machine, {path: array}, "bf16", software="eager")
        np.testing.assert_allclose(found, alone, rtol=EXACT, err_msg=path)
    # Of software, as measured on this CPU.
    for path in own_share(cpu, stated.keys() - expected.keys()):
        software = anywhere(path.split(".")[1])
        half = stated[path].typical / 2
        own = machine.with_values({path: Figure(half, half, half, stated[path].unit)})
        alone = estimate(everything(), own, "bf16", software=software).latency_ms
        array = np.array([half])
        found = latency_variants(everything(), machine, {path: array}, "bf16", software=software)
        assert found[0] == pytest.approx(alone, rel=EXACT), path


@pytest.mark.parametrize("cpu", ["xeon_8490h", "epyc_9654"])
def test_a_sweep_of_counts_moves_latency_as_they_do(cpu: str) -> None:
    machine = load_machine(cpu)
    for path, values in (
        ("cores.count", [16, 60, 24, 16]),
        ("memory.channels", [2, 4, 8, 12]),
        ("memory.transfer_rate", [2.4e9, 3.2e9, 4.8e9, 6.4e9]),
    ):
        array = np.array(values, dtype=np.float64)
        found = latency_variants(everything(), machine, {path: array}, "bf16", software="ideal")
        expected = one_at_a_time(machine, path, array, "ideal")
        np.testing.assert_allclose(found, expected, rtol=EXACT, err_msg=path)
        order = np.argsort(array, kind="stable")
        assert np.all(np.diff(found[order]) <= 0), path
        assert found.max() > 1.05 * found.min(), path


@pytest.mark.parametrize("software", software_catalogue())
def test_a_sweep_of_any_figure_of_software_equals_one_at_a_time(software: str) -> None:
    chosen = anywhere(software)
    machine = load_machine("epyc_9654").with_values({"cores.count": 1, "cache.l3_domains": 1})
    for path, figure in (assumptions.figures() | chosen.figures()).items():
        whole = figure.typical.is_integer() and not figure.unit
        values = np.array([1.0, figure.typical] if whole else [figure.typical / 2, figure.typical])
        together, *alone = (
            latency_variants(everything(), machine, {path: part}, "fp32", software=chosen)
            for part in (values, values[:1], values[1:])
        )
        np.testing.assert_allclose(together, np.concatenate(alone), rtol=EXACT, err_msg=path)
        typical = estimate(everything(), machine, "fp32", software=chosen).latency_ms
        assert together[1] == pytest.approx(typical, rel=EXACT), path


@given(workloads(max_kernels=4), machines(), st.data())
@settings(max_examples=40)
def test_a_sweep_of_some_figures_at_once_equals_one_at_a_time(
    workload: Workload, machine: Machine, data: st.DataObject
) -> None:
    # Of a lower maximum, one machine may be refused for another of its clocks; samples are not.
    known = [p for p in machine.figures() if p in machine.settable() and p[-9:] != "clock.max"]
    paths = data.draw(st.lists(st.sampled_from(known), min_size=1, max_size=6))
    values = {}
    for path in paths:
        low, high = around(machine, path)
        choice = st.sampled_from([low, high])
        values[path] = np.array(data.draw(st.lists(choice, min_size=4, max_size=4), label=path))
    ones = [{path: float(array[i]) for path, array in values.items()} for i in range(4)]
    try:
        expected = [estimate(workload, machine.with_values(one)).latency_ms for one in ones]
    except MachineError:
        with pytest.raises(MachineError):
            latency_variants(workload, machine, values)
        return
    np.testing.assert_allclose(latency_variants(workload, machine, values), expected, rtol=EXACT)


def test_samples_of_a_clock_and_of_its_maximum_may_cross() -> None:
    machine = load_machine("ampereone_160")
    clocks = {"clock.sustained": np.array([3e9]), "clock.max": np.array([2.9e9])}
    with pytest.raises(MachineError, match="above the maximum clock"):
        machine.with_values({path: float(array[0]) for path, array in clocks.items()})
    alone = {"clock.sustained": clocks["clock.sustained"]}
    found, expected = (latency_variants(linear(8), machine, values) for values in (clocks, alone))
    assert found == expected


def test_a_listed_bandwidth_varies_beside_what_it_is_a_product_of() -> None:
    machine = load_machine("epyc_9654")
    typical = machine.peak_bandwidth
    machine = machine.with_values({"memory.bandwidth": typical})
    values = {
        "memory.channels": np.array([8.0, 12.0, 12.0]),
        "memory.bandwidth": np.array([typical, typical, typical / 2]),
    }
    ones = [{path: float(array[i]) for path, array in values.items()} for i in range(3)]
    workload = linear(4096)
    expected = [estimate(workload, machine.with_values(one)).latency_ms for one in ones]
    np.testing.assert_allclose(latency_variants(workload, machine, values), expected, rtol=EXACT)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("cores.count", [16.0, 16.5]),
        ("cores.count", [16.0, 0.0]),
        ("cores.count", [96.0, 4.0]),  # fewer than there are L3 domains
        ("memory.sustained", [0.5, 1.5]),
        ("clock.sustained", [2e9, float("nan")]),
        ("clock.sustained", [2e9, float("inf")]),
        ("cache.l3", [-1.0, 1e8]),
        ("assumptions.cache.usable", [0.5, 0.0]),
        ("software.ideal.launch.default", [1e-6, -1e-6]),
    ],
)
def test_a_value_that_a_figure_cannot_have_is_refused(path: str, values: list[float]) -> None:
    with pytest.raises(MachineError, match=r"^epyc_9654: .*; expected ") as caught:
        latency_variants(linear(8), "epyc_9654", {path: np.array(values)}, software="ideal")
    assert "\n" not in str(caught.value)


def test_more_kernels_than_are_evaluated_at_once() -> None:
    """1,200 different ones at 96 core counts are more than one chunk holds."""
    b = Builder()
    for width in range(1, 1201):
        b.linear(b.input(8 * width), 8, 16, width)
    clocks = np.array([2e9, 3e9, 3.5e9])
    found = latency_variants(
        b.workload(), "epyc_9654", {"clock.sustained": clocks}, software="ideal"
    )
    machine = load_machine("epyc_9654")
    expected = [
        estimate(
            b.workload(), machine.with_values({"clock.sustained": clock}), software="ideal"
        ).latency_ms
        for clock in clocks.tolist()
    ]
    np.testing.assert_allclose(found, expected, rtol=EXACT)


def test_each_variant_is_the_estimate_of_that_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    # A chunk of a few variants, so that the seams between chunks are crossed.
    monkeypatch.setattr("perfmodel.mapping.variants._CHUNK_ELEMENTS", 300)
    machine = load_machine("epyc_9654")
    workload = linear(32, layers=3)
    rng = np.random.default_rng(7)
    values = {
        "clock.sustained": rng.uniform(2e9, 3.7e9, 7),
        "memory.sustained": rng.uniform(0.5, 0.9, 7),
        "core.engines.avx512.efficiency.linear": rng.uniform(0.3, 0.9, 7),
    }
    found = latency_variants(workload, machine, values, "bf16")
    for index in range(7):
        one = machine.with_values({path: float(array[index]) for path, array in values.items()})
        assert found[index] == pytest.approx(estimate(workload, one, "bf16").latency_ms, rel=1e-12)


def test_what_cannot_be_evaluated_is_said() -> None:
    with pytest.raises(UnknownName, match=r"clock\.sustained"):
        latency_variants(linear(8), "epyc_9654", {"clock.sustaind": np.ones(3)})
    with pytest.raises(PerfmodelError, match="one common shape"):
        latency_variants(
            linear(8), "epyc_9654", {"clock.base": np.ones(3), "clock.max": np.ones(4)}
        )
    with pytest.raises(PerfmodelError, match="found none"):
        latency_variants(linear(8), "epyc_9654", {})
    for shape in ((), (2, 2)):
        with pytest.raises(PerfmodelError, match="one common shape"):
            latency_variants(linear(8), "epyc_9654", {"clock.base": np.ones(shape)})


def test_pilots_are_asked_where_there_are_many_variants_and_a_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []

    def counted(seconds: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(seconds.shape[-1])
        return worth_trying(seconds, count)

    monkeypatch.setattr("perfmodel.mapping.variants.worth_trying", counted)

    def run(variants: int, software: str = "ideal", **how: object) -> None:
        values = {"clock.sustained": np.linspace(2e9, 3e9, variants)}
        how = {"every_core_count": False} | how
        latency_variants(linear(8), "epyc_9654", values, software=software, **how)  # type: ignore[arg-type]

    run(PILOTS)
    run(PILOTS + 1, every_core_count=True)
    run(PILOTS + 1, cores=np.array([[4.0]]))
    # Where every thread works there is nothing to choose.
    run(PILOTS + 1, "openvino")
    assert asked == []
    run(PILOTS + 1)
    assert len(asked) == 1
    assert asked[0] <= PILOTS


def generating(layers: int = 2, width: int = 4096) -> Workload:
    """Kernels of one step of a decoder: products of one row, a cache, and what is between them."""
    b = Builder(batch=1)
    x = b.input(width)
    for _ in range(layers):
        x = b.kernel("norm", f.NORM, [x], elements=width, vector_ops=6 * width)
        x = b.linear(x, 1, 3 * width, width)
        cache = b.tensor(2 * 512 * width, "state")
        x = b.kernel(
            "attention", f.ATTENTION, [x, cache], gemm=(32, 1, 512, 128), flops=4 * 512 * width,
            elements=width,
        )  # fmt: skip
        x = b.linear(x, 1, 11008, width)
        x = b.kernel("silu", f.ACTIVATION, [x], elements=11008, vector_ops=8 * 11008)
        x = b.linear(x, 1, width, 11008)
    b.linear(x, 1, 32000, width)
    return b.workload()


#: What an exploration varies first, where a machine states it.
VARIED = (
    "clock.sustained",
    "memory.sustained",
    "memory.per_core",
    "core.cache_bandwidth.l2",
    "core.cache_bandwidth.l3",
    "cache.l2",
    "parallel_region.per_doubling",
    "software.ideal.launch.default",
    "assumptions.cache.usable",
)


@pytest.mark.parametrize("cpu", ["xeon_8490h", "epyc_9654", "ampereone_192", "graviton4"])
@pytest.mark.parametrize("model", [everything, generating, functools.partial(linear, 64, 512, 512)])
def test_a_choice_of_core_counts_is_within_a_thousandth_and_never_below(
    model: Callable[[], Workload], cpu: str
) -> None:
    machine = load_machine(cpu)
    stated = machine.figures() | assumptions.figures() | load_software("ideal").figures()
    rng = np.random.default_rng(3)
    for count in range(1, len(VARIED) + 1, 2):
        paths = [path for path in rng.permutation(VARIED)[:count] if path in stated]
        values = {path: stated[path].typical * rng.uniform(0.8, 1.0, 1500) for path in paths}
        if not values:
            continue
        for precision in ("int8", "fp32"):
            exact, quick = (
                latency_variants(
                    model(), machine, values, precision, software="ideal", every_core_count=every
                )
                for every in (True, False)
            )
            assert np.all(quick >= exact * (1 - EXACT))
            np.testing.assert_allclose(quick, exact, rtol=1e-3, err_msg=str(paths))


def test_a_choice_of_core_counts_holds_on_a_grid_whose_period_is_that_of_equal_steps() -> None:
    """A cache that all pilots at equal steps would have alike, and other variants not."""
    machine = load_machine("epyc_9654")
    values = {
        "clock.sustained": np.repeat(np.linspace(2e9, 3e9, 1024), 8),
        "memory.per_core": np.tile(np.linspace(5e9, 40e9, 8), 1024),
    }
    exact, quick = (
        latency_variants(generating(), machine, values, software="ideal", every_core_count=every)
        for every in (True, False)
    )
    np.testing.assert_allclose(quick, exact, rtol=1e-3)


def test_assumptions_vary_like_figures() -> None:
    seconds = np.array([1e-6, 3e-6])
    path = "software.ideal.launch.default"
    slow, slower = latency_variants(
        linear(8, layers=5), "epyc_9654", {path: seconds}, software="ideal"
    )
    assert slower - slow == pytest.approx(5 * 2e-3)
    with pytest.raises(UnknownName, match="launch"):
        latency_variants(linear(8), "epyc_9654", {"software.ideal.x": seconds}, software="ideal")
