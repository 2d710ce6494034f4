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
from functools import cached_property
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, StrictInt, ValidationInfo, model_validator

from perfmodel.errors import MachineError, UnknownName, UnsupportedPrecision
from perfmodel.figures import quantity
from perfmodel.figures.figure import (
    Bandwidth,
    BytesPerCycle,
    CacheSize,
    CoreCount,
    Duration,
    Expect,
    Figure,
    Fraction,
    Frequency,
    MemorySize,
    Operations,
    OpsPerCycle,
    Origin,
    PartCount,
    Power,
    Price,
    Rent,
    TransferRate,
    Width,
    nearest,
    provenance,
)
from perfmodel.figures.record import Record, fault_at, settable, tree_of, validated, walk
from perfmodel.figures.tree import FigureTables, put
from perfmodel.vocabulary import families
from perfmodel.vocabulary.precision import FORMATS

__all__ = [
    "BANDWIDTH_PARTS",
    "Cache",
    "CacheBandwidth",
    "Calibration",
    "Clock",
    "Core",
    "Cores",
    "Duration",
    "EfficiencyCores",
    "Engine",
    "Figure",
    "Fraction",
    "Machine",
    "Memory",
    "Origin",
    "ParallelRegion",
    "PowerFigures",
    "PriceFigures",
    "Record",
    "Tile",
    "Topology",
]

#: Figures of [memory] whose product is the peak bandwidth where none is listed.
BANDWIDTH_PARTS: Final = ("channels", "transfer_rate", "channel_width")

Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
#: A region as its provider calls it; no dot, so that it can be a step of a dotted path.
Region = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


class Tile(Record):
    """What an engine's kernels pad the GEMM loops (m, n, k) up to, in elements: exact integers.

    Attributes:
        rows, columns, depth: of the m, n and k loop.
        confidence, source: as of a :class:`Figure`.
    """

    whole: ClassVar[bool] = True

    rows: StrictInt = Field(ge=1)
    columns: StrictInt = Field(ge=1)
    depth: StrictInt = Field(ge=1)
    confidence: str = "stated"
    source: str = "stated by the caller"

    @model_validator(mode="before")
    @classmethod
    def _cited(cls, raw: Any, info: ValidationInfo) -> Any:
        if not isinstance(raw, dict):
            return raw
        origin = info.context if isinstance(info.context, Origin) else None
        confidence, source = provenance(raw, origin)
        return raw | {"confidence": confidence, "source": source}


class Engine(Record):
    """One way of executing arithmetic: a matrix unit or the vector units of a core.

    Attributes:
        kind: "matrix" executes GEMM families only; "vector" executes every family.
        requires: ISA flags its kernels need; a subset of the core's.
        ops_per_cycle: per number format; a format that is absent is not executed.
        instructions: per number format, the ISA flag without which the engine cannot multiply in
            it; a format that is not listed needs no more than the engine itself.
        tile: per number format, the same formats as ``ops_per_cycle``.
        efficiency: share of the peak reached on a large kernel, per operator family; the same for
            all formats. For families without multiplications: share of the FP32 peak. A family
            that is absent is not executed by this engine.
        saturation: operations per core at which a kernel reaches half of ``efficiency``; absent
            means that efficiency does not depend on size.
    """

    kind: Literal["matrix", "vector"]
    requires: tuple[Name, ...]
    ops_per_cycle: Mapping[str, OpsPerCycle] = Field(min_length=1)
    instructions: Mapping[str, Name] = Field(default_factory=dict)
    tile: Mapping[str, Tile]
    efficiency: Mapping[str, Fraction] = Field(min_length=1)
    saturation: Operations | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for family in self.efficiency:
            if family not in families.FAMILIES:
                raise fault_at(
                    ("efficiency", family),
                    f"unknown operator family{nearest(family, families.FAMILIES)}",
                    f"one of {', '.join(families.FAMILIES)}",
                )
            if self.kind == "matrix" and family not in families.GEMM_FAMILIES:
                raise fault_at(
                    ("efficiency", family),
                    "a family without multiplications on a matrix engine",
                    f"only {', '.join(families.GEMM_FAMILIES)}",
                )
        for fmt in self.ops_per_cycle:
            if fmt not in FORMATS:
                raise fault_at(
                    ("ops_per_cycle", fmt),
                    f"unknown number format{nearest(fmt, FORMATS)}",
                    f"one of {', '.join(FORMATS)}",
                )
            if fmt not in self.tile:
                raise fault_at(
                    ("tile", fmt), "missing", "a tile for every format with ops_per_cycle"
                )
        for fmt in self.tile:
            if fmt not in self.ops_per_cycle:
                raise fault_at(
                    ("ops_per_cycle", fmt), "missing", "a rate for every format with a tile"
                )
        if self.kind == "vector":
            if "fp32" not in self.ops_per_cycle:
                raise fault_at(
                    ("ops_per_cycle", "fp32"), "missing", "a vector engine's FP32 operations"
                )
            for family in families.FAMILIES:
                if family not in self.efficiency:
                    raise fault_at(
                        ("efficiency", family),
                        "missing",
                        "a vector engine's share of its peak for every family",
                    )
        return self


