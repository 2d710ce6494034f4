"""Power of a CPU package while it runs a workload, and energy per inference.

::

    P = idle + active (rating - idle) busy + sum(ops x energy/op) / t + sum(bytes x energy/byte) / t
    P = min(P, limit)                    energy per inference = P / throughput

``busy`` is the share of the socket's cores that instances hold: threads of a pool spin while they
wait for the next parallel region, so a core that a kernel leaves out draws its part. ``limit`` is
the machine's ``power.limit``, else its rating. Energies are in energy.toml, with ranges and
sources. It is the package's power, as RAPL's package domain counts it: memory modules, fans and
supplies are not in it. A package at its limit would lower its clocks; the time does not know of it.
"""

from __future__ import annotations

import functools
import tomllib
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Final

import numpy as np

from perfmodel.errors import PerfmodelError
from perfmodel.figures.checking import validated
from perfmodel.figures.figure import Expect, Figure, Fraction, Origin
from perfmodel.figures.record import Record, walk
from perfmodel.machine import Machine
from perfmodel.mapping import mapper_for
from perfmodel.mapping.result import Result
from perfmodel.mapping.roofline import FloatArray, Rate
from perfmodel.vocabulary.partition import Partition

TDP: Final = "tdp"
MODELLED: Final = "modelled"
MEASURED: Final = "measured"
#: What an FPS/W can be over: the vendor's rating, this model, or a counter of the machine.
BASES: Final = (TDP, MODELLED, MEASURED)
#: What the paths of energy.toml begin with, to tell them from a machine's.
PREFIX: Final = "energy."

#: Gives a figure, or its samples, by dotted path.
_Value = Callable[[str], Rate]

EnergyPerOp = Annotated[Figure, Expect("J/op", "0.85 pJ/op")]
EnergyPerByte = Annotated[Figure, Expect("J/B", "12 pJ/B")]
Factor = Annotated[Figure, Expect("", "3")]


class _Package(Record):
    active: Fraction


class _Energy(Record):
    sources: Mapping[str, str]
    package: _Package
    datapath: Mapping[str, EnergyPerOp]
    overhead: Mapping[str, Factor]
    byte: Mapping[str, EnergyPerByte]


@functools.cache
def figures() -> dict[str, Figure]:
    """Every figure of energy.toml by dotted path, all beginning with :data:`PREFIX`."""
    text = resources.files("perfmodel.cost").joinpath("energy.toml").read_text("utf-8")
    data = tomllib.loads(text)
    record = validated(_Energy, data, Origin("energy.toml", data["sources"]))
    return {f"{PREFIX}{path}": figure for path, figure in walk(record)}


@dataclass(frozen=True)
class PackagePower:
    """Mean power of one package, in watts: a float, or an array of shape (samples,) each.

    Attributes:
        idle_w: what it draws with no work.
        active_w: what its running cores add, whatever they run.
        operations_w: what arithmetic adds, in proportion to the operations done.
        traffic_w: what moving bytes adds.
        limit_w: the most it may draw.
        throughput_fps: inferences (samples) per second it is drawn for.
    """

    idle_w: Rate
    active_w: Rate
    operations_w: Rate
    traffic_w: Rate
    limit_w: Rate
    throughput_fps: Rate

    @property
    def package_w(self) -> Rate:
        """All of it, at most the limit."""
        total = self.idle_w + self.active_w + self.operations_w + self.traffic_w
        return _plain(np.minimum(total, self.limit_w))

    @property
    def energy_j(self) -> Rate:
        """Joules per inference: power over throughput."""
        return _plain(self.package_w / self.throughput_fps)


def package_power(
    result: Result,
    machine: Machine | None = None,
    partition: Partition | None = None,
    *,
    values: Mapping[str, FloatArray] | None = None,
    latency_s: Rate | None = None,
) -> PackagePower:
    """Power of a socket while it runs a model back to back.

    Args:
        result: of the roofline method, on one instance or on several.
        machine: the whole socket; by default that of the result.
        partition: how it is divided; by default as the result's is.
        values: samples of shape (samples,) to use in place of typical figures, by dotted path: of
            the machine (``power.idle``, ``power.tdp``, ``power.limit``) and of :func:`figures`.
        latency_s: seconds of one instance in place of the result's; of samples, shape (samples,).

    Raises:
        PerfmodelError: a result of the published method.
    """
    sampled = values or {}
    machine = machine or result.machine
    if machine is None:
        raise PerfmodelError(f"{result.cpu}: the published method has no power model")
    partition = partition or result.partition
    known = {**machine.figures(), **figures()}

    def value(path: str) -> Rate:
        return sampled[path] if path in sampled else known[path].typical

    seconds: Rate = result.latency_ms / 1e3 if latency_s is None else latency_s
    idle, rating = value("power.idle"), value("power.tdp")
    # A rating that ranges below the idle power adds nothing to it.
    headroom = np.maximum(rating - idle, 0.0)
    instances = partition.instances
    busy = instances * partition.cores / machine.cores.count.typical
    operations = sum(
        (count * _per_op(machine, value, *kind) for kind, count in _operations(result, machine)),
        start=0.0,
    )
    traffic = sum(
        (moved * value(f"{PREFIX}byte.{level}") for level, moved in result.moved_bytes().items()),
        start=0.0,
    )
    limit = value("power.limit" if "power.limit" in known else "power.tdp")
    return PackagePower(
        idle_w=idle,
        active_w=_plain(value(f"{PREFIX}package.active") * headroom * busy),
        operations_w=operations * instances / seconds,
        traffic_w=traffic * instances / seconds,
        limit_w=_plain(np.maximum(limit, idle)),
        throughput_fps=result.batch * instances / seconds,
    )


def _operations(result: Result, machine: Machine) -> list[tuple[tuple[str, str], float]]:
    """Operations of one run by (engine, number format), vector arithmetic included."""
    done: dict[tuple[str, str], float] = defaultdict(float, result.flops_by_format())
    done[mapper_for(machine).vector_engine, "fp32"] += result.vector_operations()
    return list(done.items())


def _per_op(machine: Machine, value: _Value, engine: str, fmt: str) -> Rate:
    kind = machine.core.engines[engine].kind
    return value(f"{PREFIX}datapath.{fmt}") * value(f"{PREFIX}overhead.{kind}")


def _plain(value: Rate) -> Rate:
    """NumPy's scalars as plain floats."""
    return float(value) if np.ndim(value) == 0 else value
