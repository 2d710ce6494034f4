"""Laws of the model: what must hold for every workload on every machine.

Golden values say that nothing changed; these say that what there is makes sense.
"""

from __future__ import annotations

import json
import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from perfmodel.errors import NoKernels, PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping import Result, estimate, mapper_for
from perfmodel.mapping.columns import columns
from perfmodel.mapping.prepared import prepare
from perfmodel.mapping.variants import latency_variants
from perfmodel.scenario import Scenario
from perfmodel.software import Software, catalogue, load_software
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import PRECISIONS, get_precision
from perfmodel.workload.fusion import fuse
from perfmodel.workload.workload import INPUT, OUTPUT, WEIGHT, Accesses, Kernels, Workload
from tests.builder import Builder
from tests.examples import anywhere
from tests.mapping.closed_forms import ideal_seconds, peak_of
from tests.mapping.machines import (
    bandwidths,
    clocks,
    durations,
    efficiencies,
    machines,
    scaled,
)
from tests.strategies import workloads

PRECISION = st.sampled_from(sorted(PRECISIONS))
STATE = st.sampled_from(["steady", "cold"])
RUNTIME = st.sampled_from(catalogue()).map(anywhere)
#: Software that adds nothing to a kernel but its launch.
PLANNED = st.sampled_from(("ideal", "llama_cpp")).map(anywhere)
#: Sums of many terms differ in their last bits with the order of addition.
EXACT = 1e-9


def not_above(smaller: float, larger: float) -> bool:
    return smaller <= larger * (1 + EXACT)


@given(workloads(), machines(), PRECISION, STATE, RUNTIME)
def test_latency_is_at_least_the_roofline(
    workload: Workload, machine: Machine, precision: str, state: str, runtime: Software
) -> None:
    found = estimate(workload, machine, precision, state=state, software=runtime)
    # Each engine's work at its peak in the format it runs, not in the fastest that it knows.
    least = sum(
        done / peak_of(machine, found, family, engine)
        for (engine, family), done in found.flops_by_engine().items()
    )
    assert not_above(least, found.latency_ms / 1e3)
    assert sum(found.flops_by_engine().values()) == workload.flops
    if state == "cold":
        smallest = workload.weight_bytes(precision) / machine.sustained_bandwidth
        read_once = len(set(workload.accesses.tensor[workload.accesses.role == WEIGHT])) == np.sum(
            workload.accesses.role == WEIGHT
        )
        assert not read_once or not_above(smallest, found.latency_ms / 1e3)


@given(workloads(), machines(), PRECISION, STATE, st.floats(1.0, 3.0))
@pytest.mark.parametrize("kind", [bandwidths, clocks])
def test_latency_never_grows_with_bandwidth_or_clock(
    kind, workload: Workload, machine: Machine, precision: str, state: str, factor: float
) -> None:
    faster = scaled(machine, kind(machine), factor)
    assert not_above(
        estimate(workload, faster, precision, state=state).latency_ms,
        estimate(workload, machine, precision, state=state).latency_ms,
    )


@given(workloads(), machines(), PRECISION, st.data())
def test_latency_never_grows_with_one_figure_that_is_a_rate(
    workload: Workload, machine: Machine, precision: str, data: st.DataObject
) -> None:
    paths = bandwidths(machine) + clocks(machine) + efficiencies(machine)
    path = data.draw(st.sampled_from(paths))
    factor = data.draw(st.floats(0.3, 1.0))
    slower = scaled(machine, [path], factor)
    assert not_above(
        estimate(workload, machine, precision).latency_ms,
        estimate(workload, slower, precision).latency_ms,
    )


@given(workloads(), machines(), PRECISION, STATE, st.integers(1, 64))
def test_latency_never_grows_with_cores(
    workload: Workload, machine: Machine, precision: str, state: str, more: int
) -> None:
    """Where as many work as suit a kernel: all of them may meet for longer than they bring."""
    larger = machine.with_values({"cores.count": machine.cores.count.typical + more})
    many, few = (
        estimate(workload, each, precision, state=state, software="ideal").latency_ms
        for each in (larger, machine)
    )
    assert not_above(many, few)