class CacheBandwidth(Record):
    """Sustained read bandwidth of the caches.

    Attributes:
        l2, l3: what one core reads, per cycle of that core.
        l3_domain: what all cores of one L3 domain read together; absent means that the cores of a
            domain do not limit each other.
    """

    l2: BytesPerCycle
    l3: BytesPerCycle
    l3_domain: Bandwidth | None = None


class Core(Record):
    """A microarchitecture.

    Attributes:
        isa: flags such as "avx512_vnni" or "i8mm", always listed, never inferred from a width.
    """

    name: str
    notes: str = ""
    isa: tuple[Name, ...]
    engines: Mapping[Name, Engine] = Field(min_length=1)
    cache_bandwidth: CacheBandwidth

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for name, engine in self.engines.items():
            for flag in engine.requires:
                if flag not in self.isa:
                    raise fault_at(
                        ("engines", name, "requires"),
                        f"{flag!r}, which the core's isa does not list",
                        f"flags out of {', '.join(self.isa)}",
                    )
        if not any(engine.kind == "vector" for engine in self.engines.values()):
            raise fault_at(
                ("engines",), "no vector engine", "one of kind = 'vector' for all families"
            )
        return self


class Cores(Record):
    """How many cores one socket has."""

    count: CoreCount
    threads_per_core: PartCount


class Clock(Record):
    """Core clocks.

    Attributes:
        base: guaranteed.
        sustained: all cores under vector load.
        max: one core.
        engine: sustained clock with all cores on one engine, where it differs; that of AVX-512 or
            AMX may lie below the base.
    """

    base: Frequency
    sustained: Frequency
    max: Frequency
    engine: Mapping[str, Frequency] = Field(default_factory=dict)

    def above_max(self) -> list[tuple[str, Figure]]:
        """Return the clocks above the maximum, each with its path below the clock."""
        stated = [("base", self.base), ("sustained", self.sustained)]
        stated += [(f"engine.{name}", clock) for name, clock in self.engine.items()]
        return [(path, clock) for path, clock in stated if clock.typical > self.max.typical]


class Cache(Record):
    """Data caches: ``l1d`` and ``l2`` per core, ``l3`` of the whole socket.

    Attributes:
        l3_domains: how many equal parts the L3 has, each serving its own cores only.
        kind: a remark, such as "victim cache" or "system-level cache".
    """

    l1d: CacheSize
    l2: CacheSize
    l3: CacheSize
    l3_domains: PartCount
    kind: str = ""


class Memory(Record):
    """DRAM of one socket.

    Attributes:
        channel_width: data bytes of one transfer on one channel.
        bandwidth: the listed peak; where absent it is channels x transfer_rate x channel_width.
        sustained: share of the peak that streaming reads reach.
        per_core: what one core alone can draw.
        per_domain: what the cores of one L3 domain can draw together (a CCD's link).
        capacity: largest supported.
    """

    channels: PartCount
    transfer_rate: TransferRate
    channel_width: Width
    bandwidth: Bandwidth | None = None
    sustained: Fraction
    per_core: Bandwidth
    per_domain: Bandwidth | None = None
    capacity: MemorySize | None = None


