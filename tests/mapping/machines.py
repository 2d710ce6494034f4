"""Generated machines: the catalogue's, with every kind of figure moved about."""

from __future__ import annotations

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


def scaled(machine: Machine, paths: list[str], factor: float) -> Machine:
    """The machine with these figures' typical values multiplied."""
    figures = machine.figures()
    values = {path: figures[path].typical * factor for path in paths}
    # A listed peak is dropped where its parts change, so it is always given again.
    if "memory.bandwidth" in figures:
        values.setdefault("memory.bandwidth", figures["memory.bandwidth"].typical)
    return machine.with_values(values)


@st.composite
def machines(draw: st.DrawFn) -> Machine:
    """A catalogue machine with other clocks, bandwidths, caches, efficiencies and core counts."""
    machine = load_machine(draw(st.sampled_from(catalogue()), label="cpu"))
    factor = st.floats(0.25, 1.0)
    machine = scaled(machine, bandwidths(machine), draw(factor, label="bandwidth"))
    machine = scaled(machine, clocks(machine), draw(factor, label="clock"))
    machine = scaled(machine, efficiencies(machine), draw(factor, label="efficiency"))
    machine = scaled(machine, ["cache.l2", "cache.l3"], draw(factor, label="caches"))
    domains = int(machine.cache.l3_domains.typical)
    cores = draw(st.integers(domains, int(machine.cores.count.typical)), label="cores")
    return machine.with_values({"cores.count": cores})
