"""What each vendor's mapper decides: engines, formats, caches, memory."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perfmodel.errors import MachineError, PerfmodelError, UnknownName
from perfmodel.figures.checking import validated
from perfmodel.figures.figure import Figure, Origin
from perfmodel.figures.record import tree_of
from perfmodel.machine import Machine, load_machine
from perfmodel.machine.parts import with_cores
from perfmodel.mapping import (
    AmdMapper,
    AmpereMapper,
    IntelMapper,
    Mapper,
    Result,
    mapper_for,
    register_mapper,
)
from perfmodel.mapping.columns import columns
from perfmodel.mapping.roofline import Rate
from perfmodel.software import load_software
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import get_precision
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.mapping.bound import estimate
from tests.mapping.closed_forms import ideal_seconds

MIB = 2**20


def linear(m: int, n: int = 4096, k: int = 4096, layers: int = 1) -> Workload:
    b = Builder()
    x = b.input(m * k)
    for _ in range(layers):
        x = b.linear(x, m, n, k)
    return b.workload()


def attention(tokens: int = 256) -> Workload:
    b = Builder()
    qkv = b.input(3 * tokens * 1024)
    b.kernel(
        "attention",
        f.ATTENTION,
        [qkv],
        gemm=(16, tokens, tokens, 64),
        flops=4 * 16 * tokens * tokens * 64,
        elements=tokens * 1024,
        vector_ops=5 * 16 * tokens * tokens,
    )
    return b.workload()


def engine(found: Result) -> str:
    (kernel,) = found.kernels
    return kernel.engine


def test_each_catalogue_machine_has_its_mapper() -> None:
    found = {cpu: type(mapper_for(load_machine(cpu))) for cpu in ("xeon_8490h", "epyc_9654")}
    assert found == {"xeon_8490h": IntelMapper, "epyc_9654": AmdMapper}
    assert type(mapper_for(load_machine("ampereone_192"))) is AmpereMapper


@pytest.mark.parametrize(
    ("cpu", "precision", "expected"),
    [
        ("xeon_8490h", "int8", "amx"),
        ("xeon_8490h", "bf16", "amx"),
        ("xeon_8490h", "fp32", "avx512"),
        ("epyc_9654", "int8", "avx512"),
        ("epyc_9654", "fp32", "avx512"),
        ("ampereone_192", "int8", "neon"),
    ],
)
def test_which_engine_runs_a_large_linear_layer(cpu: str, precision: str, expected: str) -> None:
    assert engine(estimate(linear(512), cpu, precision)) == expected


def test_attention_stays_bf16_in_int8_models() -> None:
    int8, bf16 = (estimate(attention(), "xeon_8490h", p) for p in ("int8", "bf16"))
    assert int8.latency_ms == bf16.latency_ms
    assert engine(int8) == "amx"


def test_amx_is_left_where_padding_costs_more_than_it_brings() -> None:
    """One row on a 16-row tile: 1/16 of 2,048 operations per cycle is half of AVX-512's 256."""
    one_row = linear(1, n=256, k=256)
    assert engine(estimate(one_row, "xeon_8490h", "int8")) == "avx512"
    assert engine(estimate(linear(16, n=256, k=256), "xeon_8490h", "int8")) == "amx"


@pytest.mark.parametrize("cpu", ["graviton3", "graviton4"])
def test_matrix_instructions_of_neoverse_take_two_rows(cpu: str) -> None:
    """Half-filled by one row, and by a depth of one, they are left to the dot products."""
    alone = load_machine(cpu).with_values({"cores.count": 1})
    assert engine(estimate(linear(1), alone, "int8")) == "sve"
    assert engine(estimate(linear(64), alone, "int8")) == "mmla"
    assert engine(estimate(linear(64), alone, "bf16")) == "mmla"
    assert engine(estimate(linear(64), alone, "fp32")) == "sve"
    for rows in (1, 2, 3):
        shallow = linear(rows, n=8, k=1)
        times = [
            estimate(shallow, alone, p).kernels[0].compute_ms for p in ("int8", "bf16", "fp32")
        ]
        assert times == sorted(times)


