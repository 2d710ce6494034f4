"""The one time formula, vectorised over kernels, core counts and any leading axis.

For one kernel on p active cores::

    compute = stretch(p) * (waves * tile_work / rate + startup / rate
                            + vector_waves * vector_work / vector_rate)
    memory  = sum over roles of bytes / bandwidth(level, p)
    latency = max(compute, memory) + exposed * min(compute, memory) + overhead

with ``rate = ops_per_cycle * clock * efficiency`` of one core of the engine that executes the
kernel. A kernel's output is cut into tiles of the engine's size, all of equal padded work, and
``waves = ceil(tiles / p)`` of them run one after the other on the busiest core: that one product
holds both the padding and the imbalance. The roofline is that of Williams, Waterman and Patterson
(CACM 52(4), 2009), with ceilings for engines and levels; tiles and waves follow the usual account
of wave quantisation. ``stretch`` is by how much the slowest thread takes longer than the mean,
``exposed`` the share of the smaller part that does not overlap with the larger, and ``overhead``
what is beside the kernel: launches, meetings of threads, copies.

Everything here is pure arithmetic on arrays. Axes, right to left: kernels (K), core counts (P), and
any leading axis of machines or samples (...): a rate that varies by sample has shape (..., 1, 1).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
T = TypeVar("T", bound=np.generic)
#: Anything that broadcasts against (..., P, K).
Rate = float | FloatArray

#: Levels of the memory hierarchy, nearest first; codes in :attr:`Times.level`.
LEVELS = ("L2", "L3", "DRAM")
L2, L3, DRAM = range(3)
#: What a kernel's time is bound by; codes in :attr:`Times.bound`.
BOUNDS = ("compute", "L2", "L3", "DRAM", "overhead")


@dataclass(frozen=True, eq=False)
class Work:
    """What each kernel asks for, one column per kernel: shape (K,) unless stated.

    Attributes:
        flops: multiply-accumulate operations (a MAC is 2); zero where the kernel has none.
        loops: (batch, m, n, k) of the GEMM, shape (K, 4); ones where there is none.
        vector_ops: other arithmetic operations.
        elements: the elements those operations run over, at least 1.
        moved: bytes read or written by role (weight, input, output), shape (3, K); what is read
            from or written to state, which stays from run to run as weights do, is in the first.
    """

    flops: FloatArray
    loops: FloatArray
    vector_ops: FloatArray
    elements: FloatArray
    moved: FloatArray


@dataclass(frozen=True, eq=False)
class Engine:
    """One way to execute the kernels: rates per core in operations per second.

    Attributes:
        rate: of the GEMM part, shape (..., 1, K); where ``usable`` is False it is ignored.
        usable: kernels this engine can execute, shape (K,).
        tile: (rows, columns, depth) that m, n and k are padded to, shape (K, 3).
        rows_only: kernels whose parallel tiles are blocks of rows alone (attention keeps the whole
            row of scores on one core), shape (K,).
        startup: operations' worth of time a kernel spends before it runs at its rate, (..., 1, K).
    """

    rate: Rate
    usable: npt.NDArray[np.bool_]
    tile: FloatArray
    rows_only: npt.NDArray[np.bool_]
    startup: Rate


@dataclass(frozen=True, eq=False)
class Vector:
    """The engine for everything that is not a multiply-accumulate loop.

    ``rate`` is operations per second of one core, (..., 1, K); ``lanes`` its width in elements;
    ``conversion`` the seconds that an element takes beside its operations, (..., 1, K).
    """

    rate: Rate
    lanes: float
    conversion: Rate = 0.0


@dataclass(frozen=True, eq=False)
class Traffic:
    """Where each role's tensors are and how fast they come: arrays that broadcast to (..., P, K).

    ``bandwidth`` is in bytes per second for all active cores together. ``levels`` gives the codes
    of the levels, on demand: samples by the thousand need only the bandwidths.
    """

    bandwidth: tuple[FloatArray, ...]
    levels: Callable[[], tuple[npt.NDArray[np.int8], ...]]


@dataclass(frozen=True, eq=False)
class Times:
    """Seconds per kernel at the fastest engine and core count, shape (..., K).

    ``engine`` indexes the engines that were passed in, ``cores`` is the active-core count,
    ``level`` (3, ..., K) the level by role, ``memory_level`` the level that most of the memory time
    goes to, ``bound`` a code of :data:`BOUNDS`.
    """

    compute: FloatArray
    memory: FloatArray
    overhead: FloatArray
    exposed: float
    engine: npt.NDArray[np.intp]
    cores: FloatArray
    level: npt.NDArray[np.int8]
    memory_level: npt.NDArray[np.int8]
    bound: npt.NDArray[np.int8]

    @property
    def latency(self) -> FloatArray:
        """Seconds per kernel: the slower of compute and memory, and what does not overlap."""
        return together(self.compute, self.memory, self.exposed) + self.overhead


def gemm_seconds(work: Work, engine: Engine, cores: FloatArray) -> FloatArray:
    """Seconds of the multiply-accumulate part, shape (..., P, K); infinite where not usable."""
    batch, m, n, k = work.loops.T
    rows, columns, depth = engine.tile.T
    tiles_m, tiles_n = np.ceil(m / rows), np.ceil(n / columns)
    padded = batch * tiles_m * rows * tiles_n * columns * np.ceil(k / depth) * depth
    # An attention kernel holds two products over the same loops; flops / (2mnk) tells how many.
    executed = work.flops * padded / (batch * m * n * k)
    tiles = batch * tiles_m * np.where(engine.rows_only, 1.0, tiles_n)
    waves = np.ceil(tiles / cores)
    busiest = waves * (executed / tiles) + np.where(work.flops > 0, engine.startup, 0.0)
    seconds: FloatArray = np.where(engine.usable, busiest / engine.rate, np.inf)
    return seconds


def vector_seconds(work: Work, vector: Vector, cores: FloatArray) -> FloatArray:
    """Seconds of all other arithmetic, in whole vectors of ``lanes`` elements, (..., P, K)."""
    vectors = np.ceil(work.elements / vector.lanes)
    # A sum over fewer elements than a vector still takes the whole vector.
    width = np.minimum(vector.lanes, work.elements)
    per_element = work.vector_ops / work.elements / vector.rate + vector.conversion
    seconds: FloatArray = np.ceil(vectors / cores) * width * per_element
    return seconds


def memory_seconds(work: Work, traffic: Traffic) -> list[FloatArray]:
    """Seconds to move each role's bytes from the level it is in, three arrays (..., P, K)."""
    return [moved / rate for moved, rate in zip(work.moved, traffic.bandwidth, strict=True)]