@given(workloads(), machines(), PRECISION, st.integers(2, 5), st.data())
@pytest.mark.parametrize("what", ["flops", "vector_ops", "elements"])
def test_latency_never_falls_with_work(
    what: str, workload: Workload, machine: Machine, precision: str, times: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(workload) - 1))
    if what == "elements":
        assume(np.any(workload.accesses.kernel == index))
        elements = workload.accesses.elements.copy()
        elements[workload.accesses.kernel == index] *= times
        # More elements through the same operations: the operations per element stay.
        more = replace(workload, accesses=replace(workload.accesses, elements=elements))
        more = _with_column(more, "vector_ops", index, times)
    else:
        more = _with_column(workload, what, index, times)
    # Unfused: which operators fuse depends on how many elements each writes.
    assert not_above(
        estimate(workload, machine, precision, software="eager").latency_ms,
        estimate(more, machine, precision, software="eager").latency_ms,
    )


def _with_column(workload: Workload, column: str, index: int, times: int) -> Workload:
    values = getattr(workload.kernels, column).copy()
    values[index] *= times
    return replace(workload, kernels=replace(workload.kernels, **{column: values}))


def network(batch: int, layers: list[tuple[str, int, int]]) -> Workload:
    """A stack of layers (kind, rows per sample, width) at a batch size."""
    b = Builder(batch=batch)
    width = 64
    x = b.input(batch * layers[0][1] * width)
    for kind, rows, n in layers:
        m = batch * rows
        if kind == "linear":
            x, width = b.linear(x, m, n, width), n
        elif kind == "conv":
            weight = b.weight(n * 9 * width)
            x = b.kernel("conv2d", f.CONV, [x], weights=(weight,), gemm=(1, m, n, 9 * width))
            width = n
        elif kind == "attention":
            x = b.kernel(
                "attention",
                f.ATTENTION,
                [x],
                gemm=(batch * 4, rows, rows, 16),
                flops=4 * batch * 4 * rows * rows * 16,
                elements=m * width,
                vector_ops=5 * batch * 4 * rows * rows,
            )
        else:
            x = b.kernel("gelu", f.ACTIVATION, [x], elements=m * width, vector_ops=8 * m * width)
    return b.workload()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["linear", "conv", "attention", "gelu"]),
            st.integers(1, 300),
            st.integers(1, 600),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 40),
    st.integers(1, 40),
    machines(),
    PRECISION,
    STATE,
    RUNTIME,
)
def test_latency_never_falls_with_batch(
    layers: list[tuple[str, int, int]],
    batch: int,
    more: int,
    machine: Machine,
    precision: str,
    state: str,
    runtime: Software,
) -> None:
    # Eager PyTorch reads the matrix of one row in 16 bits element by element, of two rows it packs.
    software = runtime.model_copy(update={"conversion": None})
    small, large = (
        estimate(network(b, layers), machine, precision, state=state, software=software).latency_ms
        for b in (batch, batch + more)
    )
    assert not_above(small, large)


NARROW_TO_WIDE = pytest.mark.parametrize(
    "from_narrow_to_wide",
    [("int8", "bf16", "fp32"), ("w4", "w8", "bf16"), ("int8", "w8"), ("fp16", "fp32")],
    ids=" ".join,
)


@given(workloads(), machines(), STATE, st.just("ideal"))
@NARROW_TO_WIDE
def test_a_narrower_format_is_never_slower(
    from_narrow_to_wide: tuple[str, ...],
    workload: Workload,
    machine: Machine,
    state: str,
    runtime: str,
) -> None:
    latencies = [
        estimate(workload, machine, precision, state=state, software=runtime).latency_ms
        for precision in from_narrow_to_wide
    ]
    for narrow, wide in pairwise(latencies):
        assert not_above(narrow, wide)


