"""The catalogue's figures: cited, and held against listed figures and measurements."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from perfmodel.errors import MachineError, UnknownName, UnsupportedPrecision
from perfmodel.figures.figure import CONFIDENCES, RANGED
from perfmodel.figures.files import read_description
from perfmodel.machine import Figure, Machine, catalog, catalogue, cores, load_machine
from perfmodel.machine.catalog import known
from perfmodel.vocabulary import families
from perfmodel.vocabulary.precision import FORMATS

CATALOG = resources.files("perfmodel.machine") / "catalog"
FILES = [f"{name}.toml" for name in catalogue()] + [f"cores/{name}.toml" for name in cores()]


@pytest.fixture(params=catalogue())
def machine(request: pytest.FixtureRequest) -> Machine:
    return load_machine(request.param)


def _tables(tree: Any) -> list[dict[str, Any]]:
    """All innermost tables with a confidence."""
    if not isinstance(tree, dict):
        return []
    own = [tree] if "confidence" in tree else []
    return own + [found for child in tree.values() for found in _tables(child)]


#: What vendors list and launch coverage repeats, written down apart from the files:
#: cores, threads, base GHz, maximum GHz, L3 MiB, L3 domains, GB/s, W, USD (None: not published).
LISTED: dict[str, tuple[int, int, float, float, float, int, float, float | None, int | None]] = {
    "xeon_8480plus": (56, 112, 2.0, 3.8, 105, 1, 307.2, 350, 10710),
    "xeon_8490h": (60, 120, 1.9, 3.5, 112.5, 1, 307.2, 350, 17000),
    "xeon_8592plus": (64, 128, 1.9, 3.9, 320, 1, 358.4, 350, 11600),
    "xeon_6980p": (128, 256, 2.0, 3.9, 504, 1, 614.4, 500, 17800),
    "epyc_9654": (96, 192, 2.4, 3.7, 384, 12, 460.8, 360, 11805),
    "epyc_9754": (128, 256, 2.25, 3.1, 256, 16, 460.8, 360, 11900),
    "epyc_9755": (128, 256, 2.7, 4.1, 512, 16, 576.0, 500, 12984),
    "epyc_9965": (192, 384, 2.25, 3.7, 384, 12, 576.0, 500, 14813),
    "ampereone_192": (192, 192, 3.2, 3.2, 64, 1, 332.8, 283, 5555),
    "ampereone_128": (128, 128, 3.4, 3.4, 64, 1, 332.8, 275, None),
    "ampereone_96": (96, 96, 3.6, 3.6, 64, 1, 332.8, None, None),
    "graviton3": (64, 64, 2.6, 2.6, 32, 1, 307.2, None, None),
    "graviton4": (96, 96, 2.8, 2.8, 36, 1, 537.6, None, None),
    "xeon_8280": (28, 56, 2.7, 4.0, 38.5, 1, 140.784, 205, 10009),
    "xeon_8270": (26, 52, 2.7, 4.0, 35.75, 1, 140.784, 205, 7405),
    "xeon_6238l": (22, 44, 2.1, 3.7, 30.25, 1, 140.784, 140, None),
    "xeon_6240r": (24, 48, 2.4, 4.0, 35.75, 1, 140.784, 165, 2445),
    "xeon_cascadelake_2x20": (20, 40, 2.8, 3.9, 33, 1, 140.784, None, None),
    "xeon_cooper_lake_1c": (28, 56, 2.9, 4.3, 38.5, 1, 153.6, 250, None),
    "i9_10940x": (14, 28, 3.3, 4.6, 19.25, 1, 93.856, 165, 784),
    "xeon_8380": (40, 80, 2.3, 3.4, 60, 1, 204.8, 270, 9359),
    "xeon_4316": (20, 40, 2.3, 3.4, 30, 1, 170.688, 150, 1137),
    "xeon_8375c": (32, 64, 2.9, 3.5, 54, 1, 204.8, None, None),
    "xeon_8488c": (48, 96, 2.4, 3.8, 105, 1, 307.2, None, None),
    "xeon_8580": (60, 120, 2.0, 4.0, 300, 1, 358.4, 350, 10710),
    "xeon_max_9480": (56, 112, 1.9, 3.5, 112.5, 1, 1638.4, 350, 12980),
    "xeon_6787p": (86, 172, 2.0, 3.8, 336, 1, 409.6, 350, 10400),
    "xeon_6979p": (120, 240, 2.1, 3.9, 504, 1, 614.4, 500, 15750),
    "xeon_6980p_mrdimm": (128, 256, 2.0, 3.9, 504, 1, 844.8, 500, 17800),
    "xeon_6975p_c": (96, 192, 2.1, 3.9, 480, 1, 691.2, None, None),
    "epyc_7763": (64, 128, 2.45, 3.5, 256, 8, 204.8, 280, 7890),
    "epyc_7r13": (48, 96, 2.65, 3.6, 192, 6, 204.8, None, None),
    "epyc_9554": (64, 128, 3.1, 3.75, 256, 8, 460.8, 360, 9087),
    "epyc_9684x": (96, 192, 2.55, 3.7, 1152, 12, 460.8, 400, 14756),
    "epyc_9004_96c": (96, 192, 2.4, 3.7, 384, 12, 460.8, 360, None),
    "epyc_9r14": (96, 96, 2.6, 3.7, 384, 12, 460.8, None, None),
    "epyc_9655": (96, 192, 2.6, 4.5, 384, 12, 576.0, 400, 11852),
    "epyc_9555": (64, 128, 3.2, 4.4, 256, 8, 576.0, 360, 9826),
    "epyc_9575f": (64, 128, 3.3, 5.0, 256, 8, 576.0, 400, 11791),
    "epyc_9r45": (96, 96, 2.6, 4.5, 384, 12, 576.0, None, None),
    "altra_80": (80, 80, 3.0, 3.0, 32, 1, 204.8, 161, 3950),
    "graviton2": (64, 64, 2.5, 2.5, 32, 1, 204.8, None, None),
    "nvidia_grace": (72, 72, 3.1, 3.4, 117, 1, 512.0, 250, None),
    "google_axion": (72, 72, 3.0, 3.0, 80, 1, 537.6, None, None),
    "azure_cobalt_100": (128, 128, 3.4, 3.4, 128, 1, 537.6, None, None),
    "neoverse_n2_96": (96, 96, 3.4, 3.4, 128, 1, 537.6, None, None),
    "ampereone_m_192": (192, 192, 3.2, 3.2, 64, 1, 537.6, 348, None),
    "ampereone_160": (160, 160, 2.8, 3.2, 64, 1, 332.8, 235, None),
    "ryzen_7950x": (16, 32, 4.5, 5.7, 64, 2, 83.2, 170, 699),
    "i9_13900k": (8, 16, 3.0, 5.8, 36, 1, 89.6, 125, 599),
    "i7_12700k": (8, 16, 3.6, 5.0, 25, 1, 76.8, 125, 409),
    "ryzen_9_8945hs": (8, 16, 4.0, 5.2, 16, 1, 89.6, 45, None),
}


def test_every_cpu_has_its_line_of_listed_figures() -> None:
    assert set(LISTED) == set(catalogue())


# -- every figure has unit, source and confidence -------------------------------------------------


def test_every_figure_is_cited(machine: Machine) -> None:
    for path, figure in machine.figures().items():
        assert figure.confidence in CONFIDENCES.keys() - {"stated"}, path
        assert len(figure.source) > 10, path
        if figure.confidence in RANGED:
            assert figure.is_range, f"{path} is {figure.confidence} without a range"
    for engine, description in machine.core.engines.items():
        for fmt, tile in description.tile.items():
            assert tile.confidence in ("V", "M", "D"), f"tile of {engine}, {fmt}"


@pytest.mark.parametrize("file", FILES)
def test_every_source_is_used(file: str) -> None:
    tree = tomllib.loads((CATALOG / file).read_text(encoding="utf-8"))
    assert {table["source"] for table in _tables(tree)} == set(tree.get("sources", {}))


def test_file_name_is_the_id(machine: Machine) -> None:
    assert (CATALOG / f"{machine.id}.toml").is_file()


def test_every_engine_runs_what_the_mapping_may_ask_of_it(machine: Machine) -> None:
    for engine in machine.core.engines.values():
        asked = families.FAMILIES
        if engine.kind == "matrix":
            asked = (families.CONV, families.LINEAR, families.MATMUL, families.ATTENTION)
        assert set(asked) <= set(engine.efficiency)


def test_narrower_formats_are_never_slower(machine: Machine) -> None:
    # Over whole ranges, so that no sample of them breaks the law either.
    for engine in machine.core.engines.values():
        by_width = ("fp64", "fp32", "bf16", "int8")
        rates = [engine.ops_per_cycle[f] for f in by_width if f in engine.ops_per_cycle]
        for wide, narrow in itertools.pairwise(rates):
            assert wide.high <= narrow.low


def test_clocks_are_in_order(machine: Machine) -> None:
    clock = machine.clock
    sustained = [clock.sustained, *clock.engine.values()]
    # The base clock is guaranteed, but for AVX-512 and AMX, which have base clocks of their own.
    assert clock.base.low <= clock.sustained.low
    assert clock.base.typical <= clock.sustained.typical
    assert clock.sustained.high <= clock.max.typical
    # An engine never runs faster than the general all-core load.
    assert all(figure.typical <= clock.sustained.typical for figure in sustained)


def test_one_core_draws_less_than_its_domain_and_the_socket(machine: Machine) -> None:
    memory = machine.memory
    assert memory.per_core.high < machine.sustained_bandwidth
    if memory.per_domain is not None:
        assert memory.per_core.typical <= memory.per_domain.typical
        # All links together carry what the socket sustains.
        links = memory.per_domain.high * machine.cache.l3_domains.typical
        assert links > machine.sustained_bandwidth


def test_parallel_region_meets_its_anchors(machine: Machine) -> None:
    def cost(p: int, bound: str) -> float:
        region = machine.parallel_region
        return float(
            getattr(region.base, bound) + getattr(region.per_doubling, bound) * math.log2(p)
        )

    # Published: about 0.65, 2.5 and 3.2 us on 2, 4 and 8 threads; 5 to 20 us from 60 to 192.
    assert cost(2, "low") < 0.8e-6
    assert cost(4, "low") < 2.5e-6 < cost(4, "high")
    assert cost(8, "typical") == pytest.approx(3.2e-6, rel=0.05)
    assert cost(60, "low") < 5e-6 < cost(60, "typical")
    assert cost(192, "typical") < 20e-6
    assert cost(192, "high") == pytest.approx(20e-6, rel=0.05)


# -- derived against listed -----------------------------------------------------------------------


@pytest.mark.parametrize(("cpu", "listed"), LISTED.items(), ids=LISTED)
def test_figures_are_the_listed_ones(cpu: str, listed: tuple[Any, ...]) -> None:
    machine = load_machine(cpu)
    count, threads, base, top, l3, domains, bandwidth, watts, dollars = listed
    assert machine.cores.count.typical == count
    assert machine.cores.threads_per_core.typical * count == threads
    assert machine.clock.base.typical == pytest.approx(base * 1e9)
    assert machine.clock.max.typical == pytest.approx(top * 1e9)
    assert machine.cache.l3.typical == l3 * 2**20
    assert machine.l3_per_domain == l3 * 2**20 / domains
    assert machine.cores_per_domain == count / domains
    assert machine.peak_bandwidth == pytest.approx(bandwidth * 1e9, rel=1e-12)
    # Without a vendor's figure there is an estimate with a range, or nothing.
    if watts is None:
        assert machine.power.tdp.confidence == "R"
        assert "estimate" in machine.power.basis
    else:
        assert machine.power.tdp.typical == watts
    price = machine.price.launch
    assert (None if price is None else price.typical) == dollars


def test_a_listed_bandwidth_agrees_with_the_channels(machine: Machine) -> None:
    memory = machine.memory
    product = memory.channels.typical * memory.transfer_rate.typical * memory.channel_width.typical
    assert machine.peak_bandwidth == pytest.approx(product, rel=0.01)


@pytest.mark.parametrize(
    ("cpu", "engine", "fmt", "per_core_and_cycle"),
    [
        # A tile product is 16 x 16 x 64 INT8 multiply-adds in 16 cycles; not the "512" often seen.
        ("xeon_8490h", "amx", "int8", 2 * 16 * 16 * 64 / 16),
        ("xeon_8490h", "amx", "bf16", 2 * 16 * 16 * 32 / 16),
        # Lanes x ports x 2 for a multiply and an add.
        ("xeon_8490h", "avx512", "fp32", 16 * 2 * 2),
        ("xeon_8490h", "avx512", "fp64", 8 * 2 * 2),
        # Double-pumped: one 512-bit FMA a cycle; not "8".
        ("epyc_9654", "avx512", "fp32", 16 * 1 * 2),
        ("epyc_9654", "avx512", "int8", 64 * 1 * 2),
        # 128-bit pipes; no SVE.
        ("ampereone_192", "neon", "fp64", 2 * 2 * 2),
        ("ampereone_192", "neon", "int8", 16 * 2 * 2),
        # The same tile product in FP16 on Granite Rapids.
        ("xeon_6980p", "amx", "fp16", 2 * 16 * 16 * 32 / 16),
        # Native 512-bit units: two FMA a cycle.
        ("epyc_9755", "avx512", "fp32", 16 * 2 * 2),
        ("epyc_9965", "avx512", "int8", 64 * 2 * 2),
        # Two 256-bit SVE or four 128-bit pipes; a matrix instruction is 2 x 8 x 2 INT8 or 2 x 4 x 2
        # BF16 multiply-adds in 128 bits.
        ("graviton3", "sve", "fp32", 8 * 2 * 2),
        ("graviton3", "sve", "int8", 32 * 2 * 2),
        ("graviton3", "mmla", "int8", 2 * 8 * 2 * 4 * 2),
        ("graviton4", "mmla", "bf16", 2 * 4 * 2 * 4 * 2),
        # Two 512-bit FMA ports of the servers before AMX, with and without BF16 dot products.
        ("xeon_8280", "avx512", "fp32", 16 * 2 * 2),
        ("xeon_8280", "avx512", "int8", 64 * 2 * 2),
        ("xeon_cooper_lake_1c", "avx512", "bf16", 32 * 2 * 2),
        ("xeon_8380", "avx512", "fp64", 8 * 2 * 2),
        ("i9_10940x", "avx512", "fp32", 16 * 2 * 2),
        ("xeon_8488c", "amx", "int8", 2 * 16 * 16 * 64 / 16),
        ("xeon_6979p", "amx", "bf16", 2 * 16 * 16 * 32 / 16),
        # 256-bit units, and 16-bit products for want of VNNI: half the rate that VNNI has.
        ("epyc_7763", "avx2", "fp32", 8 * 2 * 2),
        ("epyc_7763", "avx2", "int8", 32 * 2 * 2 / 2),
        ("ryzen_7950x", "avx512", "bf16", 32 * 1 * 2),
        # Two 128-bit pipes; a matrix instruction is 2 x 8 x 2 INT8 multiply-adds.
        ("altra_80", "neon", "fp32", 4 * 2 * 2),
        ("graviton2", "neon", "int8", 16 * 2 * 2),
        ("azure_cobalt_100", "sve", "fp32", 4 * 2 * 2),
        ("azure_cobalt_100", "mmla", "int8", 2 * 8 * 2 * 2 * 2),
        ("nvidia_grace", "mmla", "bf16", 2 * 4 * 2 * 4 * 2),
        # 256-bit units of the client cores, two FMA a cycle; no AVX-512, no AMX.
        ("i7_12700k", "avx2", "fp32", 8 * 2 * 2),
        ("i7_12700k", "avx2", "int8", 32 * 2 * 2),
    ],
)
def test_peaks_follow_from_the_units(
    cpu: str, engine: str, fmt: str, per_core_and_cycle: float
) -> None:
    machine = load_machine(cpu)
    for hertz in (1.9e9, 2.6e9):
        assert machine.peak_ops(engine, fmt, cores=1, clock=hertz) == per_core_and_cycle * hertz
    whole = machine.cores.count.typical * per_core_and_cycle
    assert machine.peak_ops(engine, fmt) == whole * machine.engine_clock(engine).typical
    assert machine.peak_ops(engine, fmt, clock="low") == whole * machine.engine_clock(engine).low
    assert machine.peak_ops(engine, fmt, clock="max") == whole * machine.clock.max.typical


def test_best_engine() -> None:
    xeon = load_machine("xeon_8490h")
    assert {f: xeon.best_engine(f) for f in FORMATS} == {
        "fp64": "avx512", "fp32": "avx512", "fp16": "avx512", "bf16": "amx", "int8": "amx",
    }  # fmt: skip
    assert xeon.best_peak("int8") == 60 * 2048 * 2.1e9
    with pytest.raises(UnsupportedPrecision, match=r"no engine executes 'int4'.*int8"):
        xeon.best_peak("int4")
    with pytest.raises(UnsupportedPrecision, match=r"'amx' does not execute 'fp32'.*bf16, int8"):
        xeon.peak_ops("amx", "fp32")
    with pytest.raises(UnknownName, match="did you mean 'avx512'"):
        xeon.peak_ops("avx51", "fp32")
    with pytest.raises(UnknownName, match="did you mean 'typical'"):
        xeon.peak_ops("amx", "int8", clock="typicl")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cpu", "mebibytes", "cores_sharing"),
    [
        ("xeon_8490h", 112.5, 60),
        ("epyc_9654", 32, 8),
        ("epyc_9754", 16, 8),  # two complexes on each of eight dies
        ("epyc_9755", 32, 8),
        ("epyc_9965", 32, 16),  # Zen 5c: one complex of sixteen cores on each die
        ("ryzen_9_8945hs", 16, 8),
        ("epyc_9684x", 96, 8),
        ("epyc_9575f", 32, 8),
        ("ryzen_7950x", 32, 8),
    ],
)
def test_cache_topology(cpu: str, mebibytes: float, cores_sharing: int) -> None:
    machine = load_machine(cpu)
    assert machine.l3_per_domain == mebibytes * 2**20
    assert machine.cores_per_domain == cores_sharing


@pytest.mark.parametrize(
    ("cpu", "domains", "cores_each", "l3_mib", "gb_s"),
    [
        ("xeon_6979p", 3, 40, 168, 204.8),  # SNC3: a die each, four of twelve channels
        ("xeon_6980p_mrdimm", 3, 43, 168, 281.6),  # 43, 43 and 42 cores
        ("epyc_9654", 1, 96, 384, 460.8),
    ],
)
def test_numa_topology(cpu: str, domains: int, cores_each: int, l3_mib: float, gb_s: float) -> None:
    machine = load_machine(cpu)
    assert machine.numa_domains == domains
    assert machine.cores_per_numa_domain == cores_each
    assert machine.l3_per_numa_domain == l3_mib * 2**20
    assert machine.bandwidth_per_numa_domain == pytest.approx(gb_s * 1e9)


def test_numa_domains_can_be_set() -> None:
    divided = load_machine("epyc_9654").with_values({"topology.numa_domains": 4})
    assert (divided.numa_domains, divided.cores_per_numa_domain) == (4, 24)
    assert divided.bandwidth_per_numa_domain == pytest.approx(115.2e9)
    # A domain without cores does not count.
    few = load_machine("xeon_6979p").with_values({"cores.count": 2})
    assert (few.numa_domains, few.cores_per_numa_domain) == (2, 1)


@pytest.mark.parametrize(
    ("cpu", "domains", "message"),
    [
        ("epyc_9654", 5, "5 domains for 12 memory channels"),
        ("xeon_8490h", 3, "3 domains for 8 memory channels"),
        ("ryzen_9_8945hs", 16, "16 domains for 2 memory channels"),
        ("epyc_7r13", 4, "4 domains for 6 L3 domains"),
    ],
)
def test_numa_domains_that_do_not_divide_are_refused(cpu: str, domains: int, message: str) -> None:
    with pytest.raises(MachineError, match=f"topology.numa_domains: {message}"):
        load_machine(cpu).with_values({"topology.numa_domains": domains})


def test_another_name_is_the_same_cpu() -> None:
    for alias, cpu in catalog.aliases().items():
        assert load_machine(alias) is load_machine(cpu)
        assert alias not in catalogue()


def test_every_server_states_its_largest_memory(machine: Machine) -> None:
    if machine.id in ("i7_12700k", "ryzen_9_8945hs"):
        return
    capacity = machine.memory.capacity
    assert capacity is not None
    assert 64 * 2**30 <= capacity.low <= capacity.high <= 8 * 2**40


def test_a_what_if_holds_clocks_to_the_maximum() -> None:
    machine = load_machine("xeon_8490h")
    for path in ("clock.sustained", "clock.base", "clock.engine.amx"):
        with pytest.raises(MachineError, match=f"{path}: 4 GHz above the maximum clock"):
            machine.with_values({path: "4 GHz"})
        assert machine.with_values({path: "4 GHz", "clock.max": "4 GHz"}).clock.max.typical == 4e9
    assert machine.with_values({"clock.max": "1 GHz"}).clock.sustained == machine.clock.sustained


def test_a_clock_under_avx512_may_lie_below_the_base() -> None:
    clock = load_machine("xeon_8280").clock
    assert clock.engine["avx512"].typical < clock.base.typical


def test_uneven_domains_count_as_the_fullest_one() -> None:
    assert load_machine("epyc_9654").with_values({"cores.count": 97}).cores_per_domain == 9


def test_hybrid_desktop_computes_on_its_p_cores() -> None:
    machine = load_machine("i7_12700k")
    assert machine.efficiency_cores is not None
    assert machine.efficiency_cores.count.typical == 4
    assert machine.efficiency_cores.core.name == "Gracemont"
    assert machine.best_peak("fp32") == 8 * 32 * 4.7e9
    assert not {flag for flag in machine.core.isa if flag.startswith(("avx512", "amx"))}


# -- one unknown, one figure ----------------------------------------------------------------------


def _unknowns(machine: Machine, prefix: str) -> dict[str, Figure]:
    """Figures that rankings would sample, below ``prefix``."""
    return {
        path: figure
        for path, figure in machine.figures().items()
        if path.startswith(prefix) and figure.is_range
    }


@pytest.mark.parametrize(
    ("first", "second", "prefix"),
    [
        ("epyc_9654", "epyc_9754", "core."),  # Zen 4c is Zen 4
        ("epyc_9654", "ryzen_9_8945hs", "core."),
        ("epyc_9654", "epyc_9754", "memory.sustained"),  # the same I/O die
        ("epyc_9755", "epyc_9965", "core."),
        ("epyc_9755", "epyc_9965", "memory."),
        ("xeon_8490h", "xeon_8592plus", "core."),
        ("xeon_8490h", "xeon_8480plus", "memory."),
        ("ampereone_192", "ampereone_96", "core."),
        ("ampereone_192", "ampereone_128", "memory."),
        ("graviton3", "graviton4", "core.engines."),
        ("xeon_8280", "xeon_8270", "memory."),
        ("xeon_8280", "i9_10940x", "core."),
        ("xeon_8380", "xeon_8375c", "core."),
        ("xeon_6980p", "xeon_6787p", "core."),
        ("epyc_9654", "epyc_9r14", "core."),
        ("altra_80", "graviton2", "core."),
        ("graviton4", "google_axion", "core."),
    ],
)
def test_the_same_unknown_is_the_same_figure(first: str, second: str, prefix: str) -> None:
    """Equal in range and source: what the certainty of rankings takes to vary together."""
    unknown = _unknowns(load_machine(first), prefix)
    assert unknown
    assert unknown == _unknowns(load_machine(second), prefix)


def test_a_parallel_region_costs_the_same_unknown_everywhere() -> None:
    regions = {
        str(sorted(_unknowns(load_machine(cpu), "parallel_").items())) for cpu in catalogue()
    }
    assert len(regions) == 1


@pytest.mark.parametrize(
    ("first", "second"), [("epyc_9654", "epyc_9755"), ("xeon_8490h", "xeon_6980p")]
)
def test_guesses_about_another_core_stand_for_themselves(first: str, second: str) -> None:
    ours, theirs = (
        _unknowns(load_machine(cpu), "core.engines.avx512.efficiency") for cpu in (first, second)
    )
    for family in families.GEMM_FAMILIES:
        path = f"core.engines.avx512.efficiency.{family}"
        assert ours[path].source != theirs[path].source


# -- measured anchors -----------------------------------------------------------------------------


def test_hpl_on_ampereone_stays_below_the_fp64_peak() -> None:
    """HPL delivers 3,026.9 GFLOPS on the A192-32X (github.com/geerlingguy/top500-benchmark)."""
    machine = load_machine("ampereone_192")
    peak = machine.peak_ops("neon", "fp64")
    assert peak == pytest.approx(4.915e12, rel=1e-3)
    assert 3026.9e9 / peak == pytest.approx(0.62, abs=0.01)
    linear = machine.core.engines["neon"].efficiency["linear"]
    assert linear.low <= 3026.9e9 / peak <= linear.high


@pytest.mark.parametrize(
    ("cpu", "samples_per_s"),
    [
        ("xeon_8480plus", 20565.5),  # MLPerf Inference v3.1, Intel, two sockets
        ("xeon_8592plus", 25643.7),  # MLPerf Inference v4.1, Cisco, two sockets
    ],
)
def test_mlperf_on_xeon_fits_the_amx_peak(cpu: str, samples_per_s: float) -> None:
    """ResNet-50 has 8.18 GFLOP a sample: 84 and 105 TOPS INT8 a socket were delivered.

    With "512 per core and cycle" for AMX, as often quoted, the peak at the base clock would be 57
    and 62 TOPS: less than delivered. Even at 2.9 GHz the 8480+ would run at 1.01 times that peak.
    """
    delivered = samples_per_s * 8.18e9 / 2
    xeon = load_machine(cpu)
    for clock in ("low", "typical", "high"):
        assert 0.2 < delivered / xeon.peak_ops("amx", "int8", clock=clock) < 0.6
    assert delivered > xeon.cores.count.typical * 512 * xeon.clock.base.typical
    assert delivered > xeon.cores.count.typical * 512 * 2.75e9
    # The core states what the best kernels attain of large products; a whole network reaches less.
    conv = xeon.core.engines["amx"].efficiency["conv"]
    assert conv.low / 2 < delivered / xeon.peak_ops("amx", "int8") < conv.typical


@pytest.mark.parametrize(
    ("cpu", "gb_s"),
    [
        ("epyc_9654", 378),  # Micron
        ("xeon_8480plus", 233),  # Mess, reads
        ("xeon_6980p", 512),  # ik_llama.cpp pull request 534
        ("graviton4", 465.5),  # Arm's ASCT, reads
    ],
)
def test_sustained_bandwidth_is_the_measured_one(cpu: str, gb_s: float) -> None:
    assert load_machine(cpu).sustained_bandwidth == pytest.approx(gb_s * 1e9, rel=0.01)


def test_one_core_of_graviton4_reads_as_measured() -> None:
    """Arm's ASCT on c8g: 95.1 GB/s from L2, 78.0 GB/s from the LLC, 37.0 GB/s from DRAM."""
    machine = load_machine("graviton4")
    clock = machine.clock.sustained.typical
    assert machine.core.cache_bandwidth.l2.typical * clock == pytest.approx(95.1e9, rel=0.01)
    assert machine.core.cache_bandwidth.l3.typical * clock == pytest.approx(78.0e9, rel=0.01)
    assert machine.memory.per_core.typical == 37e9


