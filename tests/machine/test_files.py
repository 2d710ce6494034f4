"""A user's own file: it works like the catalogue's, and what is wrong in it is said in one line."""
# ruff: noqa: E501  (a table: one fault a line)

from __future__ import annotations

import re
from pathlib import Path

import pytest

from perfmodel.errors import MachineError, UnknownName
from perfmodel.machine import load_machine
from perfmodel.vocabulary import families

EFFICIENCY = "\n".join(f"{family} = 0.5" for family in families.FAMILIES)
CORE = f"""
name = "Tiny"
isa = ["avx2", "fma"]
[engines.avx2]
kind = "vector"
requires = ["avx2"]
ops_per_cycle = {{ fp32 = "32 op/cycle" }}
tile = {{ fp32 = {{ rows = 1, columns = 8, depth = 1 }} }}
[engines.avx2.efficiency]
{EFFICIENCY}
[cache_bandwidth]
l2 = "32 B/cycle"
l3 = "16 B/cycle"
"""
CPU = """
name = "My desktop"
mapper = "intel"
core = "CORE"
cores = { count = 8, threads_per_core = 2 }
clock = { base = "3.6 GHz", sustained = "4.7 GHz", max = "5 GHz" }
cache = { l1d = "48 KiB", l2 = "1.25 MiB", l3 = "25 MiB", l3_domains = 1 }
parallel_region = { base = "0.1 us", per_doubling = "1 us" }
price = { launch = "409 USD" }
[memory]
channels = 2
transfer_rate = "4800 MT/s"
channel_width = "8 B"
sustained = 0.8
per_core = "30 GB/s"
[power]
tdp = "125 W"
basis = "base power"
idle = "10 W"
"""


@pytest.fixture
def cpu(tmp_path: Path) -> Path:
    """A whole description as a user writes it: bare figures, a core file beside it."""
    (tmp_path / "tiny.toml").write_text(CORE)
    file = tmp_path / "desk top.toml"
    file.write_text(CPU.replace("CORE", "tiny.toml"))
    return file


def change(file: Path, old: str, new: str) -> Path:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    return file


def complaint(file: Path) -> str:
    """The one line a bad file is refused with, without the path in front."""
    with pytest.raises(MachineError) as caught:
        load_machine(file)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith((f"{file}: ", f"{file.with_name('tiny.toml')}: "))
    return message.partition(": ")[2]


def test_bare_figures_and_a_core_beside_the_file(cpu: Path) -> None:
    for given in (cpu, str(cpu)):
        machine = load_machine(given)
        assert machine.id == "desk_top"
        assert machine.peak_bandwidth == 76.8e9
        assert machine.best_peak("fp32") == 8 * 32 * 4.7e9
    figure = machine.figures()["memory.sustained"]
    assert (figure.confidence, figure.source) == ("stated", str(cpu))
    assert load_machine(machine) is machine


def test_ranges_and_sources_may_be_stated(cpu: Path) -> None:
    change(cpu, "sustained = 0.8", 'sustained = { low = 0.7, typical = "75 %", high = 0.8 }')
    change(cpu, '"125 W"', '{ value = "125 W", confidence = "V", source = "ark" }')
    change(cpu, "[memory]", '[sources]\nark = "ark.intel.com, i7-12700K"\n[memory]')
    figures = load_machine(cpu).figures()
    sustained = figures["memory.sustained"]
    assert (sustained.low, sustained.typical, sustained.high) == (0.7, 0.75, 0.8)
    assert (sustained.is_range, sustained.source) == (True, str(cpu))
    assert figures["power.tdp"].source == "ark.intel.com, i7-12700K"