@given(workloads(), machines(), STATE)
@NARROW_TO_WIDE
def test_a_narrower_format_is_slower_in_eager_mode_for_what_software_adds_alone(
    from_narrow_to_wide: tuple[str, ...], workload: Workload, machine: Machine, state: str
) -> None:
    # PyTorch gives small FP32 convolutions to another library, and converts 16-bit elements.
    neutral = load_software("eager").model_copy(
        update={"native_convolution": None, "conversion": None, "efficiency": {}}
    )
    latencies = []
    for precision in from_narrow_to_wide:
        table = columns(workload, get_precision(precision))
        seconds = mapper_for(machine).latency(table, neutral, state)
        latencies.append(float(seconds @ table.count))
    for narrow, wide in pairwise(latencies):
        assert not_above(narrow, wide)


@given(workloads(), machines(), PRECISION, RUNTIME)
def test_a_steady_run_is_never_slower_than_a_cold_one(
    workload: Workload, machine: Machine, precision: str, runtime: Software
) -> None:
    steady, cold = (
        estimate(workload, machine, precision, state=state, software=runtime).latency_ms
        for state in ("steady", "cold")
    )
    assert not_above(steady, cold)


@given(workloads(allow_unmodelled=True), machines(), PRECISION, STATE, RUNTIME)
def test_the_parts_make_the_whole(
    workload: Workload, machine: Machine, precision: str, state: str, runtime: Software
) -> None:
    found = estimate(workload, machine, precision, state=state, software=runtime)
    assert sum(k.latency_ms for k in found.kernels) == pytest.approx(found.latency_ms)
    assert sum(k.share for k in found.kernels) == pytest.approx(1)
    assert sum(found.bottleneck_shares.values()) == pytest.approx(1)
    assert found.bottleneck_shares[found.bottleneck] == max(found.bottleneck_shares.values())
    assert found.throughput_fps == pytest.approx(workload.batch / found.latency_ms * 1e3)
    assert sum(k.flops for k in found.kernels) == workload.flops
    assert 1 <= found.active_cores <= machine.cores.count.typical
    # The mean of whole numbers that are equal is that number, to the last digit.
    used = {kernel.cores for kernel in found.kernels}
    assert min(used) * (1 - 1e-9) <= found.mean_active_cores <= max(used) == found.active_cores
    assert found.mean_active_cores == found.active_cores or len(used) > 1
    for kernel in found.kernels:
        parts = {"compute": kernel.compute_ms, "overhead": kernel.overhead_ms}
        parts[kernel.level] = kernel.memory_ms
        assert parts[kernel.bound] == max(parts.values())
        # Compute and memory overlap wholly, in part, or not at all.
        work = (kernel.compute_ms, kernel.memory_ms)
        assert not_above(max(work) + kernel.overhead_ms, kernel.latency_ms)
        assert not_above(kernel.latency_ms, sum(work) + kernel.overhead_ms)


@given(workloads(allow_unmodelled=True), machines(), PRECISION, STATE)
def test_utilisation_is_what_the_engines_could_have_done_weighted_by_time(
    workload: Workload, machine: Machine, precision: str, state: str
) -> None:
    # Kernel by kernel: quantised models are fused under eager, too.
    unfused = load_software("eager").model_copy(update={"precision": {}})
    found = estimate(workload, machine, precision, state=state, software=unfused)
    assert 0 <= found.utilization <= 1
    if workload.flops or workload.vector_ops:
        assert found.utilization > 0
    seconds = np.array([kernel.latency_ms for kernel in found.kernels]) / 1e3
    own = ideal_seconds(workload, machine, found) / seconds
    assert found.utilization == pytest.approx(np.average(own, weights=seconds))


def test_utilisation_of_a_long_and_a_short_kernel_is_nearly_that_of_the_long_one() -> None:
    """By hand: a product near its peak, and launches of next to nothing."""
    machine = load_machine("epyc_9654")
    b = Builder()
    b.linear(b.input(8192 * 4096), 8192, 4096, 4096)
    alone = estimate(b.workload(), machine, "fp32", state="cold")
    for _ in range(3):
        b.kernel("relu", f.ACTIVATION, [b.input(1)], elements=1, vector_ops=1)
    both = estimate(b.workload(), machine, "fp32", state="cold")
    assert alone.utilization > 0.25
    worked = alone.utilization * alone.latency_ms
    assert both.utilization == pytest.approx(worked / both.latency_ms, rel=1e-6)