@pytest.mark.parametrize(
    ("fmt", "low", "high"), [("fp32", 31.7, 31.7), ("bf16", 63.0, 64.5), ("int8", 128.5, 128.5)]
)
def test_zen4_rates_are_the_measured_ones(fmt: str, low: float, high: float) -> None:
    # Register-resident loops on one Genoa core, op/cycle; within what clock readings scatter.
    rate = load_machine("epyc_9654").core.engines["avx512"].ops_per_cycle[fmt].typical
    assert low * 0.98 <= rate <= high * 1.02


@pytest.mark.parametrize("cpu", ["ampereone_96", "ampereone_128", "ampereone_192"])
def test_ampereone_is_not_what_is_often_written(cpu: str) -> None:
    machine = load_machine(cpu)
    assert not {flag for flag in machine.core.isa if flag.startswith("sve")}
    assert list(machine.core.engines) == ["neon"]
    assert machine.peak_bandwidth != pytest.approx(460.8e9)
    assert "TDP" not in machine.power.basis
    # Fewer cores clock higher; 3.6 GHz belongs to 96 of them.
    assert (
        machine.clock.max.typical
        == {96: 3.6e9, 128: 3.4e9, 192: 3.2e9}[int(machine.cores.count.typical)]
    )


def test_amx_and_zen4_rates_are_not_what_is_often_written(machine: Machine) -> None:
    for name, engine in machine.core.engines.items():
        rates = {fmt: rate.typical for fmt, rate in engine.ops_per_cycle.items()}
        if name == "amx":
            assert rates["int8"] == 2048  # not 512
        if machine.core.name.startswith("Zen 4"):
            assert (rates["fp32"], rates["int8"]) == (32, 128)  # not 8 and 32
        # A multiply and an add are two: a lane of an FMA pipe counts twice.
        if engine.kind == "vector":
            assert rates["fp32"] >= 2 * engine.tile["fp32"].columns


