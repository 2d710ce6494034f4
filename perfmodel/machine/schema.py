"""What a machine description holds, and what is derived from it.

A :class:`Machine` is one CPU socket; it knows no models. Every physical figure is a
:class:`Figure`: SI floats ``low <= typical <= high`` with confidence and source. Sizes and rates
are in B, B/s, Hz, s, W and op/cycle (a multiply and an add are two operations).

Dotted paths ("memory.sustained", "core.engines.amx.efficiency.linear") name figures exactly as the
TOML file does; :meth:`Machine.figures` lists them and :meth:`Machine.with_values` changes them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import field
from functools import cached_property
from typing import Annotated, Any, Final, Literal

from perfmodel.errors import MachineError, UnknownName, UnsupportedPrecision
from perfmodel.figures import quantity
from perfmodel.figures.checking import validated
from perfmodel.figures.faults import fault_at
from perfmodel.figures.figure import Expect, Figure, Origin, nearest
from perfmodel.figures.held import Held, Text
from perfmodel.figures.record import Record, settable, tree_of, walk
from perfmodel.figures.tree import FigureTables, put
from perfmodel.machine.core import Core, Engine, Name
from perfmodel.machine.tables import (
    Cache,
    Calibration,
    Clock,
    Cores,
    EfficiencyCores,
    Memory,
    ParallelRegion,
    PowerFigures,
    PriceFigures,
    Rental,
    Topology,
)
from perfmodel.vocabulary.precision import FORMATS

#: Figures of [memory] whose product is the peak bandwidth where none is listed.
BANDWIDTH_PARTS: Final = ("channels", "transfer_rate", "channel_width")


class Machine(Record):
    """One CPU socket, or a machine of several: a validated description in SI units.

    Attributes:
        rental: of a machine that is rented by the hour; None of a CPU that is bought.
        vendor: who makes the CPU; may be empty where ``mapper`` tells.
        mapper: the name of the mapper that knows such CPUs (:func:`perfmodel.mapping.mapper_for`).
        software: figures of software as measured on this CPU, in tables by its id; they replace
            those of the software's own description. What they may be is for that to say.
    """

    id: Annotated[str, Held(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
    name: Text
    vendor: str = ""
    mapper: Name
    notes: str = ""
    cores: Cores
    core: Core
    clock: Clock
    cache: Cache
    memory: Memory
    topology: Topology = field(default_factory=Topology)
    parallel_region: ParallelRegion
    power: PowerFigures
    price: PriceFigures = field(default_factory=PriceFigures)
    rental: Rental | None = None
    efficiency_cores: EfficiencyCores | None = None
    software: FigureTables = field(default_factory=dict)
    calibration: Calibration | None = None

    def __repr__(self) -> str:
        cores = f"{self.cores.count.typical:g} cores {self.core.name}"
        return f"<Machine {self.id}: {self.name}, {cores}, {len(self.figures())} figures>"

    def consistent(self) -> None:
        """Raise a Fault where fields do not fit each other."""
        for name in self.clock.engine:
            if name not in self.core.engines:
                raise fault_at(
                    ("clock", "engine", name),
                    f"no such engine{nearest(name, self.core.engines)}",
                    f"an engine of the core: {', '.join(self.core.engines)}",
                )
        if self.cache.l3_domains.typical > self.cores.count.typical:
            raise fault_at(
                ("cache", "l3_domains"),
                f"{self.cache.l3_domains} domains for {self.cores.count} cores",
                "at least one core in each",
            )
        self._check_topology()

    def _check_topology(self) -> None:
        """Every memory domain has a whole number of channels, and of L3 domains or the reverse."""
        if self.cores.count.typical < self.sockets:
            found = f"{self.sockets} sockets for {self.cores.count} cores"
            raise fault_at(("topology", "sockets"), found, "at least one core in each")
        stated = self.topology.numa_domains
        if stated is None:
            return
        domains, path = int(stated.typical), ("topology", "numa_domains")
        if self.memory.channels.typical % domains:
            found = f"{domains} domains for {self.memory.channels} memory channels"
            raise fault_at(path, found, "as many channels in each domain")
        if domains % self.sockets:
            found = f"{domains} domains for {self.sockets} sockets"
            raise fault_at(path, found, "as many domains in each socket")
        few, many = sorted((domains, int(self.cache.l3_domains.typical)))
        if many % few:
            found = f"{domains} domains for {self.cache.l3_domains} L3 domains"
            raise fault_at(path, found, "a multiple or a whole part of cache.l3_domains")

    def __hash__(self) -> int:
        """By id: equal machines have equal ids, and the mappings inside have no hash."""
        return hash(self.id)

    # -- derived figures -------------------------------------------------------------------------

    def engine(self, name: str) -> Engine:
        """The engine called ``name``; raises :class:`UnknownName`."""
        try:
            return self.core.engines[name]
        except KeyError:
            raise UnknownName(f"engine of {self.id}", name, self.core.engines) from None

    def engine_clock(self, engine: str) -> Figure:
        """Clock with all cores busy on ``engine``: its own figure, else ``clock.sustained``."""
        self.engine(engine)
        return self.clock.engine.get(engine, self.clock.sustained)

    def peak_ops(
        self,
        engine: str,
        fmt: str,
        *,
        cores: float | None = None,
        clock: Literal["low", "typical", "high", "base", "max"] | float = "typical",
    ) -> float:
        """Peak op/s of ``engine`` in number format ``fmt`` (multiply and add are two).

        cores x operations per cycle x clock. ``cores`` defaults to all; ``clock`` is a bound of the
        engine's sustained clock, the base or maximum clock, or a frequency in Hz.

        Raises:
            UnknownName: no such engine or clock.
            UnsupportedPrecision: the engine does not execute ``fmt``.
        """
        rates = self.engine(engine).ops_per_cycle
        if fmt not in rates:
            raise UnsupportedPrecision(
                f"{self.id}: engine {engine!r} does not execute {fmt!r}; it executes "
                f"{', '.join(rates)}"
            )
        if isinstance(clock, str):
            sustained = self.engine_clock(engine)
            choices = {
                "low": sustained.low,
                "typical": sustained.typical,
                "high": sustained.high,
                "base": self.clock.base.typical,
                "max": self.clock.max.typical,
            }
            if clock not in choices:
                raise UnknownName("clock", clock, choices)
            hertz = choices[clock]
        else:
            hertz = clock
        count = self.cores.count.typical if cores is None else cores
        return count * rates[fmt].typical * hertz

    def best_engine(self, fmt: str) -> str:
        """The engine with the highest peak in ``fmt``.

        Raises:
            UnsupportedPrecision: no engine executes ``fmt``.
        """
        able = [name for name, engine in self.core.engines.items() if fmt in engine.ops_per_cycle]
        if not able:
            known = [
                f for f in FORMATS if any(f in e.ops_per_cycle for e in self.core.engines.values())
            ]
            raise UnsupportedPrecision(
                f"{self.id}: no engine executes {fmt!r}; its engines execute {', '.join(known)}"
            )
        return max(able, key=lambda name: self.peak_ops(name, fmt))

    def best_peak(self, fmt: str) -> float:
        """Peak op/s in ``fmt`` of the engine that is best at it (see :meth:`best_engine`)."""
        return self.peak_ops(self.best_engine(fmt), fmt)

    @property
    def peak_bandwidth(self) -> float:
        """DRAM peak in B/s: as listed, else channels x transfer rate x channel width."""
        if self.memory.bandwidth is not None:
            return self.memory.bandwidth.typical
        parts: list[Figure] = [getattr(self.memory, part) for part in BANDWIDTH_PARTS]
        return math.prod(part.typical for part in parts)

    @property
    def sustained_bandwidth(self) -> float:
        """DRAM bandwidth in B/s that streaming reads on all cores reach."""
        return self.peak_bandwidth * self.memory.sustained.typical

    @property
    def l3_per_domain(self) -> float:
        """Bytes of L3 in one domain: all that a core can reach."""
        return self.cache.l3.typical / self.cache.l3_domains.typical

    @property
    def cores_per_domain(self) -> int:
        """Cores sharing one L3 domain (in the fullest one, where they do not divide evenly)."""
        return math.ceil(self.cores.count.typical / self.cache.l3_domains.typical)

    @property
    def sockets(self) -> int:
        """Sockets among which cores, caches and memory are divided equally."""
        return 1 if self.topology.sockets is None else int(self.topology.sockets.typical)

    @property
    def cores_per_socket(self) -> int:
        """Cores of one socket (of the fullest one, where they do not divide evenly)."""
        return math.ceil(self.cores.count.typical / self.sockets)

    @property
    def numa_domains(self) -> int:
        """Memory domains that have cores."""
        domains = self.topology.numa_domains
        if domains is None:
            return self.sockets
        return int(min(domains.typical, self.cores.count.typical))

    @property
    def cores_per_numa_domain(self) -> int:
        """Cores of one memory domain (of the fullest one, where they do not divide evenly)."""
        return math.ceil(self.cores.count.typical / self.numa_domains)

    @property
    def l3_per_numa_domain(self) -> float:
        """Bytes of L3 in one memory domain."""
        return self.cache.l3.typical / self.numa_domains

    @property
    def bandwidth_per_numa_domain(self) -> float:
        """DRAM peak of one memory domain in B/s: of its own channels."""
        return self.peak_bandwidth / self.numa_domains

    # -- figures by dotted path ------------------------------------------------------------------

    def figures(self) -> dict[str, Figure]:
        """Every figure by its dotted path, in the order of the schema."""
        return dict(self._by_path)

    @cached_property
    def _by_path(self) -> dict[str, Figure]:
        # Every mapping reads them, and a machine does not change.
        return dict(walk(self))

    def settable(self) -> dict[str, Expect]:
        """Every path that :meth:`with_values` takes, with what its figure may be."""
        return dict(self._expected)

    @cached_property
    def _expected(self) -> dict[str, Expect]:
        expected = dict(settable(self))
        expected |= {f"clock.engine.{name}": expected["clock.base"] for name in self.core.engines}
        expected |= {
            path: Expect(figure.unit, "3")
            for path, figure in self.figures().items()
            if path.startswith("software.")
        }
        return expected

    def with_values(self, values: Mapping[str, Any]) -> Machine:
        """A new machine with some figures replaced, validated like a file.

        ``values`` maps dotted paths to a text with a unit ("576 GB/s"), a :class:`Figure`, a table
        with low, typical and high, or a number: in SI units, unlike a file's. An optional figure
        that is absent may be set. Setting the channels, transfer rate or channel width of the
        memory drops a listed ``memory.bandwidth`` (it would win over them) unless that is set too.
        A clock that is given as it was is no fault beside a lower maximum.

        Raises:
            MachineError: unknown path (the nearest is suggested), or a value that does not fit.
        """
        tree = tree_of(self)
        expected = self.settable()
        if any(f"memory.{part}" in values for part in BANDWIDTH_PARTS):
            tree["memory"].pop("bandwidth", None)
        expected |= {
            path: Expect(value.unit, "3")
            for path, value in values.items()
            if path.startswith("software.") and isinstance(value, Figure)
        }
        for path, value in values.items():
            if path not in expected:
                raise MachineError(
                    f"{self.id}: {path}: no such figure{nearest(path, expected, cutoff=0.4)}"
                )
            unit = expected[path].unit
            if isinstance(value, (int, float)) and not isinstance(value, bool):
                value = Figure(float(value), float(value), float(value), unit)
            put(tree, path, value)
        changed = validated(Machine, tree, Origin(self.id, {}))
        before, after = self.figures(), changed.figures()
        moved = [
            path
            for path in values
            if path not in before or after[path].typical != before[path].typical
        ]
        changed.check_clocks(self.id, moved)
        return changed

    def check_clocks(self, shown: str, paths: Collection[str] | None = None) -> None:
        """Hold the clocks at ``paths`` (all unless given) to their maximum.

        A lower maximum alone is no fault of the clocks that were not changed with it.

        Raises:
            MachineError: a clock above the maximum; the line begins with ``shown``.
        """
        clocks = {"clock": self.clock}
        if self.efficiency_cores is not None:
            clocks["efficiency_cores.clock"] = self.efficiency_cores.clock
        for table, clock in clocks.items():
            for name, figure in clock.above_max():
                if paths is None or f"{table}.{name}" in paths:
                    found, most = (
                        quantity.render(value.typical, "Hz") for value in (figure, clock.max)
                    )
                    raise MachineError(
                        f"{shown}: {table}.{name}: {found} above the maximum clock; expected at "
                        f"most {table}.max, {most}"
                    )
