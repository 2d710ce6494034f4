"""The least time of each kernel over many variants and core counts, without the whole grid.

What varies with the variant, with the core count and with the kernel are small arrays; what they
make together is large. So one core count after another is worked out for all variants of each
kernel side by side (several, where there are few variants), in buffers that stay in a core's L2,
and what does not depend on the count is added once. It is the minimum of ``Grid.latency`` over core
counts, with products in place of quotients, so that the last bits may differ.

Axes of a *part*, left to right: core counts (P), kernels (K), variants (V), each whole or 1.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.mapping.roofline import LEVELS, FloatArray, Grid, Rate, Traffic

#: Gives what a part is at some core counts, (some or 1, K or 1, V or 1).
Some = Callable[[FloatArray], FloatArray]
#: Writes the seconds at some core counts into the first array, (some, K, V); the other is spare.
Into = Callable[[Some, FloatArray, FloatArray], None]
#: Elements of a buffer.
BUFFER: Final = 32_768


def best_latency(grid: Grid, choice: npt.NDArray[np.intp] | None = None) -> FloatArray:
    """Return seconds per kernel at its best core count, (..., K), with at most one leading axis.

    Args:
        choice: which of the grid's core counts to try for each kernel, (candidates, K); without it,
            all of them. Kernels with the most different ones go first: where all further kernels
            have again what they have in the first row, these are not worked out.
    """
    *lead, _, kernels = _shape(grid)
    if not lead and choice is None:
        least: FloatArray = grid.latency.min(axis=-2)
        return least
    best = np.full((kernels, math.prod(lead)), np.inf)
    for seconds in _scan(grid, choice):
        own = best[: seconds.shape[1]]
        for each in seconds:
            np.minimum(own, each, out=own)
    best += _once(grid)
    return best.T if lead else best[:, 0]


def every_latency(grid: Grid) -> FloatArray:
    """Return seconds at each of the grid's core counts, (P, K, V)."""
    found: FloatArray = np.concatenate([seconds.copy() for seconds in _scan(grid, None)])
    found += _once(grid)
    return found


def _once(grid: Grid) -> FloatArray:
    """Seconds beside the kernels that do not depend on the core count, (K or 1, V or 1)."""
    parts = [part[0] for part in map(_part, grid.beside) if len(part) == 1]
    return functools.reduce(np.add, parts, np.zeros((1, 1)))