def test_the_two_xeon_flagships_are_not_mixed_up() -> None:
    sapphire, emerald = load_machine("xeon_8490h"), load_machine("xeon_8592plus")
    assert sapphire.price.launch is not None
    assert emerald.price.launch is not None
    assert (sapphire.price.launch.typical, emerald.price.launch.typical) == (17000, 11600)
    assert "Emerald Rapids" in emerald.notes


# -- start-up -------------------------------------------------------------------------------------


def test_loading_machines_imports_no_torch() -> None:
    code = (
        "import sys; from perfmodel.machine import catalogue, load_machine; "
        "[load_machine(cpu) for cpu in catalogue()]; "
        "print([m for m in ('torch', 'torchvision', 'transformers') if m in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("cpu", "expected"),
    [
        ("epyc_9754", {"epyc_9754.toml", "cores/zen4c.toml", "cores/zen4.toml"}),
        ("i7_12700k", {"i7_12700k.toml", "cores/golden_cove_client.toml", "cores/gracemont.toml"}),
    ],
)
def test_a_cpu_loads_its_own_files_only(
    cpu: str, expected: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def recording(path: Path, shown: str, expected: str) -> Any:
        read.append(shown)
        return read_description(path, shown, expected)

    monkeypatch.setattr(catalog, "read_description", recording)
    # Not what was kept of an earlier reading.
    monkeypatch.setattr(catalog, "remembered", lambda kind, path, read: read())
    monkeypatch.setattr(catalog, "_from_catalogue", catalog._from_catalogue.__wrapped__)
    monkeypatch.setattr(catalog, "_core_from_catalogue", catalog._core_from_catalogue.__wrapped__)
    load_machine(cpu)
    assert set(read) == expected


def test_the_whole_catalogue_loads_quickly() -> None:
    code = (
        "import time; from perfmodel.machine import catalogue, load_machine; "
        "start = time.process_time(); [load_machine(cpu) for cpu in catalogue()]; "
        "print(time.process_time() - start)"
    )
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert float(result.stdout) < 0.3


def test_a_name_in_other_letters_is_suggested_as_it_is() -> None:
    for name in known():
        assert f"did you mean {name!r}?" in str(UnknownName("CPU", name.swapcase(), known()))


def test_a_machine_says_what_it_is_in_a_line() -> None:
    for cpu in catalogue():
        machine = load_machine(cpu)
        said = repr(machine)
        assert len(said) < 120, cpu
        assert all(part in said for part in (cpu, machine.name, machine.core.name)), cpu