@given(
    machines(),
    PRECISION,
    STATE,
    PLANNED,
    st.sampled_from(f.FAMILIES),
)
@settings(max_examples=50)
def test_a_kernel_without_elements_or_operations_costs_its_launch_alone(
    machine: Machine, precision: str, state: str, runtime: Software, family: str
) -> None:
    b = Builder()
    b.kernel("nothing", family, [b.input(0)], elements=0)
    (kernel,) = estimate(b.workload(), machine, precision, state=state, software=runtime).kernels
    assert (kernel.compute_ms, kernel.memory_ms) == (0, 0)
    assert kernel.latency_ms == kernel.overhead_ms > 0
    assert kernel.moved_bytes == 0


def renamed(workload: Workload) -> Workload:
    kernels = workload.kernels
    names = tuple(f"other.{i}" for i in range(len(workload)))
    return replace(workload, name="other", kernels=replace(kernels, name=names))


def reordered(workload: Workload, seed: int) -> Workload:
    """The same kernels in another order that respects what each reads and overwrites."""
    a = workload.accesses
    after: list[set[int]] = [set() for _ in range(len(workload))]
    last_write: dict[int, int] = {}
    readers: dict[int, set[int]] = {}
    for kernel, tensor, role in sorted(
        zip(a.kernel.tolist(), a.tensor.tolist(), a.role.tolist(), strict=True),
        key=lambda row: (row[0], row[2] == OUTPUT),
    ):
        if role == WEIGHT:
            continue
        if tensor in last_write and last_write[tensor] != kernel:
            after[kernel].add(last_write[tensor])
        if role == OUTPUT:
            after[kernel] |= readers.get(tensor, set()) - {kernel}
            last_write[tensor] = kernel
        readers.setdefault(tensor, set()).add(kernel)
    shuffle = random.Random(seed)
    order: list[int] = []
    while len(order) < len(workload):
        ready = [i for i in range(len(workload)) if i not in order and after[i] <= set(order)]
        order.append(shuffle.choice(ready))
    position = np.argsort(order)
    rows = np.argsort(position[a.kernel], kind="stable")
    k = workload.kernels
    return replace(
        workload,
        kernels=Kernels(
            name=tuple(k.name[i] for i in order),
            operator=tuple(k.operator[i] for i in order),
            family=k.family[order],
            flops=k.flops[order],
            vector_ops=k.vector_ops[order],
            gemm=k.gemm[order],
        ),
        accesses=Accesses(position[a.kernel][rows], a.tensor[rows], a.role[rows], a.elements[rows]),
    )


@given(workloads(), machines(), PRECISION, STATE, st.integers(0, 1000))
def test_names_and_the_order_of_independent_kernels_do_not_matter(
    workload: Workload, machine: Machine, precision: str, state: str, seed: int
) -> None:
    original = estimate(workload, machine, precision, state=state, software="eager").latency_ms
    for other in (renamed(workload), reordered(workload, seed)):
        found = estimate(other, machine, precision, state=state, software="eager").latency_ms
        assert found == pytest.approx(original, rel=EXACT)


@given(workloads(), machines(), PRECISION, STATE, st.floats(0.25, 1.0))
def test_scaling_every_rate_scales_latency(
    workload: Workload, machine: Machine, precision: str, state: str, factor: float
) -> None:
    runtime = load_software("ideal")
    launch = runtime.launch["default"].typical / factor
    slower_runtime = runtime.overlaid({"launch": {"default": f"{launch} s"}}, "slower")
    # Cache bandwidths are per cycle: the clock scales them already.
    rates = [p for p in bandwidths(machine) if not p.endswith(("_bandwidth.l2", "_bandwidth.l3"))]
    slower = scaled(machine, rates + clocks(machine), factor)
    slower = scaled(slower, durations(machine), 1 / factor)
    table = columns(fuse(workload), get_precision(precision))
    original = mapper_for(machine).times(table, runtime, state).latency
    found = mapper_for(slower).times(table, slower_runtime, state).latency
    np.testing.assert_allclose(found * factor, original, rtol=EXACT)


