"""The CPUs of the published comparison, with the figures it used (``cpus.toml``)."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from perfmodel.errors import UnknownName


@dataclass(frozen=True, slots=True)
class PublishedCpu:
    """One CPU as the comparison described it (not as the hardware is).

    Attributes:
        id: name on the command line.
        label: name in the comparison.
        cores: N.
        int8_ops_per_core_cycle: INT8 operations of one core in one cycle (a MAC is 2).
        clock_ghz: clock in GHz.
        peak_tops: listed peak in 10^12 INT8 operations per second; the model uses
            :attr:`peak_ops_per_s`, of which this is the rounded form.
        bandwidth_gb_s: W, memory bandwidth in 10^9 bytes per second.
        vector_lanes: L.
        matrix_divisor: d.
        tdp_w: thermal design power in W.
    """

    id: str
    label: str
    cores: int
    int8_ops_per_core_cycle: int
    clock_ghz: float
    peak_tops: float
    bandwidth_gb_s: float
    vector_lanes: int
    matrix_divisor: float
    tdp_w: float

    @property
    def peak_ops_per_s(self) -> float:
        """P: INT8 operations per second of all cores."""
        return self.cores * self.int8_ops_per_core_cycle * self.clock_ghz * 1e9

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """W: bytes per second."""
        return self.bandwidth_gb_s * 1e9


@cache
def cpus() -> Mapping[str, PublishedCpu]:
    """All eight CPUs by id, in the order of the comparison."""
    document = tomllib.loads(files(__package__).joinpath("cpus.toml").read_text(encoding="utf-8"))
    return MappingProxyType({id: PublishedCpu(id=id, **row) for id, row in document.items()})


def get_cpu(cpu: str | PublishedCpu) -> PublishedCpu:
    """The CPU called ``cpu``.

    Raises:
        UnknownName: the comparison has no such CPU.
    """
    if isinstance(cpu, PublishedCpu):
        return cpu
    try:
        return cpus()[cpu]
    except KeyError:
        raise UnknownName("CPU of the published comparison", cpu, cpus()) from None
