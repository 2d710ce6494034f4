"""What is explored: the file that says it, checked, and how its points are numbered.

Every combination of model, CPU, software, precision and batch is a *cell*. Within each, figures
that are listed are crossed (a grid of G points) and figures that are sampled are drawn S times:
G x S variants, numbered sample by sample.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import Discriminator, StrictFloat, StrictInt, Tag

from perfmodel._files import read_toml
from perfmodel.errors import MachineError, UnknownName
from perfmodel.exploration.expressions import Expression
from perfmodel.figures.checking import validated
from perfmodel.figures.figure import Expect, Origin
from perfmodel.figures.held import Held, Natural, Whole
from perfmodel.figures.quantity import QuantityError, parse
from perfmodel.figures.record import Record
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping import assumptions
from perfmodel.mapping.roofline import FloatArray
from perfmodel.mapping.unknowns import latin_hypercube, triangular_quantile
from perfmodel.scenario import Scenario
from perfmodel.software.schema import PREFIX

#: Samples that are drawn together: a Latin hypercube each, so that none is larger than memory.
BLOCK: Final = 8192
#: Points of a range on a grid, and the most.
_STEPS: Final = 10
_MOST_STEPS: Final = 100_000
#: Figures that count something whose lowest and highest values are tried together.
_CORNERS: Final = 6

#: Columns that the rows of a cell share, and those of every row after its figures.
CELL: Final = ("model", "cpu", "software", "precision", "batch")
RESULTS: Final = ("latency_ms", "throughput_fps", "tokens_per_s", "fps_per_watt")

Number = StrictInt | StrictFloat | str


class Range(Record):
    """A range of a figure: on a grid of ``count`` points, or to sample from.

    Attributes:
        scale: whether steps are equal, or equal factors.
    """

    low: Number
    high: Number
    count: Annotated[int, Held(strict=True, ge=2, le=_MOST_STEPS)] = _STEPS
    scale: Literal["linear", "log"] = "linear"


def _form(stated: Any) -> str:
    return "range" if isinstance(stated, (Mapping, Range)) else "list"


#: Told apart before it is read, so that an error is of the form that was meant.
Crossed = Annotated[
    Annotated[tuple[Number, ...], Tag("list")] | Annotated[Range, Tag("range")],
    Discriminator(_form),
]


class _File(Record):
    models: Annotated[tuple[str, ...], Held(min_length=1)]
    cpus: Annotated[tuple[str, ...], Held(min_length=1)]
    software: Annotated[tuple[str, ...], Held(min_length=1)] = ("openvino",)
    precisions: Annotated[tuple[str, ...], Held(min_length=1)] = ("int8",)
    batches: Annotated[tuple[Whole, ...], Held(min_length=1)] = (1,)
    phase: str | None = None
    tokens: Whole | None = None
    context: Whole | None = None
    state: str = "steady"
    figures: Mapping[str, Crossed] = field(default_factory=dict)
    sampled: Mapping[str, Range] = field(default_factory=dict)
    file_ranges: bool = False
    samples: Natural = 1000
    seed: Annotated[int, Held(strict=True, ge=0)] = 0
    derived: Mapping[str, str] = field(default_factory=dict)
    constraints: tuple[str, ...] = ()
    minimise: tuple[str, ...] = ("latency_ms",)
    maximise: tuple[str, ...] = ()


@dataclass(frozen=True)
class Cell:
    """One combination of what is not a figure."""

    model: str
    cpu: str
    scenario: Scenario

    @property
    def columns(self) -> dict[str, str | int]:
        """Return what its rows have in common."""
        return {
            "model": self.model,
            "cpu": self.cpu,
            "software": str(self.scenario.software),
            "precision": str(self.scenario.precision),
            "batch": self.scenario.batch or 1,
        }


@dataclass(frozen=True)
class Drawn:
    """A figure that is sampled: uniform or log-uniform, or triangular as a file's ranges are."""

    path: str
    low: float
    high: float
    log: bool = False
    typical: float | None = None
    whole: bool = False

    def values(self, share: FloatArray) -> FloatArray:
        """Return the figure at quantiles ``share``, of any shape."""
        if self.typical is not None:
            width = self.high - self.low
            mode = np.asarray((self.typical - self.low) / width)
            found: FloatArray = self.low + width * triangular_quantile(share, mode)
        elif self.log:
            found = self.low * (self.high / self.low) ** share
        else:
            found = self.low + (self.high - self.low) * share
        return np.round(found) if self.whole else found