def _scan(grid: Grid, choice: npt.NDArray[np.intp] | None) -> Iterator[FloatArray]:
    """Yield seconds but for those of :func:`_once`, some core counts at a time, (some, K, V).

    The arrays are overwritten by the next, and have the first kernels alone where ``choice`` has
    nothing new for the others.
    """
    *lead, counts, kernels = _shape(grid)
    variants = math.prod(lead)
    elements, stretch = _part(grid.rest[0]), _part(grid.stretch)
    pace = _part(grid.rest[1])
    products = [_product(*each) for each in grid.products]
    alike = stretch.shape[-1] == 1 and not any(each.sampled for each in products)
    if alike:
        # A stretch that all variants share goes into parts that they share too.
        elements = elements * stretch
        products = [replace(each, work=each.work * stretch) for each in products]
    products = _fastest(products)
    move = _move(grid.moved, grid.traffic)
    beside = [part for part in map(_part, grid.beside) if len(part) > 1]
    tried = counts if choice is None else len(choice)
    step = min(tried, max(1, BUFFER // (kernels * variants)))
    buffers = np.empty((3, step, kernels, variants))
    for start in range(0, tried, step):
        at = slice(start, min(start + step, tried))
        some, width = (_whole(at), kernels) if choice is None else _chosen(choice, at)
        if not width:
            continue
        seconds, memory, other = buffers[:, : at.stop - start, :width]
        for number, each in enumerate(products):
            span = slice(each.span.start, min(each.span.stop, width))
            out = (other if number else seconds)[:, span]
            np.multiply(some(each.work)[:, span], each.pace[:, span], out=out)
            if each.sampled:
                out += each.startup[:, span]
            if number:
                np.minimum(seconds[:, span], out, out=seconds[:, span])
        np.multiply(some(elements), some(pace), out=other)
        seconds += other
        if not alike:
            seconds *= some(stretch)
        move(some, memory, other)
        if grid.exposed:
            np.minimum(seconds, memory, out=other)
            other *= grid.exposed
        np.maximum(seconds, memory, out=seconds)
        if grid.exposed:
            seconds += other
        for part in beside:
            seconds += some(part)
        yield seconds


def _shape(grid: Grid) -> tuple[int, ...]:
    """Of everything that the grid is made of: ([V,] P, K)."""
    groups = (*grid.products, grid.rest, (grid.stretch, grid.moved[0]))
    traffic = grid.traffic
    arrays = [array for each in (*groups, traffic.capacity, *traffic.held) for array in each]
    return np.broadcast_shapes(
        (1, 1), *{np.shape(array) for array in (*arrays, *traffic.by_level, *grid.beside)}
    )


def _part(array: Rate) -> FloatArray:
    """An array of the grid, with its variants beside each other."""
    whole = np.asarray(array, dtype=np.float64)
    whole = whole.reshape((1,) * (3 - whole.ndim) + whole.shape)
    return np.ascontiguousarray(whole.transpose(1, 2, 0))


def _whole(at: slice) -> Some:
    """Every kernel at the same core counts."""
    return lambda part: part[at] if len(part) > 1 else part


def _chosen(choice: npt.NDArray[np.intp], at: slice) -> tuple[Some, int]:
    """Each kernel at core counts of its own, and how many kernels have any that are new."""
    index = choice[at]
    width = choice.shape[1]
    if at.start:
        width = int(np.max(np.nonzero(index != choice[0])[1], initial=-1)) + 1
    index, kernels = index[:, :width], np.arange(width)

    def some(part: FloatArray) -> FloatArray:
        if part.shape[1] == 1:
            return part if len(part) == 1 else part[index, 0]
        return part[:, :width] if len(part) == 1 else part[index, kernels]

    return some, width


@dataclass(frozen=True, eq=False)
class _Product:
    """Parts of one engine, and which kernels may run on it.

    Attributes:
        work: operations, (P, K, 1), with those of the start-up where all variants share it.
        pace: seconds for one, (1, K, V or 1).
        startup: seconds, (1, K, V), if ``sampled``.
    """

    work: FloatArray
    pace: FloatArray
    startup: FloatArray
    sampled: bool
    span: slice

    def ends(self) -> tuple[FloatArray, FloatArray]:
        """The least and the most seconds of any variant, (P, K)."""
        work, pace, startup = self.work[..., 0], self.pace, self.startup
        least = work * pace.min(axis=-1) + startup.min(axis=-1)
        return least, work * pace.max(axis=-1) + startup.max(axis=-1)


def _product(work: FloatArray, startup: FloatArray, rate: Rate) -> _Product:
    kernels = work.shape[-1]
    sampled = startup.ndim > 2
    pace = _part(np.broadcast_to(1.0 / np.asarray(rate), (*np.shape(rate)[:-1], kernels)))
    seconds = _part(startup) * pace if sampled else np.zeros((1, kernels, 1))
    whole = work if sampled else work + startup
    return _Product(_part(whole), pace, seconds, sampled, slice(0, kernels))


def _fastest(products: Sequence[_Product]) -> list[_Product]:
    """Leave out engines that are not faster for any variant at any core count, kernel by kernel.

    The first that is returned has one engine for every kernel; others may be faster in their spans.
    """
    first, *others = products
    alternatives = []
    for each in others:
        (least, most), (first_least, first_most) = each.ends(), first.ends()
        slower = np.all(least >= first_most, axis=0)
        faster = np.all(most <= first_least, axis=0) & ~slower
        if faster.any():
            own = faster[:, None]
            first = _Product(
                np.where(own, each.work, first.work),
                np.where(own, each.pace, first.pace),
                np.where(own, each.startup, first.startup),
                first.sampled or each.sampled,
                first.span,
            )
        (open_,) = np.nonzero(~(slower | faster))
        if len(open_):
            alternatives.append(replace(each, span=slice(int(open_[0]), int(open_[-1]) + 1)))
    return [first, *alternatives]


def _move(moved: FloatArray, traffic: Traffic) -> Into:
    """Return what works out the seconds of all roles' bytes."""
    paces = [_part(1.0 / rate) for rate in traffic.by_level]
    sampled = (*traffic.capacity, *traffic.held[0], *traffic.held[1])
    if any(np.ndim(each) > 2 for each in sampled):
        return _move_by_role(moved, traffic, paces)
    # Levels that all variants share: bytes of all roles by level.
    loads = []
    for code, pace in zip(range(len(LEVELS)), paces, strict=True):
        bytes_ = sum(
            (each * (level == code) for each, level in zip(moved, traffic.levels, strict=True)),
            np.zeros((1, 1)),
        )
        if bytes_.any():
            loads.append((_part(bytes_), pace))

    def into(some: Some, memory: FloatArray, other: FloatArray) -> None:
        out = memory
        for bytes_, pace in loads:
            np.multiply(some(bytes_), some(pace), out=out)
            if out is other:
                memory += other
            out = other
        if not loads:
            memory.fill(0.0)

    return into


def _move_by_role(moved: FloatArray, traffic: Traffic, paces: Sequence[FloatArray]) -> Into:
    l2, l3, memory_pace = paces
    near_capacity, far_capacity = map(_part, traffic.capacity)
    roles = [
        (_part(each), _part(near), _part(far))
        for each, near, far in zip(moved, *traffic.held, strict=True)
        if each.any()
    ]

    def into(some: Some, memory: FloatArray, other: FloatArray) -> None:
        memory.fill(0.0)
        for bytes_, near, far in roles:
            np.copyto(other, some(memory_pace))
            np.copyto(other, some(l3), where=some(far) <= some(far_capacity))
            np.copyto(other, some(l2), where=some(near) <= some(near_capacity))
            other *= some(bytes_)
            memory += other

    return into