def test_catalogue_cores_and_inline_cores(cpu: Path) -> None:
    zen = load_machine(change(cpu, '"tiny.toml"', '"zen4"'))
    assert zen.core == load_machine("epyc_9654").core
    change(
        cpu,
        'core = "zen4"',
        'core = { base = "zen4", engines.avx512.efficiency.linear = 0.9, cache_bandwidth.l3 = "9 B/cycle" }',
    )
    core = load_machine(cpu).core
    assert core.engines["avx512"].efficiency["linear"].typical == 0.9
    assert core.cache_bandwidth.l3.typical == 9
    # All the rest is as it was, and the catalogue's own core untouched.
    assert (
        core.engines["avx512"].efficiency["conv"] == zen.core.engines["avx512"].efficiency["conv"]
    )
    assert load_machine("epyc_9654").core == zen.core
    inline = cpu.with_name("inline.toml")
    own = CORE.replace("[engines", "[core.engines").replace("[cache_b", "[core.cache_b")
    inline.write_text(CPU.replace('core = "CORE"', "") + "[core]" + own)
    assert load_machine(inline).core.name == "Tiny"


def test_a_cpu_can_rest_on_another(tmp_path: Path) -> None:
    file = tmp_path / "faster.toml"
    file.write_text('base = "epyc_9654"\n[memory]\ntransfer_rate = "6000 MT/s"\n')
    machine, below = load_machine(file), load_machine("epyc_9654")
    assert machine.id == "faster"
    # The listed peak of the base does not hold for other memory.
    assert machine.peak_bandwidth == 576e9
    assert machine.figures()["clock.base"] == below.figures()["clock.base"]
    second = tmp_path / "second.toml"
    second.write_text('base = "faster.toml"\ncore = { engines.avx512.efficiency.conv = 0.4 }\n')
    assert load_machine(second).core.engines["avx512"].efficiency["conv"].typical == 0.4
    assert load_machine(second).peak_bandwidth == 576e9


def test_a_cpu_can_lack_what_its_base_has(tmp_path: Path) -> None:
    file = tmp_path / "rented.toml"
    file.write_text('base = "epyc_9654"\nwithout = ["price.launch", "memory.per_domain"]\n')
    machine = load_machine(file)
    assert machine.price.launch is None
    assert machine.memory.per_domain is None
    assert machine.power == load_machine("epyc_9654").power


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('base = "epyc_9654"\nwithout = "price.launch"', "without: 'price.launch'; expected a list of dotted paths"),
        ('base = "epyc_9654"\nwithout = ["price.lunch"]', "without: the base has no 'price.lunch'"),
        ('base = "graviton4"\nwithout = ["price.launch"]', "without: the base has no 'price.launch'"),
        ('base = "epyc_9654"\nwithout = ["clock.base"]', "clock.base: missing; expected a positive quantity"),
        ('without = ["price.launch"]', "without: there is no base to leave figures out of"),
        ('base = "epyc_9654"\ntopology.numa_domains = 5', "topology.numa_domains: 5 domains for 12 memory channels; expected as many channels in each domain"),
        ('base = "epyc_9654"\ntopology.numa_domain = 4', "topology.numa_domain: unknown field (did you mean 'numa_domains'?)"),
    ],
)  # fmt: skip
def test_what_cannot_be_left_out_or_divided_is_named(
    tmp_path: Path, text: str, expected: str
) -> None:
    file = tmp_path / "rented.toml"
    file.write_text(text)
    assert complaint(file).startswith(expected)


def test_hybrid_chips_keep_their_other_cores(cpu: Path) -> None:
    with cpu.open("a") as out:
        out.write(
            '[efficiency_cores]\ncount = 4\nthreads_per_core = 1\ncore = "tiny.toml"\n'
            'clock = { base = "2.7 GHz", sustained = "3.6 GHz", max = "3.8 GHz" }\n'
        )
    machine = load_machine(cpu)
    assert machine.efficiency_cores is not None
    assert machine.figures()["efficiency_cores.count"].typical == 4
    assert machine.best_peak("fp32") == 8 * 32 * 4.7e9


# -- what is wrong, where, and what was expected --------------------------------------------------