def test_ampereone_has_no_use_for_matrix_instructions() -> None:
    machine = load_machine("ampereone_192")
    assert "i8mm" in machine.core.isa
    assert list(machine.core.engines) == ["neon"]


def test_matrix_instructions_need_their_flag() -> None:
    machine = load_machine("graviton3")
    isa = tuple(flag for flag in machine.core.isa if flag != "i8mm")
    without = machine.model_copy(update={"core": machine.core.model_copy(update={"isa": isa})})
    assert AmpereMapper(without).executes("mmla", f.LINEAR, "int8").fmt == "bf16"
    assert AmpereMapper(machine).executes("mmla", f.LINEAR, "int8").fmt == "int8"
    assert AmpereMapper(machine).executes("mmla", f.LINEAR, "fp32") is None


def test_an_engine_whose_instructions_the_core_lacks_is_not_used() -> None:
    machine = load_machine("xeon_8490h")
    isa = tuple(flag for flag in machine.core.isa if flag != "amx_int8")
    without = machine.model_copy(update={"core": machine.core.model_copy(update={"isa": isa})})
    assert IntelMapper(without).executes("amx", f.LINEAR, "int8").fmt == "bf16"
    assert IntelMapper(machine).executes("amx", f.LINEAR, "int8").fmt == "int8"


def test_a_format_nobody_has_is_said_in_the_notes() -> None:
    machine = load_machine("epyc_9654")
    isa = tuple(flag for flag in machine.core.isa if flag != "avx512_bf16")
    without = machine.model_copy(update={"core": machine.core.model_copy(update={"isa": isa})})
    found = estimate(linear(512), without, "bf16")
    assert found.notes == ("epyc_9654 under ideal has no bf16 arithmetic: products run in fp32",)
    assert estimate(linear(512), machine, "bf16").notes == ()
    assert found.latency_ms > estimate(linear(512), machine, "bf16").latency_ms


def test_depthwise_convolutions_vectorise_over_channels() -> None:
    b = Builder()
    weight = b.weight(512 * 9)
    b.kernel(
        "conv2d", f.DEPTHWISE_CONV, [b.input(512 * 784)], weights=(weight,), gemm=(512, 784, 1, 9)
    )
    found = estimate(b.workload(), "xeon_8490h", "int8")
    (kernel,) = found.kernels
    assert kernel.engine == "avx512"
    machine = load_machine("xeon_8490h")
    avx512 = machine.core.engines["avx512"]
    rate = (
        avx512.ops_per_cycle["int8"].typical
        * machine.engine_clock("avx512").typical
        * avx512.efficiency[f.DEPTHWISE_CONV].typical
    )
    tiles = 784 * 512 / 16
    busiest = np.ceil(tiles / kernel.cores) * 16 * 2 * 12  # nine taps padded to twelve
    assert kernel.compute_ms == pytest.approx(busiest / rate * 1e3)


def residency(cpu: str, megabytes: float, state: str = "steady") -> str:
    """Level of the weights of one INT8 linear layer of this size."""
    n = 8192
    k = int(megabytes * MIB / n)
    found = estimate(linear(8, n, k), cpu, "int8", state=state)
    return found.levels(0)["weight"]


@pytest.mark.parametrize(
    ("cpu", "fits", "does_not"),
    [
        ("xeon_8490h", 80, 100),  # 112.5 MiB of L3
        ("epyc_9654", 280, 320),  # 12 x 32 MiB, each complex with its share of the channels
        ("ampereone_192", 48, 60),  # 64 MiB of system-level cache
    ],
)
def test_steady_weights_stay_in_the_last_level_cache_if_they_fit(
    cpu: str, fits: float, does_not: float
) -> None:
    assert residency(cpu, fits) == "L3"
    assert residency(cpu, does_not) == "DRAM"
    assert residency(cpu, fits, "cold") == "DRAM"


def test_weights_that_cannot_be_split_are_copied_into_every_complex() -> None:
    """16 output channels are one block: all twelve complexes need all of its weights."""
    narrow = linear(8, n=16, k=2 * MIB)  # 32 MiB in INT8
    assert estimate(narrow, "epyc_9654", "int8").levels(0)["weight"] == "DRAM"
    whole = load_machine("epyc_9654").with_values({"cache.l3_domains": 1})
    assert estimate(narrow, whole, "int8").levels(0)["weight"] == "L3"


