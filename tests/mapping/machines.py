"""Generated machines: the catalogue's, with every kind of figure moved about."""

from __future__ import annotations

import functools

from hypothesis import strategies as st

from perfmodel.machine import Machine, catalogue, load_machine

#: Figures that laws are stated about, by what they are.
RATES = (
    "memory.transfer_rate",
    "memory.per_core",
    "memory.per_domain",
    "core.cache_bandwidth.l3_domain",
)


def clocks(machine: Machine) -> list[str]:
    return [path for path in machine.figures() if path.startswith("clock.")]


def efficiencies(machine: Machine) -> list[str]:
    return [path for path in machine.figures() if ".efficiency." in path]


def bandwidths(machine: Machine) -> list[str]:
    """What moves bytes: memory, caches, links."""
    return [
        path
        for path in machine.figures()
        if path in RATES or path == "memory.bandwidth" or "cache_bandwidth" in path
    ]


def durations(machine: Machine) -> list[str]:
    return [path for path in machine.figures() if path.startswith("parallel_region.")]


def _scaled(machine: Machine, paths: list[str], factor: float) -> dict[str, float]:
    figures = machine.figures()
    return {path: figures[path].typical * factor for path in paths}


def _with_peak(machine: Machine, values: dict[str, float]) -> Machine:
    """The machine with ``values``; a listed peak, which its parts would drop, is given again."""
    if machine.memory.bandwidth is not None:
        values.setdefault("memory.bandwidth", machine.memory.bandwidth.typical)
    return machine.with_values(values)


def scaled(machine: Machine, paths: list[str], factor: float) -> Machine:
    """The machine with these figures' typical values multiplied."""
    return _with_peak(machine, _scaled(machine, paths, factor))


@functools.cache
def _kinds(cpu: str) -> dict[str, list[str]]:
    """Paths of a catalogue machine's figures that are moved together, by what they are."""
    machine = load_machine(cpu)
    return {
        "bandwidth": bandwidths(machine),
        "clock": clocks(machine),
        "efficiency": efficiencies(machine),
        "caches": ["cache.l2", "cache.l3"],
    }


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """A catalogue machine with other clocks, bandwidths, caches, efficiencies and core counts."""
    machine = load_machine(draw(st.sampled_from(catalogue()), label="cpu"))
    values: dict[str, float] = {}
    for kind, paths in _kinds(machine.id).items():
        values |= _scaled(machine, paths, draw(st.floats(0.25, 1.0), label=kind))
    domains = int(machine.cache.l3_domains.typical)
    values["cores.count"] = draw(
        st.integers(domains, int(machine.cores.count.typical)), label="cores"
    )
    # All at once: reading a machine takes longer than mapping a small workload onto it.
    return _with_peak(machine, values)
