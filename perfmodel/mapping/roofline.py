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

    A tensor is in the nearest level that holds what must fit there for it; memory holds anything.

    Attributes:
        by_level: bytes per second of L2, L3 and DRAM for all active cores together, (..., P, 1).
        held: bytes that must fit in L2, and those in L3, by role (weight, input, output); infinite
            where that role's tensors are never there.
        capacity: bytes of L2 and of L3 that tensors can count on, scalar or (..., 1, 1).
    """

    by_level: tuple[FloatArray, FloatArray, FloatArray]
    held: tuple[tuple[Rate, Rate, Rate], tuple[Rate, Rate, Rate]]
    capacity: tuple[Rate, Rate]

    @cached_property
    def levels(self) -> tuple[npt.NDArray[np.int8], ...]:
        """Codes of the levels by role."""
        l2, l3 = self.capacity
        found = []
        for near, far in zip(*self.held, strict=True):
            level = np.where(far <= l3, np.int8(L3), np.int8(DRAM))
            found.append(np.atleast_2d(np.where(near <= l2, np.int8(L2), level)))
        return tuple(found)

    @cached_property
    def bandwidth(self) -> tuple[FloatArray, ...]:
        """Bytes per second by role."""
        l2, l3, memory = self.by_level
        return tuple(
            np.where(level == L2, l2, np.where(level == L3, l3, memory)) for level in self.levels
        )


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


def gemm_work(work: Work, engine: Engine, cores: FloatArray) -> FloatArray:
    """Operations of the busiest core's tiles, (P, K); infinite where not usable."""
    batch, m, n, k = work.loops.T
    rows, columns, depth = engine.tile.T
    tiles_m, tiles_n = np.ceil(m / rows), np.ceil(n / columns)
    padded = batch * tiles_m * rows * tiles_n * columns * np.ceil(k / depth) * depth
    # An attention kernel holds two products over the same loops; flops / (2mnk) tells how many.
    executed = work.flops * padded / (batch * m * n * k)
    tiles = batch * tiles_m * np.where(engine.rows_only, 1.0, tiles_n)
    waves = np.ceil(tiles / cores)
    found: FloatArray = np.where(engine.usable, waves * (executed / tiles), np.inf)
    return found


def gemm_startup(work: Work, engine: Engine) -> FloatArray:
    """Operations' worth of time before products run at their rate, (..., 1, K)."""
    found: FloatArray = np.atleast_2d(np.where(work.flops > 0, engine.startup, 0.0))
    return found


def vector_work(work: Work, vector: Vector, cores: FloatArray) -> FloatArray:
    """Elements of the busiest core's other arithmetic, in whole vectors of ``lanes``, (P, K)."""
    vectors = np.ceil(work.elements / vector.lanes)
    # A sum over fewer elements than a vector still takes the whole vector.
    found: FloatArray = np.ceil(vectors / cores) * np.minimum(vector.lanes, work.elements)
    return found


def vector_pace(work: Work, vector: Vector) -> FloatArray:
    """Seconds that an element of all other arithmetic takes, (..., 1, K)."""
    found: FloatArray = work.vector_ops / work.elements / vector.rate + vector.conversion
    return found


@dataclass(frozen=True, eq=False)
class Grid:
    """Every candidate's seconds, before one is chosen, and what they are made of.

    The parts are as small as what they depend on: each broadcasts to (..., P, K).

    Attributes:
        products: by engine, operations of the busiest core, those that its start-up is worth, and
            its rate.
        rest: elements of the busiest core's other arithmetic, and seconds for one.
        moved: bytes by role, (3, K).
        traffic: where they are and how fast they come.
        stretch: factor on all arithmetic.
        exposed: share of the smaller of compute and memory that does not overlap.
        beside: seconds beside the kernels, to be added up.
    """

    products: tuple[tuple[FloatArray, FloatArray, Rate], ...]
    rest: tuple[FloatArray, FloatArray]
    moved: FloatArray
    traffic: Traffic
    stretch: Rate
    exposed: float
    beside: tuple[FloatArray, ...] = ()

    @cached_property
    def by_engine(self) -> list[FloatArray]:
        """Seconds of arithmetic at each engine."""
        elements, pace = self.rest
        rest = elements * pace
        return [
            self.stretch * ((work + startup) / rate + rest) for work, startup, rate in self.products
        ]

    @cached_property
    def by_role(self) -> list[FloatArray]:
        """Seconds to move each role's bytes from the level it is in."""
        return [
            moved / rate for moved, rate in zip(self.moved, self.traffic.bandwidth, strict=True)
        ]

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
    def overhead(self) -> FloatArray:
        """Beside the kernels."""
        return functools.reduce(np.add, self.beside, np.zeros((1, 1)))

    @cached_property
    def latency(self) -> FloatArray:
        """The slower of compute and memory, and what does not overlap."""
        return together(self.compute, self.memory, self.exposed) + self.overhead

    def with_overhead(self, *beside: FloatArray) -> Grid:
        """Return the same with seconds beside the kernels, each broadcasting to (..., P, K)."""
        return replace(self, beside=beside)


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
    return Grid(
        products=tuple(
            (gemm_work(work, engine, cores), gemm_startup(work, engine), engine.rate)
            for engine in engines
        ),
        rest=(vector_work(work, vector, cores), vector_pace(work, vector)),
        moved=work.moved,
        traffic=traffic,
        stretch=stretch,
        exposed=exposed,
    )


def evaluate(grid: Grid, cores: FloatArray) -> Times:
    """The time of every kernel at its fastest engine and active-core count, and what it is made of.

    ``cores`` are those that ``grid`` was made with.
    """
    shape = grid.latency.shape
    best = np.expand_dims(np.argmin(grid.latency, axis=-2), -2)

    def take(array: npt.NDArray[T]) -> npt.NDArray[T]:
        if shape[-2] == 1:  # All cores: there is nothing to choose.
            return np.broadcast_to(array, shape)[..., 0, :]
        return np.take_along_axis(np.broadcast_to(array, shape), best, axis=-2)[..., 0, :]

    compute, memory, overhead = take(grid.compute), take(grid.memory), take(grid.overhead)
    engine = np.argmin(np.stack([take(seconds) for seconds in grid.by_engine]), axis=0)
    level = np.stack([take(role) for role in grid.traffic.levels])
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