def test_many_small_layers_count_together() -> None:
    assert estimate(linear(8, 1024, 1024, 64), "xeon_8490h", "int8").levels(0)["weight"] == "L3"
    assert estimate(linear(8, 1024, 1024, 128), "xeon_8490h", "int8").levels(0)["weight"] == "DRAM"


def test_what_cores_share_is_no_nearer_than_the_last_level_cache() -> None:
    found = estimate(linear(512, 512, 512), "xeon_8490h", "int8")
    assert found.active_cores > 1
    assert found.levels(0)["input"] == "L3"
    alone = load_machine("xeon_8490h").with_values({"cores.count": 1})
    assert estimate(linear(64, 512, 512), alone, "int8").levels(0)["input"] == "L2"


def test_memory_bandwidth_grows_with_cores_and_complexes_up_to_the_socket() -> None:
    mapper = mapper_for(load_machine("epyc_9654"))
    machine = mapper.machine
    few, complexes, all_cores = mapper.dram_bandwidth(np.array([1.0, 12.0, 96.0]))
    assert few == machine.memory.per_core.typical
    per_domain = machine.memory.per_domain
    assert per_domain is not None
    assert complexes <= 12 * min(per_domain.typical, machine.memory.per_core.typical)
    assert all_cores == pytest.approx(machine.sustained_bandwidth)


def test_the_parallel_region_costs_what_the_machine_says() -> None:
    machine = load_machine("xeon_8490h")
    table = columns(linear(8), get_precision("int8"))
    cores = np.array([[1.0], [2.0], [8.0]])
    software = load_software("ideal")
    mapper = mapper_for(machine)
    times = [mapper.times(table, software, cores=count[None]) for count in cores]
    overhead = np.array([float(found.overhead[0]) for found in times])
    region = overhead - software.launch["default"].typical
    base = machine.parallel_region.base.typical
    step = machine.parallel_region.per_doubling.typical
    assert region.tolist() == pytest.approx([0.0, base + step, base + 3 * step])


def test_eager_charges_every_operator_at_its_measured_cost() -> None:
    b = Builder()
    x = b.linear(b.input(64), 1, 64, 64)
    b.kernel("gelu", f.ACTIVATION, [x], elements=64, vector_ops=64 * 8)
    one_core = with_cores(load_machine("epyc_9654"), 1)
    eager = estimate(b.workload(), one_core, "fp32", software="eager")
    planned = estimate(b.workload(), one_core, "fp32")
    assert [k.operator for k in eager.kernels] == ["linear", "gelu"]
    assert [k.operator for k in planned.kernels] == ["linear+gelu"]
    touching = load_software("eager").touching
    assert touching is not None
    for kernel, launch_us in zip(eager.kernels, (5.2, 4.6), strict=True):
        moved = 2 * 64 * 4 / touching.typical
        assert kernel.overhead_ms == pytest.approx(launch_us * 1e-3 + moved * 1e3)


def test_fps_per_watt_states_its_basis() -> None:
    found = estimate(linear(8), "ampereone_192")
    tdp = load_machine("ampereone_192").power.tdp.typical
    assert found.fps_per_watt == pytest.approx(found.throughput_fps / tdp)
    assert "usage power" in found.power_basis


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cpu": "epyc_9645"}, "did you mean 'epyc_9654'"),
        ({"precision": "int9"}, "did you mean 'int8'"),
        ({"state": "stead"}, "did you mean 'steady'"),
        ({"software": "eagre"}, "did you mean 'eager'"),
    ],
)
def test_unknown_names_suggest_the_nearest(arguments: dict[str, str], message: str) -> None:
    with pytest.raises(UnknownName, match=message):
        estimate(linear(8), **({"cpu": "epyc_9654"} | arguments))  # type: ignore[arg-type]


def test_a_figure_the_machine_lacks_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"memory\.sustained"):
        mapper_for(load_machine("epyc_9654"), {"memory.sustaned": 0.5})


