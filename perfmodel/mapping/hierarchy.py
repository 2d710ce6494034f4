"""Cores, caches and memory of one machine: what is where, and how fast it comes from there.

Every figure is the machine's, by its dotted path, or one of ``values``, which may hold an array of
samples for any path; the formula is the same for one machine and for ten thousand variants of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Final

import numpy as np

from perfmodel.errors import MachineError
from perfmodel.figures.figure import Figure
from perfmodel.machine import Machine
from perfmodel.mapping import assumptions
from perfmodel.mapping.columns import Columns, mask_of
from perfmodel.mapping.roofline import LEVELS, FloatArray, Rate, Traffic
from perfmodel.vocabulary import families as f

#: By family: whether its kernels are products.
GEMM: Final = mask_of(*f.GEMM_FAMILIES)


def rate(value: float | FloatArray) -> Rate:
    """Return a float, or samples of shape (samples, 1, 1) where there are several."""
    array = np.asarray(value, dtype=np.float64)
    return array[:, None, None] if array.ndim else float(array)


class Hierarchy:
    """Levels of memory of one machine, and the cores that share them."""

    machine: Machine
    _figures: Mapping[str, Figure]
    _values: Mapping[str, Rate]

    def figure(self, path: str) -> Rate:
        """The value of one figure in SI units; an array of samples has shape (samples, 1, 1)."""
        return self._value(path, self._figures.get(path))

    def _value(self, path: str, figure: Figure | None) -> Rate:
        value = self._values.get(path)
        if value is not None:
            return value
        if figure is None:
            raise KeyError(path)
        return figure.typical

    def optional(self, path: str, default: float) -> Rate:
        """Like :meth:`figure`, for one a machine need not state."""
        return self.figure(path) if path in self._figures else default

    @cached_property
    def engine_names(self) -> tuple[str, ...]:
        """The core's engines, matrix engines first."""
        engines = self.machine.core.engines
        return tuple(sorted(engines, key=lambda name: (engines[name].kind != "matrix", name)))

    @cached_property
    def vector_engine(self) -> str:
        """The engine for everything that is not a product of matrices."""
        engines = self.machine.core.engines
        names = [name for name in self.engine_names if engines[name].kind == "vector"]
        if not names:
            raise MachineError(f"{self.machine.id}: core.engines: no engine of kind 'vector'")
        return names[-1]

    @property
    def cores(self) -> int:
        """Physical cores of the machine; a mapper uses one thread on each."""
        return int(np.max(self.figure("cores.count")))

    def domains(self, cores: FloatArray) -> FloatArray:
        """Return the L3 domains in use: threads are spread over as many as there are."""
        used: FloatArray = np.minimum(cores, self.figure("cache.l3_domains"))
        return used

    def l3_capacity(self) -> Rate:
        """Return the bytes of last-level cache that one core can hit: those of its domain."""
        return self.figure("cache.l3") / self.figure("cache.l3_domains")

    def resident_weights(self, columns: Columns) -> float:
        """Return the bytes of weights and state each L3 domain has to hold for a steady run.

        They are split over the domains as far as there are blocks of them: weights by output
        channel; the keys and values of an attention by position and, as its loops have it, by
        sample and head.
        """
        domains = float(np.max(self.figure("cache.l3_domains")))
        work = columns.work
        weights = work.moved[0] * columns.count
        total = float(weights.sum())
        if total == 0.0:
            return columns.resident_bytes
        lanes = self.machine.core.engines[self.vector_engine].tile["fp32"].columns
        blocks = np.ceil(work.loops[:, 2] / lanes)
        blocks *= np.where(columns.family == f.CODE[f.ATTENTION], work.loops[:, 0], 1.0)
        held = float(np.sum(weights / np.minimum(domains, blocks)))
        # resident_bytes counts a shared weight once; the columns count it at every use.
        return columns.resident_bytes * held / total

    def dram_bandwidth(self, cores: FloatArray, drawn: Rate = 1.0) -> FloatArray:
        """Return bytes per second that ``cores`` active cores can draw from memory together.

        Args:
            drawn: share of the sustained bandwidth that the software draws; what few cores or links
                limit anyway is not less by it.
        """
        if "memory.bandwidth" in self._values or "memory.bandwidth" in self._figures:
            peak = self.figure("memory.bandwidth")
        else:
            peak = (
                self.figure("memory.channels")
                * self.figure("memory.transfer_rate")
                * self.figure("memory.channel_width")
            )
        sustained = peak * self.figure("memory.sustained") * drawn
        links = self.domains(cores) * self.optional("memory.per_domain", np.inf)
        drawn = np.minimum(cores * self.figure("memory.per_core"), sustained)
        bandwidth: FloatArray = np.minimum(drawn, links)
        return bandwidth

    def traffic(
        self, columns: Columns, state: str, cores: FloatArray, drawn: Rate = 1.0
    ) -> Traffic:
        """Level and bandwidth of each role's tensors; arrays broadcast to (..., P, K).

        Weights are in the last-level cache if a steady run keeps all of them there, next to the
        largest activations; in a cold run they come from memory. What a kernel's cores share (the
        input of a product on more than one core) can be no nearer than the last-level cache; what
        is private to a core is in its L2 if its share fits.

        Args:
            drawn: share of the memory bandwidth that the software draws.
        """
        work = columns.work
        weight, read, written = work.moved
        share = self.figure(assumptions.USABLE_CACHE)
        l2 = self.figure("cache.l2") * share
        l3 = self.l3_capacity() * share
        domains = self.domains(cores)
        active = read + written
        own = active / domains
        private = active / cores
        shared = GEMM[columns.family] & (cores > 1)
        everywhere = np.minimum(read, read / domains + weight) + written / domains

        all_domains = self.domains(np.asarray(float(self.cores)))
        footprint = self.resident_weights(columns) + np.max(active) / all_domains
        warm = footprint if state == "steady" else np.inf
        return Traffic(
            by_level=self._bandwidths(cores, drawn),
            held=(
                (np.inf, np.where(shared, np.inf, private), private),
                (warm, np.where(shared, everywhere, own), own),
            ),
            capacity=(l2, l3),
        )

    def level_bandwidths(self) -> dict[str, float]:
        """Return bytes per second of L2, L3 and DRAM with all cores active, at typical figures."""
        found = self._bandwidths(np.array([float(self.cores)]), 1.0)
        return {level: float(np.max(each)) for level, each in zip(LEVELS, found, strict=True)}

    def _bandwidths(
        self, cores: FloatArray, drawn: Rate
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Bytes per second of L2, L3 and DRAM with ``cores`` active; nearer is never slower."""
        clock = self.figure("clock.sustained")
        l2 = cores * (self.figure("core.cache_bandwidth.l2") * clock)
        l3 = cores * (self.figure("core.cache_bandwidth.l3") * clock)
        limit = self.optional("core.cache_bandwidth.l3_domain", np.inf)
        l3 = np.minimum(np.minimum(l3, self.domains(cores) * limit), l2)
        return l2, l3, np.minimum(self.dram_bandwidth(cores, drawn), l3)