BAD = [
    # missing, negative, NaN, infinite, zero, without unit, of a wrong unit, of a wrong type
    ('base = "3.6 GHz", ', "", 'clock.base: missing; expected a positive quantity with a unit of Hz, such as "2.4 GHz"'),
    ('"3.6 GHz"', '"-3.6 GHz"', "clock.base: '-3.6 GHz'; expected a positive quantity"),
    ('"3.6 GHz"', '"nan GHz"', "clock.base: 'nan GHz'; expected a positive quantity"),
    ('"3.6 GHz"', '"inf GHz"', "clock.base: 'inf GHz'; expected a positive quantity"),
    ('"3.6 GHz"', '"0 GHz"', "clock.base: '0 GHz'; expected a positive quantity"),
    ('"3.6 GHz"', '"3.6"', "clock.base: '3.6' has no unit; expected a positive quantity"),
    ('"3.6 GHz"', "3.6", "clock.base: 3.6 has no unit; expected a positive quantity"),
    ('"3.6 GHz"', '"3.6 GB/s"', "clock.base: '3.6 GB/s' has the unit 'GB/s', which cannot be read as Hz"),
    ('"3.6 GHz"', '"3.6 Ghz"', "clock.base: '3.6 Ghz' 'Ghz' is not a known unit (case matters)"),
    ('"3.6 GHz"', '"fast"', "clock.base: 'fast' is not a number with a unit"),
    ('"3.6 GHz"', "true", "clock.base: True; expected a positive quantity"),
    ('"3.6 GHz"', '["3.6 GHz"]', "clock.base: ['3.6 GHz']; expected a positive quantity"),
    ("sustained = 0.8", "sustained = nan", "memory.sustained: nan; expected a fraction in (0, 1]"),
    ("sustained = 0.8", "sustained = 1.2", "memory.sustained: 1.2; expected a fraction in (0, 1]"),
    ("sustained = 0.8", "sustained = true", "memory.sustained: True; expected a fraction"),
    ("count = 8,", "count = 7.5,", "cores.count: 7.5; expected a whole number of at least 1"),
    ("count = 8,", "count = 0,", "cores.count: 0; expected a whole number of at least 1"),
    ("count = 8,", 'count = "8 GB",', "cores.count: '8 GB' has the unit 'GB' but is a plain number"),
    # ranges
    ("sustained = 0.8", "sustained = { low = 0.9, typical = 0.8, high = 0.7 }", "memory.sustained: low = 0.9, typical = 0.8, high = 0.7; expected low <= typical <= high"),
    ("sustained = 0.8", "sustained = { low = 0.7, high = 0.9 }", "memory.sustained: no typical; expected value, or low, typical and high"),
    ("sustained = 0.8", "sustained = { value = 0.7, high = 0.9 }", "memory.sustained: both value and high"),
    ("sustained = 0.8", "sustained = {}", "memory.sustained: a table without a value"),
    ("sustained = 0.8", "sustained = { vale = 0.7 }", "memory.sustained: unknown key 'vale' (did you mean 'value'?)"),
    ("sustained = 0.8", 'sustained = { value = 0.7, confidence = "X" }', "memory.sustained: confidence 'X'; expected a confidence out of V, M, D, R, U"),
    ("sustained = 0.8", 'sustained = { value = 0.7, confidence = "V" }', "memory.sustained: confidence 'V' without a source"),
    ("sustained = 0.8", 'sustained = { value = 0.7, confidence = "V", source = "ark" }', "memory.sustained: source 'ark'; expected a key of [sources]"),
    ("[memory]", '[sources]\nark = "x"\n[memory]\nbandwidth = { value = "75 GB/s", confidence = "R", source = "ark" }', "memory.bandwidth: one value with confidence 'R'"),
    ("[memory]", "[sources]\nark = 3\n[memory]", "sources.ark: 3; expected a citation"),
    # no CPU that was built, and far from it
    ('"3.6 GHz"', '"35 GHz"', "clock.base: 35 GHz is implausible; expected 10 MHz to 20 GHz"),
    ("count = 8,", "count = 100000,", "cores.count: 100000 is implausible; expected 1 to 4096"),
    ("count = 8,", "count = 2000000000,", "cores.count: 2e+09 is implausible"),
    ("count = 8,", "count = 1e300,", "cores.count: 1e+300 is implausible"),
    ("threads_per_core = 2 ", "threads_per_core = 5000 ", "cores.threads_per_core: 5000 is implausible; expected 1 to 1024"),
    ('per_core = "30 GB/s"', 'per_core = "30 GB/s"\nper_domain = "1e308 B/s"', "memory.per_domain: 1e+296 TB/s is implausible; expected 1 MB/s to 1000 TB/s"),
    ('"25 MiB", l3', '"25 B", l3', "cache.l3: 25 B is implausible; expected 1 KiB to 64 GiB"),
    ('"8 B"', '"8 GB"', "memory.channel_width: 7.45058 GiB is implausible; expected 1 B to 4 KiB"),
    ('"125 W"', '"1e9 W"', "power.tdp: 1e+09 W is implausible"),
    ('"409 USD"', '"1e300 USD"', "price.launch: 1e+300 USD is implausible"),
    ('"4.7 GHz"', '{ low = "4 GHz", typical = "4.7 GHz", high = "47 GHz" }', "clock.sustained: 47 GHz is implausible"),
    # clocks in order
    ('sustained = "4.7 GHz"', 'sustained = "5.1 GHz"', "clock.sustained: 5.1 GHz above the maximum clock; expected at most clock.max, 5 GHz"),
    ('base = "3.6 GHz"', 'base = "5.5 GHz"', "clock.base: 5.5 GHz above the maximum clock"),
    ('max = "5 GHz" }', 'max = "5 GHz", engine = { avx2 = "6 GHz" } }', "clock.engine.avx2: 6 GHz above the maximum clock"),
    # structure
    ("channels = 2", "chanels = 2", "memory.chanels: unknown field (did you mean 'channels'?) (and 1 more)"),
    ("[memory]", "[memery]", "memery: unknown field (did you mean 'memory'?)"),
    ("price =", "speed = 3\nprice =", "speed: unknown field; expected one of id, name, vendor, mapper"),
    ('basis = "base power"\n', "", "power.basis: missing; expected a text"),
    ('mapper = "intel"', 'mapper = "An Arm"', "mapper: 'An Arm'; expected a name of"),
    ('mapper = "intel"\n', "", "mapper: missing; expected a text"),
    ('name = "My desktop"', "name = 5", "name: 5; expected a text"),
    ('name = "My desktop"', 'id = "a b"\nname = "x"', "id: 'a b'; expected a name of letters"),
    ("cores = { count = 8, threads_per_core = 2 }", "cores = 8", "cores: 8; expected a table"),
    ('"25 MiB", l3_domains = 1', '"25 MiB", l3_domains = 9', "cache.l3_domains: 9 domains for 8 cores; expected at least one core in each"),
    ('max = "5 GHz" }', 'max = "5 GHz", engine = { amx = "2 GHz" } }', "clock.engine.amx: no such engine; expected an engine of the core: avx2"),
    # the core
    ('"tiny.toml"', '"zen44"', "core: unknown core 'zen44': did you mean 'zen4'?"),
    ('"tiny.toml"', "5", "core: 5; expected the name of a core"),
    ('core = "tiny.toml"\n', "", "core: missing; expected a table with name, notes, isa"),
    ('"tiny.toml"', '{ base = "zen4", engines.avx512.efficiency.linar = 0.5 }', "core.engines.avx512.efficiency.linar: unknown operator family (did you mean 'linear'?)"),
    ('"tiny.toml"', '{ base = "zen4", isa = ["avx2"] }', "core.engines.avx512.requires: 'avx512f', which the core's isa does not list"),
    # TOML
    ("[memory]", "[memory", "not valid TOML: "),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new", "expected"), BAD, ids=[row[2][:45] for row in BAD])
def test_a_wrong_field_is_named(cpu: Path, old: str, new: str, expected: str) -> None:
    assert complaint(change(cpu, old, new)).startswith(expected)


BAD_CORES = [
    ('"32 op/cycle"', '"32 op"', "engines.avx2.ops_per_cycle.fp32: '32 op' has the unit 'op'"),
    ("fp32 =", "fp31 =", "engines.avx2.ops_per_cycle.fp31: unknown number format (did you mean 'fp32'?)"),
    ("tile = { fp32", "tile = { bf16", "engines.avx2.tile.fp32: missing; expected a tile"),
    ("rows = 1,", "rows = 0,", "engines.avx2.tile.fp32.rows: 0; expected a whole number of at least 1"),
    ("rows = 1,", "rows = 1.5,", "engines.avx2.tile.fp32.rows: 1.5; expected a whole number"),
    ("rows = 1,", "", "engines.avx2.tile.fp32.rows: missing"),
    ('requires = ["avx2"]', 'requires = ["avx512f"]', "engines.avx2.requires: 'avx512f', which the core's isa does not list; expected flags out of avx2, fma"),
    ('kind = "vector"', 'kind = "scalar"', "engines.avx2.kind: 'scalar'; expected 'matrix' or 'vector'"),
    ('kind = "vector"', 'kind = "matrix"', "engines.avx2.efficiency.norm: a family without multiplications on a matrix engine"),
    ("norm = 0.5", "", "engines.avx2.efficiency.norm: missing; expected a vector engine's share"),
    ("norm = 0.5", "norm = 5", "engines.avx2.efficiency.norm: 5; expected a fraction in (0, 1]"),
    ('isa = ["avx2", "fma"]', 'isa = "avx2"', "isa: 'avx2'; expected a list"),
    ('isa = ["avx2", "fma"]', 'isa = ["AVX2"]', "isa.0: 'AVX2'; expected a name of lower-case letters"),
    ('name = "Tiny"', 'name = "Tiny"\nbase = "zen44"', "the file: unknown core 'zen44': did you mean 'zen4'?"),
    ('name = "Tiny"', 'base = "tiny.toml"', "rests on itself"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "expected"), BAD_CORES, ids=[row[2][:45] for row in BAD_CORES]
)
def test_a_wrong_core_file_is_named(cpu: Path, old: str, new: str, expected: str) -> None:
    change(cpu.with_name("tiny.toml"), old, new)
    assert complaint(cpu).startswith(expected)


def test_toml_errors_keep_their_line(cpu: Path) -> None:
    change(cpu, "mapper =", "mapper")
    assert re.search(r"not valid TOML: .*line 3", complaint(cpu))


def test_unreadable_files(tmp_path: Path) -> None:
    missing = tmp_path / "missing.toml"
    assert complaint(missing).startswith("no such file")
    assert complaint(tmp_path).startswith("cannot be read: Is a directory")
    latin = tmp_path / "latin.toml"
    latin.write_bytes('name = "Prüfstand"'.encode("latin-1"))
    assert complaint(latin).startswith("not UTF-8 text (byte 10)")
    with pytest.raises(MachineError, match="null"):
        load_machine("a/\0.toml")
    bom = tmp_path / "bom.toml"
    bom.write_bytes(b'\xef\xbb\xbfbase = "epyc_9654"')
    assert load_machine(bom).peak_bandwidth == 460.8e9


def test_bases_that_are_wrong(tmp_path: Path) -> None:
    first, second = tmp_path / "first.toml", tmp_path / "second.toml"
    first.write_text('base = "epyc_965"')
    assert complaint(first) == "base: unknown CPU 'epyc_965': did you mean 'epyc_9965'?"
    first.write_text("base = 5")
    assert complaint(first).startswith("base: 5; expected a CPU id or a path")
    first.write_text('base = "second.toml"')
    second.write_text('base = "first.toml"')
    with pytest.raises(MachineError, match=r"first\.toml: rests on itself"):
        load_machine(first)


def test_unknown_names_suggest_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown CPU 'epyc-9654': did you mean 'epyc_9654'"):
        load_machine("epyc-9654")
    with pytest.raises(MachineError, match=r"^epyc\.toml: no such file"):
        load_machine("epyc.toml")