def test_an_engine_is_data_whatever_it_is_called() -> None:
    machine = load_machine("xeon_8490h")
    tree = tree_of(machine)
    for table in (tree["core"]["engines"], tree["clock"]["engine"]):
        table["sme"] = table.pop("amx")
    other = validated(Machine, tree, Origin("test.toml", {}))
    found, expected = (estimate(linear(1024), m, "int8") for m in (other, machine))
    assert (found.kernels[0].engine, found.latency_ms) == ("sme", expected.latency_ms)


def test_a_mapper_of_ones_own_is_registered_from_outside() -> None:
    class HalfAsFast(Mapper):
        """A CPU whose every core does half the work."""

        def clock(self, engine: str) -> Rate:
            return super().clock(engine) / 2

    with pytest.raises(UnknownName, match="mapper of epyc_9654 'half_as_fast'"):
        mapper_for(load_machine("epyc_9654").model_copy(update={"mapper": "half_as_fast"}))
    register_mapper("half_as_fast", HalfAsFast)
    own = load_machine("epyc_9654").model_copy(update={"mapper": "half_as_fast"})
    slow, fast = (estimate(linear(1024), m).kernels[0].compute_ms for m in (own, "epyc_9654"))
    assert slow == pytest.approx(2 * fast)
    with pytest.raises(PerfmodelError, match="is HalfAsFast; replace=True"):
        register_mapper("half_as_fast", IntelMapper)
    register_mapper("half_as_fast", IntelMapper, replace=True)


def test_an_intel_machine_with_several_cache_domains_is_mapped_as_such() -> None:
    """A tensor that all cores read needs a copy in each domain: half of it fits no more."""
    whole = load_machine("xeon_8490h")
    divided = whole.with_values({"cache.l3_domains": 4})
    # 64 MiB of input, shared by all cores: in the 112.5 MiB of L3, in none of its quarters.
    workload = linear(512, 128, 65536)
    assert estimate(workload, whole, "bf16").levels(0)["input"] == "L3"
    assert estimate(workload, divided, "bf16").levels(0)["input"] == "DRAM"


@pytest.mark.parametrize("software", ["eager", "openvino"])
def test_each_kernel_takes_the_best_of_the_core_counts_whether_named_once_or_by_kernel(
    software: str,
) -> None:
    b = Builder()
    x = b.input(64 * 512)
    for n, k in ((2048, 512), (512, 2048), (64, 512)):
        x = b.linear(x, 64, n, k)
    table = columns(b.workload(), get_precision("bf16"))
    mapper, runtime = mapper_for(load_machine("epyc_9654")), load_software(software)
    counts = np.array([[1.0], [16.0], [96.0]])
    found = mapper.latency(table, runtime, "cold", counts)
    by_kernel = np.tile(counts, (1, len(table.count)))
    assert found == pytest.approx(mapper.latency(table, runtime, "cold", by_kernel))
    each = [mapper.latency(table, runtime, "cold", count[None]) for count in counts]
    assert found == pytest.approx(np.min(each, axis=0))
    assert found == pytest.approx(mapper.times(table, runtime, "cold", counts).latency)


def products() -> Workload:
    """One product of each family that has products."""
    b = Builder()
    for code, family in enumerate(f.GEMM_FAMILIES):
        b.kernel(family, family, [b.input(64)], gemm=(1, 16, 16, 16 * (code + 1)))
    return b.workload()


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("cpu", ["xeon_8490h", "epyc_9654", "graviton3"])
def test_the_rate_of_an_engine_is_the_product_of_its_figures(cpu: str, precision: str) -> None:
    machine, policy = load_machine(cpu), get_precision(precision)
    mapper, table = mapper_for(machine), columns(products(), policy)
    found = mapper.engines(table, mapper.applied(load_software("ideal")))
    for name, rates in zip(mapper.engine_names, found, strict=True):
        figures = machine.core.engines[name]
        for column, code in enumerate(table.family.tolist()):
            family = f.FAMILIES[code]
            run = mapper.executes(name, family, policy.arithmetic[code])
            assert rates.usable[column] == (run is not None)
            assert rates.rows_only[column] == (family == f.ATTENTION)
            if run is not None:
                ops = figures.ops_per_cycle[run.fmt].typical * figures.efficiency[family].typical
                clock = machine.engine_clock(name).typical
                assert np.ravel(rates.rate)[column] == pytest.approx(ops * clock, rel=1e-12)
                tile = figures.tile[run.fmt]
                assert tuple(rates.tile[column]) == (tile.rows, tile.columns, tile.depth)
        assert rates.startup == 0.0