@dataclass(frozen=True, eq=False)
class Grid:
    """Every candidate's seconds, before one is chosen; arrays broadcast to (..., P, K)."""

    by_engine: list[FloatArray]
    by_role: list[FloatArray]
    overhead: FloatArray
    exposed: float = 0.0

    @cached_property
    def compute(self) -> FloatArray:
        """At the fastest engine."""
        return functools.reduce(np.minimum, self.by_engine)

    @cached_property
    def memory(self) -> FloatArray:
        """All roles together."""
        weight, read, written = self.by_role
        return weight + read + written

    @cached_property
    def latency(self) -> FloatArray:
        """The slower of compute and memory, and what does not overlap."""
        return together(self.compute, self.memory, self.exposed) + self.overhead

    def with_overhead(self, overhead: FloatArray) -> Grid:
        """Return the same with seconds beside the kernels, broadcasting to (..., P, K)."""
        return replace(self, overhead=overhead)


def together(compute: FloatArray, memory: FloatArray, exposed: float) -> FloatArray:
    """Return the time of two parts that run at once, but for a share of the smaller one."""
    longer: FloatArray = np.maximum(compute, memory)
    return longer + exposed * np.minimum(compute, memory) if exposed else longer


def grid(
    work: Work,
    engines: tuple[Engine, ...],
    vector: Vector,
    traffic: Traffic,
    cores: FloatArray,
    *,
    stretch: Rate = 1.0,
    exposed: float = 0.0,
) -> Grid:
    """The formula, at every candidate core count.

    Args:
        work: the kernels.
        engines: those that may execute them; each kernel takes the fastest that is usable.
        vector: executes what no engine's GEMM loops cover.
        traffic: levels and bandwidths at each core count.
        cores: candidate core counts, shape (P, 1) or (P, K).
        stretch: factor on all arithmetic, broadcasting to (..., P, K).
        exposed: share of the smaller of compute and memory that does not overlap, 0 to 1.

    Returns:
        The grid without overhead (:meth:`Grid.with_overhead`).
    """
    rest = vector_seconds(work, vector, cores)
    return Grid(
        by_engine=[stretch * (gemm_seconds(work, engine, cores) + rest) for engine in engines],
        by_role=memory_seconds(work, traffic),
        overhead=np.zeros((1, 1)),
        exposed=exposed,
    )


def best_latency(grid: Grid) -> FloatArray:
    """Seconds per kernel at its best core count, shape (..., K): :func:`evaluate`, latency only."""
    latency: FloatArray = grid.latency.min(axis=-2)
    return latency


def evaluate(grid: Grid, traffic: Traffic, cores: FloatArray) -> Times:
    """The time of every kernel at its fastest engine and active-core count, and what it is made of.

    ``traffic`` and ``cores`` are those that ``grid`` was made with.
    """
    shape = grid.latency.shape
    best = np.expand_dims(np.argmin(grid.latency, axis=-2), -2)

    def take(array: npt.NDArray[T]) -> npt.NDArray[T]:
        return np.take_along_axis(np.broadcast_to(array, shape), best, axis=-2)[..., 0, :]

    compute, memory, overhead = take(grid.compute), take(grid.memory), take(grid.overhead)
    engine = np.argmin(np.stack([take(seconds) for seconds in grid.by_engine]), axis=0)
    level = np.stack([take(role) for role in traffic.levels()])
    slowest = np.argmax(np.stack([take(role) for role in grid.by_role]), axis=0)
    memory_level = np.take_along_axis(level, slowest[None], axis=0)[0]
    busy = np.where(compute >= memory, 0, 1 + memory_level)
    waits = overhead > np.maximum(compute, memory)
    return Times(
        compute=compute,
        memory=memory,
        overhead=overhead,
        exposed=grid.exposed,
        engine=engine,
        cores=take(cores),
        level=level,
        memory_level=memory_level,
        bound=np.where(waits, len(BOUNDS) - 1, busy).astype(np.int8),
    )
