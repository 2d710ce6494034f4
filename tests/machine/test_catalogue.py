"""The catalogue's figures: cited, and held against listed figures and measurements."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys
import tomllib
from importlib import resources
from typing import Any

import pytest

from perfmodel.errors import UnknownName, UnsupportedPrecision
from perfmodel.machine import Machine, catalogue, cores, load_machine
from perfmodel.machine.figure import CONFIDENCES, RANGED
from perfmodel.precision import FORMATS
from perfmodel.workload import families

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


def test_the_three_cpus_of_the_comparison_are_there() -> None:
    assert {"xeon_8490h", "epyc_9654", "ampereone_192"} <= set(catalogue())


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
    assert {table["source"] for table in _tables(tree)} == set(tree["sources"])


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
    assert clock.base.typical <= min(figure.low for figure in sustained)
    assert clock.sustained.high <= clock.max.typical
    # An engine never runs faster than the general all-core load.
    assert all(figure.typical <= clock.sustained.typical for figure in sustained)


def test_one_core_draws_less_than_its_domain_and_the_socket(machine: Machine) -> None:
    memory = machine.memory
    assert memory.per_core.high < machine.sustained_bandwidth
    if memory.per_domain is not None:
        assert memory.per_core.high <= memory.per_domain.low
        # All links together carry what the socket sustains.
        assert (
            memory.per_domain.low * machine.cache.l3_domains.typical > machine.sustained_bandwidth
        )


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

LISTED_BANDWIDTH = {"xeon_8490h": 307.2e9, "epyc_9654": 460.8e9, "ampereone_192": 332.8e9}


@pytest.mark.parametrize(("cpu", "listed"), LISTED_BANDWIDTH.items())
def test_peak_bandwidth_is_the_listed_one(cpu: str, listed: float) -> None:
    assert load_machine(cpu).peak_bandwidth == pytest.approx(listed, rel=1e-12)


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


def test_cache_topology() -> None:
    epyc, xeon = load_machine("epyc_9654"), load_machine("xeon_8490h")
    assert (epyc.l3_per_domain, epyc.cores_per_domain) == (32 * 2**20, 8)
    assert (xeon.l3_per_domain, xeon.cores_per_domain) == (112.5 * 2**20, 60)
    # Uneven domains: the fullest one counts.
    assert epyc.with_values({"cores.count": 97}).cores_per_domain == 9


# -- measured anchors -----------------------------------------------------------------------------


def test_hpl_on_ampereone_stays_below_the_fp64_peak() -> None:
    """HPL delivers 3,026.9 GFLOPS on the A192-32X (github.com/geerlingguy/top500-benchmark)."""
    machine = load_machine("ampereone_192")
    peak = machine.peak_ops("neon", "fp64")
    assert peak == pytest.approx(4.915e12, rel=1e-3)
    assert 3026.9e9 / peak == pytest.approx(0.62, abs=0.01)
    linear = machine.core.engines["neon"].efficiency["linear"]
    assert linear.low <= 3026.9e9 / peak <= linear.high


def test_mlperf_on_sapphire_rapids_fits_the_amx_peak() -> None:
    """20,565.5 ResNet-50 samples/s on two sockets of 56 cores (MLPerf Inference v3.1, Intel).

    8.18 GFLOP a sample make 84 TOPS INT8 a socket. With "512 per core and cycle" for AMX, as often
    quoted, the peak at the 8480+'s base clock of 2.0 GHz would be 57 TOPS: less than delivered.
    Even at 2.9 GHz a real network would run at 1.01 times that peak.
    """
    delivered = 20565.5 * 8.18e9 / 2
    assert delivered == pytest.approx(84e12, rel=0.01)
    xeon = load_machine("xeon_8490h")
    for clock in ("low", "typical", "high"):
        share = delivered / xeon.peak_ops("amx", "int8", cores=56, clock=clock)
        assert 0.2 < share < 0.6
    assert delivered > 56 * 512 * 2.0e9
    assert delivered > 56 * 512 * 2.9e9
    conv = xeon.core.engines["amx"].efficiency["conv"]
    assert conv.low < delivered / xeon.peak_ops("amx", "int8", cores=56) < conv.high


@pytest.mark.parametrize(
    ("fmt", "low", "high"), [("fp32", 31.7, 31.7), ("bf16", 63.0, 64.5), ("int8", 128.5, 128.5)]
)
def test_zen4_rates_are_the_measured_ones(fmt: str, low: float, high: float) -> None:
    # Register-resident loops on one Genoa core, op/cycle; within what clock readings scatter.
    rate = load_machine("epyc_9654").core.engines["avx512"].ops_per_cycle[fmt].typical
    assert low * 0.98 <= rate <= high * 1.02


def test_traps_others_fell_into() -> None:
    ampere, xeon = load_machine("ampereone_192"), load_machine("xeon_8490h")
    assert not {flag for flag in ampere.core.isa if flag.startswith("sve")}
    assert ampere.clock.max.typical == 3.2e9
    assert "TDP" not in ampere.power.basis
    assert xeon.price.launch is not None
    assert xeon.price.launch.typical == 17000


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