def test_the_vector_engine_does_all_else_at_the_efficiency_of_what_it_is() -> None:
    machine = load_machine("xeon_8490h")
    mapper, engine = mapper_for(machine), machine.core.engines["avx512"]
    assert mapper.engine_names == ("amx", "avx512")
    assert mapper.vector_engine == "avx512"
    assert mapper_for(load_machine("graviton3")).vector_engine == "sve"
    peak = engine.ops_per_cycle["fp32"].typical * machine.engine_clock("avx512").typical
    (rates,) = mapper.vector_rates
    for code, family in enumerate(f.FAMILIES):
        of = {f.ATTENTION: f.SOFTMAX}.get(family, family)
        of = f.ELEMENTWISE if of in f.GEMM_FAMILIES else of
        assert rates[code] == pytest.approx(peak * engine.efficiency[of].typical, rel=1e-12)
    core = machine.core.model_copy(update={"engines": {"amx": machine.core.engines["amx"]}})
    with pytest.raises(MachineError, match="no engine of kind 'vector'"):
        mapper_for(machine.model_copy(update={"core": core})).vector_engine  # noqa: B018


@pytest.mark.parametrize("cpu", ["xeon_8490h", "epyc_9654", "graviton3"])
def test_bandwidths_of_all_cores_by_hand(cpu: str) -> None:
    machine = load_machine(cpu)
    cores, clock = machine.cores.count.typical, machine.clock.sustained.typical
    caches, domains = machine.core.cache_bandwidth, machine.cache.l3_domains.typical
    l2 = cores * caches.l2.typical * clock
    l3 = min(l2, cores * caches.l3.typical * clock)
    if caches.l3_domain is not None:
        l3 = min(l3, domains * caches.l3_domain.typical)
    memory = min(cores * machine.memory.per_core.typical, machine.sustained_bandwidth, l3)
    if machine.memory.per_domain is not None:
        memory = min(memory, domains * machine.memory.per_domain.typical)
    found = mapper_for(machine).level_bandwidths()
    assert found == pytest.approx({"L2": l2, "L3": l3, "DRAM": memory}, rel=1e-12)
    # A listed bandwidth is that of the channels, in whose place it is listed or sampled.
    half = machine.peak_bandwidth / 2
    listed = mapper_for(machine.with_values({"memory.bandwidth": half}))
    many = np.array([cores])
    assert listed.dram_bandwidth(many)[0] <= half
    expected = min(half * machine.memory.sustained.typical, memory)
    assert listed.dram_bandwidth(many)[0] == pytest.approx(expected, rel=1e-12)


def test_formats_that_software_leaves_out_are_said_with_what_runs_instead() -> None:
    mapper, int8 = mapper_for(load_machine("xeon_8490h")), get_precision("int8")
    ideal = load_software("ideal")
    assert mapper.fallbacks(int8, ideal) == {}
    wide = ideal.model_copy(update={"formats": {"default": ("fp32",)}})
    assert mapper.fallbacks(int8, wide) == {"int8": "fp32", "bf16": "fp32"}
    narrow = ideal.model_copy(update={"formats": {f.LINEAR: ("bf16", "fp32")}})
    assert mapper.fallbacks(int8, narrow) == {"int8": "bf16"}
    # Formats of the program's own are asked for, too; what is no format is not.
    fp32 = get_precision("fp32")
    assert mapper.fallbacks(fp32, narrow) == {}
    assert mapper.fallbacks(fp32, narrow, ["int8", "wide"]) == {"int8": "bf16"}