@dataclass(frozen=True, eq=False)
class Space:
    """A space that has been checked.

    Attributes:
        cells: in the order of the file, models first.
        grid: values in SI units of each crossed figure, by path.
        drawn: of each CPU, the figures that are sampled.
        samples: how often they are; 1 where none is.
        minimise, maximise: columns that decide what is best.
        digest: of everything that decides its points.
    """

    cells: tuple[Cell, ...]
    grid: Mapping[str, FloatArray]
    drawn: Mapping[str, tuple[Drawn, ...]]
    samples: int
    seed: int
    derived: Mapping[str, Expression]
    constraints: tuple[Expression, ...]
    minimise: tuple[str, ...]
    maximise: tuple[str, ...]
    digest: str
    source: Mapping[str, Any] = field(repr=False)

    @property
    def grid_points(self) -> int:
        """Return the points of the grid; 1 where no figure is crossed."""
        return math.prod(len(values) for values in self.grid.values())

    def variants(self, cell: Cell) -> int:
        """Return the points of a cell."""
        return self.grid_points * (self.samples if self.drawn[cell.cpu] else 1)

    @property
    def points(self) -> int:
        """Return the points of all cells."""
        return sum(self.variants(cell) for cell in self.cells)

    def values(self, cell: Cell, start: int, stop: int) -> dict[str, FloatArray]:
        """Return the figures of variants ``start`` to ``stop`` of a cell, in SI units, by path."""
        return variant_values(self.grid, self.drawn[cell.cpu], self.samples, self.seed, start, stop)