@given(workloads(), machines(), PRECISION, STATE, RUNTIME)
def test_a_round_trip_through_json_changes_nothing(
    tmp_path_factory,
    workload: Workload,
    machine: Machine,
    precision: str,
    state: str,
    runtime: Software,
) -> None:
    path = tmp_path_factory.mktemp("trip") / "workload.json"
    workload.save(path)
    again = estimate(Workload.load(path), machine, precision, state=state, software=runtime)
    assert _facts(again) == _facts(
        estimate(workload, machine, precision, state=state, software=runtime)
    )


def _facts(found: Result) -> tuple[object, ...]:
    return found.to_dict(), found.kernels


@given(workloads(), machines(), PRECISION, STATE, st.integers(0, 2**32 - 1))
def test_a_vector_of_machines_equals_one_at_a_time(
    workload: Workload, machine: Machine, precision: str, state: str, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    figures = machine.figures()
    moved = bandwidths(machine) + clocks(machine) + efficiencies(machine) + durations(machine)
    # The maximum clock bounds the others, and is not read.
    moved = [path for path in moved if not path.endswith("clock.max")]
    values = {path: figures[path].typical * rng.uniform(0.5, 1.0, 5) for path in moved}
    runtime = load_software("ideal")
    table = columns(fuse(workload), get_precision(precision))
    together = mapper_for(machine, values).times(table, runtime, state)
    for sample in range(5):
        alone_values = {path: value[sample] for path, value in values.items()}
        alone = mapper_for(machine.with_values(alone_values)).times(table, runtime, state)
        np.testing.assert_allclose(together.latency[sample], alone.latency, rtol=EXACT)
        np.testing.assert_array_equal(together.engine[sample], alone.engine)


@given(workloads(), machines(), PRECISION)
def test_fusing_saves_time_and_keeps_the_work(
    workload: Workload, machine: Machine, precision: str
) -> None:
    fused = fuse(workload)
    assert fused.flops == workload.flops
    assert fused.vector_ops <= workload.vector_ops
    for role in (WEIGHT, INPUT, OUTPUT):
        assert np.sum(fused.traced_bytes(role)) <= np.sum(workload.traced_bytes(role))
    assert len(fused) <= len(workload)
    assert fused.weight_bytes("fp32") == workload.weight_bytes("fp32")


def test_a_policy_of_the_same_name_is_another_policy() -> None:
    """What is kept of a workload is kept for the policy, not for what it is called."""
    workload, machine = network(1, [("linear", 64, 64)]), load_machine("epyc_9654")
    usual = get_precision("int8")
    wide = replace(usual, weight_bits=usual.weight_bits * 4)
    narrow, wider = (prepare(workload, Scenario(policy), machine)[1] for policy in (usual, wide))
    assert wider.resident_bytes == 4 * narrow.resident_bytes
    assert prepare(workload, Scenario(usual), machine)[1] is narrow


@pytest.mark.parametrize("software", catalogue())
def test_a_workload_without_kernels_has_no_latency_and_says_so(software: str) -> None:
    whole = network(1, [("linear", 4, 4)])
    nothing = replace(
        whole,
        kernels=Kernels((), (), *(np.zeros(0, np.int64) for _ in range(3)), np.zeros((0, 4), int)),
        accesses=Accesses(*(np.zeros(0, np.int64) for _ in range(4))),
    )
    with pytest.raises(NoKernels, match="tiny: nothing in it computes or moves data"):
        estimate(nothing, "epyc_9654", software=anywhere(software))
    with pytest.raises(NoKernels):
        latency_variants(nothing, "epyc_9654", {"clock.sustained": np.ones(2) * 1e9})
    assert issubclass(NoKernels, PerfmodelError)


@given(workloads(allow_unmodelled=True), machines(), PRECISION, STATE, RUNTIME)
def test_no_figure_of_an_estimate_is_infinite_or_undefined(
    workload: Workload, machine: Machine, precision: str, state: str, runtime: Software
) -> None:
    found = estimate(workload, machine, precision, state=state, software=runtime)
    json.dumps([found.to_dict(), [vars(kernel) for kernel in found.kernels]], allow_nan=False)
    assert found.latency_ms > 0
