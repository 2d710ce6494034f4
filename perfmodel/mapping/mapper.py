"""How a workload runs on one CPU: engines, caches, memory and overheads as arrays of rates.

The vendors' mappers differ in which engine executes what and in how the last-level cache is shared.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from perfmodel.errors import UnknownName
from perfmodel.figures.figure import Figure
from perfmodel.machine import Machine
from perfmodel.mapping import assumptions, copies, roofline
from perfmodel.mapping.applied import Applied, by_family
from perfmodel.mapping.columns import Columns
from perfmodel.mapping.fastest import best_latency, every_latency
from perfmodel.mapping.hierarchy import GEMM as _GEMM
from perfmodel.mapping.hierarchy import Hierarchy, rate
from perfmodel.mapping.roofline import Engine, FloatArray, Rate, Vector
from perfmodel.software import Software
from perfmodel.software.schema import PREFIX
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary import words
from perfmodel.vocabulary.precision import Precision

#: Formats an engine may execute instead of one it lacks: wider ones, nearest first.
WIDER: Final[Mapping[str, tuple[str, ...]]] = {
    "fp64": ("fp64",),
    "fp32": ("fp32",),
    "bf16": ("bf16", "fp32"),
    "fp16": ("fp16", "fp32"),
    "int8": ("int8", "bf16", "fp32"),
}

#: Index of a rate by family that keeps the axis: one operation on an element.
_SIMPLE: Final = [f.CODE[f.ELEMENTWISE]]

#: Families whose weights a precision quantises.
QUANTISED: Final = (*f.CONVOLUTIONS, f.LINEAR)


@dataclass(frozen=True)
class Execution:
    """What an engine does with one family: the format it runs in and its tile."""

    fmt: str
    tile: tuple[float, float, float]


class _Families(NamedTuple):
    """What one engine does with each family: shapes (..., 1, F), (F,) and (F, 3)."""

    rates: FloatArray
    usable: npt.NDArray[np.bool_]
    tiles: FloatArray


class Mapper(Hierarchy):
    """Maps workloads onto one machine; subclasses hold what is particular to a vendor.

    Args:
        machine: the CPU.
        values: figures to use instead of the machine's typical ones, by dotted path; each a float
            in SI units or an array of shape (samples,), all of the same length.
    """

    def __init__(
        self, machine: Machine, values: Mapping[str, float | FloatArray] | None = None
    ) -> None:
        self.machine = machine
        self._figures = machine.figures() | assumptions.figures()
        self._values = {path: rate(value) for path, value in (values or {}).items()}
        self._applied: dict[str, Applied] = {}
        # What is the same for every workload.
        self._families: dict[tuple[object, ...], _Families] = {}
        # A software's figures are known when there is one.
        unknown = [
            path
            for path in self._values
            if path not in self._figures and not path.startswith(f"{PREFIX}.")
        ]
        if unknown:
            raise UnknownName(f"figure of {machine.id}", min(unknown), self._figures)

    # -- engines -------------------------------------------------------------------------------

    def executes(
        self, engine: str, family: str, fmt: str, software: Applied | None = None
    ) -> Execution | None:
        """Return how ``engine`` runs products of ``family`` asked for in ``fmt``, or None.

        An engine without the format, or without kernels of ``software`` for it, runs the nearest
        wider one it has, after conversion.
        """
        description = self.machine.core.engines[engine]
        if family not in f.GEMM_FAMILIES or family not in description.efficiency:
            return None
        for candidate in WIDER[fmt]:
            flag = description.instructions.get(candidate)
            capable = flag is None or flag in self.machine.core.isa
            capable &= software is None or software.runs(engine, family, candidate)
            if capable and candidate in description.ops_per_cycle:
                tile = description.tile[candidate]
                return Execution(candidate, (tile.rows, tile.columns, tile.depth))
        return None

    def clock(self, engine: str) -> Rate:
        """Sustained clock in Hz of a core while ``engine`` is busy."""
        path = f"clock.engine.{engine}"
        return self.figure(path if path in self._figures else "clock.sustained")

    def engines(self, columns: Columns, software: Applied) -> tuple[Engine, ...]:
        """Every engine's rates for these kernels, in the order of :attr:`engine_names`."""
        return tuple(self._engine(name, columns, software) for name in self.engine_names)

    def _engine(self, name: str, columns: Columns, software: Applied) -> Engine:
        (arithmetic, _), *others = columns.arithmetic()
        engine = self._engine_in(arithmetic, name, columns, software)
        for stated, chosen in others:
            own = self._engine_in(stated, name, columns, software)
            engine = replace(
                engine,
                rate=np.where(chosen, own.rate, engine.rate),
                usable=np.where(chosen, own.usable, engine.usable),
                tile=np.where(chosen[:, None], own.tile, engine.tile),
            )
        return engine

    def _engine_in(
        self, arithmetic: tuple[str, ...], name: str, columns: Columns, software: Applied
    ) -> Engine:
        """An engine's rates if products are asked for in these formats."""
        precision = columns.precision.name
        key = (arithmetic, name, precision, software)
        if key not in self._families:
            self._families[key] = self._by_family(arithmetic, name, precision, software)
        found, family = self._families[key], columns.family
        return Engine(
            rate=found.rates[..., family],
            usable=found.usable[family],
            tile=found.tiles[family],
            rows_only=family == f.CODE[f.ATTENTION],
            startup=self.optional(f"core.engines.{name}.saturation", 0.0),
        )

    def _by_family(
        self, arithmetic: tuple[str, ...], name: str, precision: str, software: Applied
    ) -> _Families:
        runs = [
            self.executes(name, family, fmt, software)
            for family, fmt in zip(f.FAMILIES, arithmetic, strict=True)
        ]
        prefix = f"core.engines.{name}"
        clock = self.clock(name)
        kind = self.machine.core.engines[name].kind
        rates = [
            1.0
            if run is None
            else self.figure(f"{prefix}.ops_per_cycle.{run.fmt}")
            * clock
            * self.figure(f"{prefix}.efficiency.{family}")
            * software.efficiency(family, name, kind, run.fmt, precision)
            for family, run in zip(f.FAMILIES, runs, strict=True)
        ]
        if precision in software.software.unpacking:
            # Bringing weights into the form that is multiplied takes its own time beside it.
            limit = software.value(f"unpacking.{precision}") * clock
            rates = [
                1 / (1 / rate + 1 / limit) if family in QUANTISED and run is not None else rate
                for family, run, rate in zip(f.FAMILIES, runs, rates, strict=True)
            ]
        # Kernels without products are the vector engine's, with no work in this part.
        usable = np.array([run is not None for run in runs])
        if name == self.vector_engine:
            usable |= ~_GEMM
        tiles = np.array([(1.0, 1.0, 1.0) if run is None else run.tile for run in runs])
        return _Families(by_family(rates), usable, tiles)

    @cached_property
    def vector_rates(self) -> FloatArray:
        """Operations per second of one core on all that is no product, (..., 1, families), FP32."""
        name = self.vector_engine
        prefix = f"core.engines.{name}"
        peak = self.figure(f"{prefix}.ops_per_cycle.fp32") * self.clock(name)
        return by_family(
            [
                peak * self.figure(f"{prefix}.efficiency.{_vector_family(family)}")
                for family in f.FAMILIES
            ]
        )

    def vector(self, columns: Columns, software: Applied, rates: FloatArray) -> Vector:
        """The vector engine for everything but products, at these :attr:`vector_rates`."""
        tile = self.machine.core.engines[self.vector_engine].tile["fp32"]
        families = tuple(map(_vector_family, f.FAMILIES))
        shares = software.efficiencies(families, self.vector_engine, "vector", "fp32")
        if np.any(shares != 1.0):
            rates = rates * shares
        return Vector(
            rate=rates[..., columns.family],
            lanes=float(tile.columns),
            conversion=copies.conversion_seconds(columns, software, rates[..., _SIMPLE])
            + self._moving(columns, software),
        )

    def _moving(self, columns: Columns, software: Applied) -> Rate:
        """Seconds per element of operators that only move data, (..., 1, K)."""
        if software.software.moving is None:
            return 0.0
        work = columns.work
        moved = np.where(columns.family == f.CODE[f.DATA_MOVEMENT], work.moved.sum(axis=0), 0.0)
        seconds: FloatArray = moved / work.elements
        return seconds / (software.value("moving") * self.figure("clock.sustained"))

    def peak(
        self, columns: Columns, engine: npt.NDArray[np.intp], software: Software
    ) -> tuple[FloatArray, Rate]:
        """Peak op/s of one core for each kernel on its chosen engine, and of the vector engine.

        Peaks are at the engine's sustained clock and full efficiency; shapes (..., K) and scalar.
        """
        peaks, applied = [], self.applied(software)
        for name in self.engine_names:
            found: Any = 1.0
            for arithmetic, chosen in columns.arithmetic():
                rates = []
                for family, fmt in zip(f.FAMILIES, arithmetic, strict=True):
                    run = self.executes(name, family, fmt, applied)
                    path = f"core.engines.{name}.ops_per_cycle."
                    rates.append(
                        1.0 if run is None else self.figure(path + run.fmt) * self.clock(name)
                    )
                found = np.where(chosen, by_family(rates)[..., 0, columns.family], found)
            peaks.append(found)
        stacked = np.stack(np.broadcast_arrays(*peaks, np.zeros(engine.shape))[:-1])
        vector = self.vector_engine
        vector_peak = self.figure(f"core.engines.{vector}.ops_per_cycle.fp32") * self.clock(vector)
        chosen = np.take_along_axis(stacked, engine[None], axis=0)[0]
        return chosen, vector_peak if isinstance(vector_peak, float) else vector_peak[..., 0]

    # -- overheads -----------------------------------------------------------------------------

    def stretch(self, software: Applied, cores: FloatArray) -> FloatArray:
        """Return by what the slowest of ``cores`` threads takes longer than an even share."""
        late = software.value("stragglers") * np.log2(cores)
        uneven = cores / software.value("chunks") if software.software.chunks is not None else 0.0
        factor: FloatArray = 1.0 + late + uneven
        return factor

    def overhead(
        self, columns: Columns, software: Applied, cores: FloatArray, grid: roofline.Grid
    ) -> tuple[FloatArray, ...]:
        """Return seconds of launches and of meetings of threads, each broadcasting to (..., P, K).

        Args:
            grid: the kernels' own times, which say how many threads a kernel wakes.
        """
        launch = copies.launch(columns, software, self.cores)
        meeting = self.meeting(columns, software, cores, grid)
        precision = columns.precision.name
        if precision not in software.software.beside:
            return launch, meeting
        kernels = 1.0 + software.beside(precision)[..., columns.family]
        return (kernels * (launch + meeting),)

    def meeting(
        self, columns: Columns, software: Applied, cores: FloatArray, grid: roofline.Grid
    ) -> FloatArray:
        """Return seconds that waking and joining the threads of a kernel take, (..., P, K)."""
        record = software.software
        if record.join is None:
            joined = record.threads == "joined"
            threads = np.full_like(cores, self.cores) if joined else cores
            region = self.figure("parallel_region.base") + self.figure(
                "parallel_region.per_doubling"
            ) * np.log2(threads)
            return columns.steps * np.where(threads > 1, region, 0.0)
        woken: FloatArray = cores
        if record.grain is not None:
            # One core's time for all of it: threads are woken only for a grain of work each.
            moved = columns.work.moved.sum(axis=0) / self.figure("memory.per_core")
            alone = np.maximum(grid.compute * cores, moved) / columns.steps
            woken = np.minimum(alone / software.value("grain"), cores)
        return columns.steps * np.where(woken > 1, software.value("join") * woken, 0.0)

    def applied(self, software: Software) -> Applied:
        """Return ``software`` with what this machine's file says of it in place of its own figures.

        Raises:
            MachineError: the file states what no software has.
            UnknownName: a value is given for a figure that the software has not.
        """
        found = self._applied.get(software.id)
        if found is None or found.given is not software:
            own = self.machine.software
            found = Applied(software, own, self.machine.id, self._value)
            figures = found.software.figures()
            unknown = [path for path in self._values if _is_of(software, path, figures)]
            if unknown:
                raise UnknownName(f"figure of {software.id}", min(unknown), figures)
            self._applied[software.id] = found
        return found

    # -- the formula ---------------------------------------------------------------------------

    def candidates(self, software: Software) -> FloatArray:
        """Return core counts to choose from: every one, or all cores, as the software has it.

        Shape (P, 1), or (samples, 1, 1) where all cores work and their number is sampled.
        """
        if software.threads == "all":
            count = np.asarray(self.figure("cores.count"))
            return count if count.ndim else count.reshape(1, 1)
        return np.arange(1.0, self.cores + 1)[:, None]

    def times(
        self,
        columns: Columns,
        software: Software,
        state: str = "steady",
        cores: FloatArray | None = None,
        *,
        alone: bool = True,
    ) -> roofline.Times:
        """Return the formula's times of these kernels; ``cores`` as in :func:`roofline.evaluate`.

        ``alone`` is False where other instances of the model run on the socket at the same time.

        Raises:
            UnknownName: for a state other than those of :data:`~perfmodel.vocabulary.words.STATES`.
        """
        candidates = self.candidates(software) if cores is None else cores
        return roofline.evaluate(
            self._grid(columns, software, state, candidates, alone), candidates
        )

    def latency(
        self,
        columns: Columns,
        software: Software,
        state: str = "steady",
        cores: FloatArray | None = None,
        *,
        alone: bool = True,
    ) -> FloatArray:
        """Seconds per kernel, shape (..., K): the latency of :meth:`times` and nothing else.

        At most one leading axis.
        """
        if cores is None or cores.shape[-1] == 1:
            candidates = self.candidates(software) if cores is None else cores
            return best_latency(self._grid(columns, software, state, candidates, alone))
        # What depends on the core count is the same for kernels that have it in common.
        counts, index = np.unique(cores, return_inverse=True)
        grid = self._grid(columns, software, state, counts[:, None], alone)
        return best_latency(grid, index.reshape(cores.shape))

    def every_latency(
        self, columns: Columns, software: Software, state: str = "steady", *, alone: bool = True
    ) -> FloatArray:
        """Seconds at each of the software's :meth:`candidates`, (P, K, samples)."""
        candidates = self.candidates(software)
        return every_latency(self._grid(columns, software, state, candidates, alone))

    def _grid(
        self, columns: Columns, software: Software, state: str, cores: FloatArray, alone: bool
    ) -> roofline.Grid:
        words.check("state", state, words.STATES)
        applied = self.applied(software)
        drawn = applied.value("bandwidth" if alone else "bandwidth_several", 1.0)
        traffic = self.traffic(columns, state, cores, drawn)
        rates = self.vector_rates
        simple = rates[..., _SIMPLE]
        grid = roofline.grid(
            columns.work,
            self.engines(columns, applied),
            self.vector(columns, applied, rates),
            traffic,
            cores,
            stretch=self.stretch(applied, cores),
            exposed=1.0 - software.overlap,
        )
        beside = self.overhead(columns, applied, cores, grid)
        copied = copies.copies(columns, applied, traffic, simple, cores, self.cores)
        count = self.figure("cores.count")
        if np.ndim(count):
            # Of core counts to choose from, a sample has no more than its own.
            beside += (np.where(cores > count, np.inf, 0.0),)
        return grid.with_overhead(*beside, np.asarray(copied))

    def formats(
        self, columns: Columns, engine: npt.NDArray[np.intp], software: Software
    ) -> tuple[str, ...]:
        """Return the format that each kernel's products run in on its chosen engine."""
        applied = self.applied(software)
        found = ["fp32"] * len(columns.family)
        for arithmetic, chosen in columns.arithmetic():
            for column in np.flatnonzero(chosen).tolist():
                code = columns.family[column]
                name = self.engine_names[engine[column]]
                run = self.executes(name, f.FAMILIES[code], arithmetic[code], applied)
                found[column] = "fp32" if run is None else run.fmt
        return tuple(found)

    def fallbacks(
        self, precision: Precision, software: Software, also: Iterable[str] = ()
    ) -> dict[str, str]:
        """Return formats that no engine has, or software no kernels for, and what runs instead.

        ``also``: formats that products are asked for in beside those of the precision.
        """
        instead, applied = {}, self.applied(software)
        asked = {precision.arithmetic[f.CODE[family]] for family in f.GEMM_FAMILIES}
        for fmt in sorted(asked | (set(also) & WIDER.keys())):
            runs = [self.executes(name, f.LINEAR, fmt, applied) for name in self.engine_names]
            formats = [run.fmt for run in runs if run is not None]
            if fmt not in formats and formats:
                instead[fmt] = min(formats, key=WIDER[fmt].index)
        return instead


def _vector_family(family: str) -> str:
    """Whose efficiency the arithmetic beside a kernel's products runs at."""
    if family == f.ATTENTION:
        return f.SOFTMAX
    return f.ELEMENTWISE if family in f.GEMM_FAMILIES else family


def _is_of(software: Software, path: str, figures: Mapping[str, Figure]) -> bool:
    """Whether a value's path claims to be of this software and is not."""
    return path.startswith(f"{PREFIX}.{software.id}.") and path not in figures