def variant_values(
    grid: Mapping[str, FloatArray],
    drawn: Sequence[Drawn],
    samples: int,
    seed: int,
    start: int,
    stop: int,
) -> dict[str, FloatArray]:
    """Return figures of variants by path, each of shape (stop - start,).

    The same variant has the same figures, whichever others are asked for beside it.
    """
    sizes = [len(values) for values in grid.values()]
    points = math.prod(sizes)
    number = np.arange(start, stop)
    at = np.unravel_index(number % points, sizes) if sizes else ()
    found = {path: values[i] for (path, values), i in zip(grid.items(), at, strict=True)}
    if not drawn:
        return found
    sample = number // points
    share = np.empty((len(number), len(drawn)))
    for block in range(int(sample[0]) // BLOCK, int(sample[-1]) // BLOCK + 1):
        rows = sample // BLOCK == block
        count = min(BLOCK, samples - block * BLOCK)
        share[rows] = _block(count, len(drawn), seed, block)[sample[rows] - block * BLOCK]
    return found | {each.path: each.values(share[:, i]) for i, each in enumerate(drawn)}


@functools.lru_cache(maxsize=8)
def _block(count: int, dimensions: int, seed: int, block: int) -> FloatArray:
    state = np.random.SeedSequence([seed, block]).generate_state(1)[0]
    return latin_hypercube(count, dimensions, int(state))


def read_space(given: str | os.PathLike[str] | Mapping[str, Any]) -> Space:
    """Return the space that a TOML file, or a mapping of the same form, describes.

    Raises:
        MachineError: a file that is wrong, a figure that does not exist or cannot vary so.
        UnknownName: a CPU, software or precision that does not exist.
        PerfmodelError: an expression that is none.
    """
    if isinstance(given, Mapping):
        tree, shown = dict(given), "space"
    else:
        shown = str(given)
        tree = read_toml(Path(given), shown, MachineError)
    file = validated(_File, tree, Origin(shown, {}))
    machines = {name: load_machine(name) for name in file.cpus}
    cells = tuple(
        Cell(model, cpu, scenario)
        for model, scenario, cpu in itertools.product(
            file.models, _scenarios(file, shown), machines
        )
    )
    both = file.figures.keys() & file.sampled.keys()
    if both:
        raise MachineError(f"{shown}: {sorted(both)[0]} is both crossed and sampled: choose one")
    grid: dict[str, FloatArray] = {}
    drawn: dict[str, tuple[Drawn, ...]] = {}
    for cpu, machine in machines.items():
        expected = _expected(machine, cells[0].scenario)
        for other in {cell.scenario.loaded.id: cell.scenario for cell in cells}.values():
            known = _expected(machine, other)
            for path in (*file.figures, *file.sampled):
                _check_path(path, known, machine, other)
        grid = {
            path: _grid(stated, expected[path], f"{shown}: {path}")
            for path, stated in file.figures.items()
        }
        drawn[cpu] = tuple(
            _drawn(path, stated, expected[path], f"{shown}: {path}")
            for path, stated in file.sampled.items()
        )
        _check_corners(machine, grid, drawn[cpu], expected)
        if file.file_ranges:
            taken = {*grid, *file.sampled}
            drawn[cpu] += tuple(
                Drawn(path, f.low, f.high, False, f.typical, expected[path].kind == "count")
                for path, f in machine.figures().items()
                if f.is_range
                and path not in taken
                and not path.startswith(("power.", "price."))
                and path in expected
            )
    if not (file.minimise or file.maximise):
        raise MachineError(f"{shown}: nothing to minimise or maximise: name a column")
    columns = {*CELL, *RESULTS, *grid, *(each.path for of in drawn.values() for each in of)}
    for name in file.derived:
        if name in columns:
            raise MachineError(f"{shown}: derived.{name} is a column already: choose another name")
    return Space(
        cells=cells,
        grid=grid,
        drawn=drawn,
        samples=file.samples if any(drawn.values()) else 1,
        seed=file.seed,
        derived={name: Expression(text) for name, text in file.derived.items()},
        constraints=tuple(map(Expression, file.constraints)),
        minimise=file.minimise,
        maximise=file.maximise,
        digest=_digest(tree, machines),
        source=json.loads(json.dumps(tree, default=str)),
    )


def _scenarios(file: _File, shown: str) -> Iterator[Scenario]:
    for software, precision, batch in itertools.product(
        file.software, file.precisions, file.batches
    ):
        yield Scenario(
            precision,
            software=software,
            batch=batch,
            state=file.state,
            phase=file.phase,
            tokens=file.tokens,
            context=file.context,
        )


def _expected(machine: Machine, scenario: Scenario) -> dict[str, Expect]:
    """Every figure that may vary on a machine, by path."""
    return {
        **machine.settable(),
        **{p: e for p, e in scenario.loaded.settable().items() if p.startswith(f"{PREFIX}.")},
        **assumptions.settable(),
    }


def _check_path(path: str, expected: Mapping[str, Expect], machine: Machine, run: Scenario) -> None:
    if path not in expected:
        whose = run.loaded.id if path.startswith(f"{PREFIX}.") else machine.id
        raise UnknownName(f"figure of {whose}", path, expected)
    if path.startswith(("price.", "memory.capacity")):
        raise MachineError(f"{machine.id}: {path} moves no time: leave it out, or derive from it")


def _check_corners(
    machine: Machine,
    grid: Mapping[str, FloatArray],
    drawn: Sequence[Drawn],
    expected: Mapping[str, Expect],
) -> None:
    """Raise MachineError where the ends of what counts, such as cores and caches, do not fit."""
    ends = {path: {float(values.min()), float(values.max())} for path, values in grid.items()}
    ends |= {each.path: {each.low, each.high} for each in drawn}
    counts = [path for path in ends if expected[path].kind == "count"][:_CORNERS]
    own = [path for path in counts if path in machine.settable()]
    for corner in itertools.product(*(ends[path] for path in own)):
        machine.with_values(dict(zip(own, corner, strict=True)))


def _grid(stated: tuple[Number, ...] | Range, expect: Expect, shown: str) -> FloatArray:
    if isinstance(stated, Range):
        low, high = _bounds(stated, expect, shown)
        if stated.scale == "log":
            values = np.geomspace(low, high, stated.count)
        else:
            values = np.linspace(low, high, stated.count)
        if expect.kind == "count":
            values = np.unique(np.round(values))
    else:
        if not stated:
            raise MachineError(f"{shown}: no values; list some, or give low and high")
        values = np.array([_number(value, expect, shown) for value in stated])
    expect.check_all(values, shown)
    return values


def _drawn(path: str, stated: Range, expect: Expect, shown: str) -> Drawn:
    low, high = _bounds(stated, expect, shown)
    return Drawn(path, low, high, stated.scale == "log", None, expect.kind == "count")


def _bounds(stated: Range, expect: Expect, shown: str) -> tuple[float, float]:
    low, high = (_number(value, expect, shown) for value in (stated.low, stated.high))
    if not low < high:
        raise MachineError(f"{shown}: low must be below high, found {stated.low} and {stated.high}")
    expect.check_all(np.array([low, high]), shown)
    return low, high


def _number(value: Number, expect: Expect, shown: str) -> float:
    """A value in SI: with its unit, as in a machine file; a count or a share without."""
    try:
        return parse(str(value), expect.unit)
    except QuantityError as error:
        raise MachineError(f"{shown}: {value!r} {error}; expected {expect.description}") from None


def _digest(tree: Mapping[str, Any], machines: Mapping[str, Machine]) -> str:
    """Of the space as written and of every figure of its machines."""
    figures = {
        cpu: {path: (f.low, f.typical, f.high) for path, f in machine.figures().items()}
        for cpu, machine in machines.items()
    }
    text = json.dumps([tree, figures], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def check_columns(space: Space, columns: Sequence[str]) -> None:
    """Raise UnknownName for an objective that is no column."""
    for name in (*space.minimise, *space.maximise):
        if name not in columns:
            raise UnknownName("column to minimise or maximise", name, columns)
