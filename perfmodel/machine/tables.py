"""The tables of a machine's description beside its core: clocks, caches, memory, power, prices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Annotated

from perfmodel.figures.figure import (
    Bandwidth,
    CacheSize,
    CoreCount,
    Duration,
    Figure,
    Fraction,
    Frequency,
    MemorySize,
    PartCount,
    Power,
    Price,
    Rent,
    TransferRate,
    Width,
)
from perfmodel.figures.held import Held, Natural, Positive, Text
from perfmodel.figures.record import Record
from perfmodel.machine.core import Core

#: A region as its provider calls it; no dot, so that it can be a step of a dotted path.
Region = Annotated[str, Held(pattern=r"^[a-z][a-z0-9-]*$")]


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
    engine: Mapping[str, Frequency] = field(default_factory=dict)

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

    provider: Text
    cpu: str
    vcpus: CoreCount
    price: Mapping[Region, Rent] = field(default_factory=dict)


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
    rows: Natural
    error: Positive
    precisions: tuple[str, ...]
    runtimes: tuple[str, ...]
    parameters: Mapping[str, float] = field(default_factory=dict)
    residuals: Mapping[str, float] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)