def test_notes_say_what_a_workload_was_traced_under() -> None:
    def notes(**changes: object) -> tuple[str, ...]:
        return estimate(replace(linear(8), **changes), "epyc_9654", "bf16").notes

    assert notes() == ()
    assert notes(provenance={"boundary": "the head"}) == ("tiny: the head",)
    assert notes(provenance={"assumptions": "x > 3"}) == ("tiny: x > 3",)
    assert notes(unmodelled=("aten.a", "aten.b")) == ("charged for bytes only: aten.a, aten.b",)
    own = estimate(linear_of("aten._weight_int8pack_mm"), "epyc_9654", "fp32").notes
    assert own == (
        "tiny: 1 of its products run as the program states (narrow weights, 16 bits or more), "
        "the rest in fp32",
    )
    (plain,) = estimate(linear_of("aten._int_mm"), "epyc_9654", "fp32").notes
    assert "(int8), the rest in fp32" in plain


def linear_of(operator: str) -> Workload:
    b = Builder()
    b.kernel(operator, f.LINEAR, [b.input(512)], weights=(b.weight(4096),), gemm=(1, 8, 64, 64))
    return b.workload()


def test_a_result_s_sums_are_those_of_its_kernels() -> None:
    b = Builder(batch=4)
    x = b.linear(b.input(64 * 512), 64, 4096, 512)
    b.kernel("add", f.ELEMENTWISE, [x], elements=64 * 4096, vector_ops=64 * 4096)
    b.linear(b.input(4096), 1, 4096, 4096)
    workload = replace(b.workload(), phase="decode", tokens=4, context=9)
    found = estimate(workload, "xeon_8490h", "bf16", software="eager", state="cold")
    total = sum(kernel.latency_ms for kernel in found.kernels)
    assert found.latency_ms == pytest.approx(total)
    assert found.throughput_fps == pytest.approx(4 / total * 1e3)
    assert found.tokens_per_s == pytest.approx(4 * found.throughput_fps)
    assert found.phase == "decode at context 9"
    assert found.active_cores == max(kernel.cores for kernel in found.kernels)
    weighted = sum(kernel.cores * kernel.latency_ms for kernel in found.kernels)
    assert found.mean_active_cores == pytest.approx(weighted / total)
    shares = dict.fromkeys(("compute", "L2", "L3", "DRAM"), 0.0)
    for kernel in found.kernels:
        busy = kernel.level if kernel.memory_ms > kernel.compute_ms else "compute"
        shares[busy] += (kernel.latency_ms - kernel.overhead_ms) / total
    shares["overhead"] = sum(kernel.overhead_ms for kernel in found.kernels) / total
    assert found.bottleneck_shares == pytest.approx(shares)
    assert found.bottleneck == max(shares, key=lambda label: shares[label])
    assert estimate(b.workload(), "xeon_8490h").tokens_per_s is None
    ideal = ideal_seconds(workload, load_machine("xeon_8490h"), found)
    assert found.utilization == pytest.approx(float(ideal.sum()) / total * 1e3, rel=1e-9)


@pytest.mark.parametrize(
    ("basis", "told"), [("", "tdp"), ("TDP", "tdp"), ("tdp", "tdp"), ("usage", "tdp (usage)")]
)
def test_the_basis_of_a_power_is_told_where_it_is_no_rating(basis: str, told: str) -> None:
    machine = load_machine("xeon_8490h")
    power = machine.power.model_copy(update={"basis": basis})
    own = machine.model_copy(update={"power": power})
    assert estimate(linear(8), own, "bf16").power_basis == told


def test_software_that_a_machine_s_file_misspells_is_an_error_and_other_software_is_not() -> None:
    machine, figure = load_machine("epyc_9654"), Figure(1e-6, 1e-6, 1e-6, "s")
    for name, wrong in (("eager", False), ("my_own_thing", False), ("openvin", True)):
        own = machine.with_values({f"software.{name}.launch.default": figure})
        if wrong:
            with pytest.raises(MachineError, match="unknown software"):
                estimate(linear(8), own)
        else:
            assert estimate(linear(8), own).latency_ms > 0


def test_a_value_for_a_figure_that_software_lacks_is_refused() -> None:
    mapper = mapper_for(load_machine("epyc_9654"), {"software.ideal.lunch": 1.0})
    with pytest.raises(UnknownName, match=r"figure of ideal 'software\.ideal\.lunch'"):
        mapper.applied(load_software("ideal"))
    # Of other software it says nothing.
    assert mapper.applied(load_software("eager")) is mapper.applied(load_software("eager"))
