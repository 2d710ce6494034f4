"""Figures by dotted path, and changing them: what sampling and ``--set`` rest on."""
# ruff: noqa: E501  (a table: one fault a line)

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.errors import MachineError
from perfmodel.machine import Figure, Machine, catalogue, load_machine

MACHINES = [load_machine(cpu) for cpu in catalogue()]
BY_UNIT = ["B/s", "s", "W", "op/cycle", "B/cycle"]


def paths(machine: Machine, *units: str) -> list[str]:
    return [path for path, figure in machine.figures().items() if figure.unit in units]


@st.composite
def changes(draw: st.DrawFn) -> tuple[Machine, dict[str, float]]:
    """A machine and new values in SI units for some of its figures."""
    machine = draw(st.sampled_from(MACHINES))
    # Clocks are held to their order: another test changes them.
    free = [path for path in paths(machine, *BY_UNIT) if "clock." not in path]
    chosen = draw(st.lists(st.sampled_from(free), max_size=8, unique=True))
    factor = st.floats(min_value=0.1, max_value=10)
    figures = machine.figures()
    return machine, {path: figures[path].typical * draw(factor) for path in chosen}


@settings(max_examples=100)
@given(changes())
def test_changed_figures_are_changed_and_no_others(
    case: tuple[Machine, dict[str, float]],
) -> None:
    machine, values = case
    before = machine.figures()
    after = machine.with_values(values).figures()
    if "memory.transfer_rate" in values:
        before.pop("memory.bandwidth", None)
    assert after.keys() == before.keys() | values.keys()
    for path, figure in after.items():
        if path in values:
            assert (figure.low, figure.typical, figure.high) == (values[path],) * 3
            assert figure.confidence == "stated"
            assert figure.unit == before[path].unit
        else:
            assert figure == before[path]
    assert machine == load_machine(machine.id)


@settings(max_examples=100)
@given(changes())
def test_applying_twice_is_applying_once(case: tuple[Machine, dict[str, float]]) -> None:
    machine, values = case
    once = machine.with_values(values)
    assert once.with_values(values) == once
    assert hash(once) == hash(machine)


@settings(max_examples=100)
@given(st.sampled_from(MACHINES), st.floats(min_value=0.1, max_value=1))
def test_peaks_are_proportional_to_clock_and_cores(machine: Machine, factor: float) -> None:
    engine = machine.best_engine("int8")
    clock = machine.engine_clock(engine).typical
    path = f"clock.engine.{engine}" if engine in machine.clock.engine else "clock.sustained"
    faster = machine.with_values({path: clock * factor})
    assert faster.peak_ops(engine, "int8") == pytest.approx(
        machine.peak_ops(engine, "int8") * factor
    )
    doubled = machine.with_values({"cores.count": 2 * machine.cores.count.typical})
    assert doubled.best_peak("int8") == pytest.approx(2 * machine.best_peak("int8"))


def test_all_figures_can_be_set_to_themselves() -> None:
    for machine in MACHINES:
        figures = machine.figures()
        assert machine.with_values(figures) == machine
        # As text, in the units people read: within what six digits hold.
        texts = {
            path: str(Figure(f.typical, f.typical, f.typical, f.unit))
            for path, f in figures.items()
        }
        for path, figure in machine.with_values(texts).figures().items():
            assert figure.typical == pytest.approx(figures[path].typical, rel=5e-6)


def test_paths_are_those_of_the_file() -> None:
    figures = load_machine("xeon_8490h").figures()
    assert {
        "cores.count",
        "clock.engine.amx",
        "memory.sustained",
        "core.engines.amx.ops_per_cycle.int8",
        "core.engines.amx.efficiency.linear",
        "core.cache_bandwidth.l3_domain",
        "parallel_region.per_doubling",
        "price.launch",
    } <= figures.keys()
    assert figures["clock.engine.amx"].typical == 2.1e9
    assert str(figures["clock.engine.amx"]) == "2.1 GHz (1.9 GHz to 2.6 GHz)"
    assert float(figures["cores.count"]) == 60


def test_absent_optional_figures_can_be_set() -> None:
    xeon, epyc = load_machine("xeon_8490h"), load_machine("epyc_9654")
    assert "memory.bandwidth" not in xeon.figures()
    assert xeon.with_values({"memory.bandwidth": "576 GB/s"}).peak_bandwidth == 576e9
    assert epyc.with_values({"clock.engine.avx512": "3 GHz"}).engine_clock("avx512").typical == 3e9
    slow = epyc.with_values({"core.engines.avx512.saturation": "1e6 op"})
    assert slow.core.engines["avx512"].saturation is not None


def test_other_memory_makes_a_listed_bandwidth_void() -> None:
    epyc = load_machine("epyc_9654")
    assert "memory.bandwidth" in epyc.figures()
    assert epyc.with_values({"memory.transfer_rate": "6000 MT/s"}).peak_bandwidth == 576e9
    both = {"memory.transfer_rate": "6000 MT/s", "memory.bandwidth": "500 GB/s"}
    assert epyc.with_values(both).peak_bandwidth == 500e9


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"memory.bandwith": "576 GB/s"}, "memory.bandwith: no such figure (did you mean 'memory.bandwidth'?)"),
        ({"sustained": 0.5}, "sustained: no such figure"),
        ({"core.isa": "avx2"}, "core.isa: no such figure"),
        ({"memory": 5}, "memory: no such figure"),
        ({"memory.bandwidth": "576"}, "memory.bandwidth: '576' has no unit"),
        ({"memory.bandwidth": "3 GHz"}, "memory.bandwidth: '3 GHz' has the unit 'GHz'"),
        ({"memory.bandwidth": -1.0}, "memory.bandwidth: -1.0; expected a positive quantity"),
        ({"memory.bandwidth": float("nan")}, "memory.bandwidth: nan; expected a positive"),
        ({"memory.bandwidth": True}, "memory.bandwidth: True; expected a positive quantity"),
        ({"memory.sustained": 1.01}, "memory.sustained: 1.01; expected a fraction in (0, 1]"),
        ({"cores.count": 9.5}, "cores.count: 9.5; expected a whole number"),
        ({"cores.count": Figure(1, 2, 3, "Hz")}, "cores.count: a figure in Hz; expected a whole"),
        ({"clock.max": Figure(3e9, 2e9, 1e9, "Hz")}, "clock.max: low, typical, high = "),
        ({"clock.max": {"low": "3 GHz", "typical": "2 GHz", "high": "1 GHz"}}, "clock.max: low = '3 GHz'"),
    ],
)  # fmt: skip
def test_values_that_do_not_fit(values: dict[str, object], expected: str) -> None:
    with pytest.raises(MachineError) as caught:
        load_machine("epyc_9654").with_values(values)
    message = str(caught.value)
    assert message.startswith(f"epyc_9654: {expected}")
    assert "\n" not in message


def test_machines_are_immutable() -> None:
    machine = load_machine("epyc_9654")
    with pytest.raises(AttributeError, match="cannot assign"):
        machine.memory.sustained = machine.memory.per_core  # type: ignore[misc]