class Topology(Record):
    """Into which sockets and memory domains a machine is divided, as the firmware is set.

    Attributes:
        sockets: among which all other figures are divided equally; absent means one
            (:func:`perfmodel.machine.parts.joined` makes a machine of several).
        numa_domains: NUMA domains, each with an equal part of the cores, the L3 and the memory
            channels (sub-NUMA clustering, nodes per socket); absent means one on each socket.
        setting: what the firmware calls it, such as "SNC3" or "NPS4".
    """

    sockets: PartCount | None = None
    numa_domains: PartCount | None = None
    setting: str = ""


class ParallelRegion(Record):
    """Cost of starting and joining one parallel region: base + per_doubling * log2(p), p > 1."""

    base: Duration
    per_doubling: Duration


class PowerFigures(Record):
    """Power of the package.

    Attributes:
        tdp: the vendor's rating.
        basis: what that rating is, in words.
        idle: with no work.
        limit: highest it is allowed to draw.
    """

    tdp: Power
    basis: str
    idle: Power
    limit: Power | None = None


class PriceFigures(Record):
    """Prices of one CPU; ``launch`` is the list price at launch, where one was published."""

    launch: Price | None = None


class Rental(Record):
    """That a machine is rented, by the hour, as a part of a host or as all of it.

    Attributes:
        provider: whose machine it is.
        cpu: id of the CPU it is a part of.
        vcpus: logical CPUs as the provider counts them.
        price: on demand, by region.
    """

    provider: str = Field(min_length=1)
    cpu: str
    vcpus: CoreCount
    price: Mapping[Region, Rent] = Field(default_factory=dict)


class EfficiencyCores(Record):
    """Further cores of another kind on the same chip; no kernel shared with the main cores."""

    count: CoreCount
    threads_per_core: PartCount
    clock: Clock
    core: Core


class Calibration(Record):
    """How the figures of a calibrated machine came about.

    Attributes:
        date: of the fit, ISO 8601.
        measurements: where the measured points are from.
        rows: how many of them the fit used.
        error: expected mean absolute relative error of a model's latency, cross-validated by
            leaving out one model at a time where there are several.
        precisions, runtimes: of the measured points; others are extrapolated.
        parameters: what was fitted, by name, each as the factor on the figures of ``base``.
        residuals: predicted over measured, by row.
        software: versions of the libraries that measured and fitted.
    """

    date: str
    measurements: str
    rows: StrictInt = Field(ge=1)
    error: float = Field(gt=0, allow_inf_nan=False)
    precisions: tuple[str, ...]
    runtimes: tuple[str, ...]
    parameters: Mapping[str, float] = Field(default_factory=dict)
    residuals: Mapping[str, float] = Field(default_factory=dict)
    software: Mapping[str, str] = Field(default_factory=dict)


class Machine(Record):
    """One CPU socket, or a machine of several: a validated description in SI units.

    Attributes:
        rental: of a machine that is rented by the hour; None of a CPU that is bought.
        mapper: the name of the mapper that knows such CPUs (:func:`perfmodel.mapping.mapper_for`).
        software: figures of software as measured on this CPU, in tables by its id; they replace
            those of the software's own description. What they may be is for that to say.
    """

    id: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    name: str = Field(min_length=1)
    mapper: Name
    notes: str = ""
    cores: Cores
    core: Core
    clock: Clock
    cache: Cache
    memory: Memory
    topology: Topology = Field(default_factory=Topology)
    parallel_region: ParallelRegion
    power: PowerFigures
    price: PriceFigures = Field(default_factory=PriceFigures)
    rental: Rental | None = None
    efficiency_cores: EfficiencyCores | None = None
    software: FigureTables = Field(default_factory=dict)
    calibration: Calibration | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
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
        return self

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
        changed.check_clocks(self.id, values)
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
