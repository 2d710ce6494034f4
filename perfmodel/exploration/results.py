"""Results of an exploration: read from their folder a file at a time, and what is best in them."""

from __future__ import annotations

import functools
import itertools
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.exploration.chunks import arrow
from perfmodel.exploration.space import CELL
from perfmodel.mapping.roofline import FloatArray

#: The file that says what a folder holds.
MANIFEST: Final = "space.json"
#: Rows that a front keeps before it is thinned out again.
_KEPT: Final = 20_000
#: Rows that medians are taken of, so that results of any size fit.
_DRAWN: Final = 500_000

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """A folder of results.

    Attributes:
        figures: paths of the figures that vary.
        columns: everything a row has, but for its cell.
        minimise, maximise: what the space says is good.
        points: of the whole space.
        varying: what distinguishes its cells: of model, CPU, software, precision and batch, those
            that have several values.
    """

    folder: Path
    figures: tuple[str, ...]
    columns: tuple[str, ...]
    minimise: tuple[str, ...]
    maximise: tuple[str, ...]
    points: int
    varying: tuple[str, ...]
    files: tuple[Path, ...] = field(repr=False)

    @property
    def rows(self) -> int:
        """Return the rows within the constraints."""
        _, pq = arrow()
        return sum(_read(file, pq.read_metadata).num_rows for file in self.files)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[Any]:
        """Yield one :class:`pyarrow.Table` for each file, in the order of the space."""
        _, pq = arrow()
        for file in self.files:
            wanted = None if columns is None else list(columns)
            yield _read(file, functools.partial(pq.read_table, columns=wanted))

    def to_pandas(self) -> Any:
        """Return every row as one data frame: as large as the results."""
        pa, _ = arrow()
        return pa.concat_tables(self.tables(), promote_options="default").to_pandas()

    def front(
        self, minimise: Sequence[str] | None = None, maximise: Sequence[str] | None = None
    ) -> list[Row]:
        """Return the rows that no other beats in every objective, by the first objective.

        Args:
            minimise, maximise: columns; by default those of the space.

        Raises:
            UnknownName: a column that is not there.
            PerfmodelError: no objective at all.
        """
        low = self.minimise if minimise is None else tuple(minimise)
        high = self.maximise if maximise is None else tuple(maximise)
        if not (low or high):
            raise PerfmodelError("nothing to minimise or maximise: name a column")
        for name in (*low, *high):
            if name not in self.columns:
                raise UnknownName("column to minimise or maximise", name, self.columns)
        kept: list[Row] = []
        for table in self.tables():
            scores = self._scores(table, low, high)
            index = np.flatnonzero(non_dominated(scores))
            kept += table.take(index).to_pylist()
            if len(kept) > _KEPT:
                kept = _thinned(kept, low, high)
        return _thinned(kept, low, high)

    def tornado(self, column: str = "latency_ms") -> list[tuple[str, float, float]]:
        """Return what each figure does to a column: its median where the figure is low, and high.

        Low and high are the lowest and the highest tenth of the values that the figure has in a
        cell of the space, and medians are of one cell: a model, CPU, software, precision and batch.
        What is returned is the geometric mean over all cells, so that high over low is that of
        their ratios, however far apart the cells are. Those whose ratio is farthest from 1 come
        first. Of more than half a million rows, that many are drawn.

        Raises:
            UnknownName: a column that is not there.
        """
        if column not in self.columns:
            raise UnknownName("column", column, self.columns)
        found = []
        for figure in self.figures:
            ends = np.array([_ends(*pair) for pair in self._pairs(figure, column)])
            if len(ends):
                # Noughts (tokens of a model that generates none) and below have no logarithm.
                mean = np.exp(np.log(ends).mean(axis=0)) if np.all(ends > 0) else ends.mean(axis=0)
                found.append((figure, *mean.tolist()))
        return sorted(found, key=lambda row: -_ratio(row[1], row[2]))

    def _pairs(self, figure: str, column: str) -> Iterator[tuple[FloatArray, FloatArray]]:
        """Both columns of each cell that has the figure: of at most some :data:`_DRAWN` rows."""
        _, pq = arrow()
        read = functools.partial(pq.read_table, columns=[figure, column])
        share, rng = _DRAWN / max(1, self.rows), np.random.default_rng(0)
        for _, files in itertools.groupby(self.files, _cell):
            pairs = [np.empty((2, 0))]
            for file in files:
                if figure in _read(file, pq.read_schema).names:
                    table = _read(file, read)
                    pair = np.stack([table.column(name).to_numpy() for name in (figure, column)])
                    pairs.append(pair if share >= 1 else pair[:, rng.random(len(table)) < share])
            values, wanted = np.concatenate(pairs, axis=1)
            if len(values):
                yield values, wanted

    def leaders(self, x: str, y: str, column: str = "latency_ms") -> list[Row]:
        """Return which CPU has the least of a column at each pair of values of two figures.

        The median over everything else counts. Raises UnknownName for a figure that does not vary,
        and for a column that is not there.
        """
        for name in (x, y):
            if name not in self.figures:
                raise UnknownName("figure", name, self.figures)
        if column not in self.columns:
            raise UnknownName("column", column, self.columns)
        groups: dict[tuple[float, float], dict[str, list[float]]] = {}
        for table in self.tables(["cpu", x, y, column]):
            columns = (table.column(name).to_pylist() for name in (x, y, "cpu", column))
            for at_x, at_y, cpu, value in zip(*columns, strict=True):
                groups.setdefault((at_x, at_y), {}).setdefault(cpu, []).append(value)
        rows: list[Row] = []
        for (at_x, at_y), by_cpu in sorted(groups.items()):
            medians = {cpu: float(np.median(values)) for cpu, values in by_cpu.items()}
            first, *others = sorted(medians, key=lambda cpu: medians[cpu])
            lead = medians[others[0]] / medians[first] if others and medians[first] else None
            rows.append({x: at_x, y: at_y, "cpu": first, column: medians[first], "lead": lead})
        return rows

    @staticmethod
    def _scores(table: Any, low: Sequence[str], high: Sequence[str]) -> FloatArray:
        signs = [(name, 1.0) for name in low] + [(name, -1.0) for name in high]
        return np.stack([table.column(name).to_numpy() * sign for name, sign in signs], axis=1)


def open_results(folder: str | os.PathLike[str]) -> Results:
    """Return the results in a folder.

    Raises:
        PerfmodelError: a folder that holds none.
    """
    path = Path(folder)
    try:
        stated = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
        return Results(
            folder=path,
            figures=tuple(stated["figures"]),
            columns=(*stated["figures"], *stated["results"]),
            minimise=tuple(stated["minimise"]),
            maximise=tuple(stated["maximise"]),
            points=int(stated["points"]),
            varying=tuple(
                name for name in CELL if len({cell[name] for cell in stated["cells"]}) > 1
            ),
            files=tuple(sorted(path.glob("part-*.parquet"))),
        )
    except (OSError, ValueError, KeyError, TypeError):
        raise PerfmodelError(f"{path}: holds no results of perfmodel explore") from None


def _ends(values: FloatArray, wanted: FloatArray) -> tuple[float, float]:
    """The median of a column where a figure is in its lowest, and in its highest tenth."""
    low, high = np.quantile(values, (0.1, 0.9))
    return float(np.median(wanted[values <= low])), float(np.median(wanted[values >= high]))


def _ratio(low: float, high: float) -> float:
    """By how much two medians differ, as the absolute logarithm of their ratio."""
    return abs(math.log(high / low)) if low > 0 and high > 0 else 0.0


def _read(file: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(file)
    except (OSError, ValueError):
        raise PerfmodelError(
            f"{file}: cannot be read; delete it, and explore that space again with --resume"
        ) from None


def _cell(file: Path) -> str:
    """The number of the cell that a file has rows of: parts are named by it."""
    return file.name.split("-")[1]


def non_dominated(scores: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which rows no other beats: is as low in every column, and lower in one.

    Args:
        scores: shape (N, D), lower is better.
    """
    order = np.lexsort(scores.T[::-1])
    ordered = scores[order]
    # Rows that are equal in every column share one verdict: figures that move nothing make many.
    first = np.ones(len(order), bool)
    first[1:] = np.any(ordered[1:] != ordered[:-1], axis=1)
    kept = np.zeros(len(order), bool)
    kept[order] = _distinct_non_dominated(ordered[first])[np.cumsum(first) - 1]
    return kept


def _distinct_non_dominated(scores: FloatArray) -> npt.NDArray[np.bool_]:
    """The same for rows that are in lexicographic order and no two equal."""
    kept = np.zeros(len(scores), bool)
    front = np.empty((0, scores.shape[1]))
    for start in range(0, len(scores), 1024):
        own = scores[start : start + 1024]
        # Only a row before it in the order can beat a row.
        beaten = _beaten(own, front)
        alive = np.flatnonzero(~beaten)
        alive = alive[~_beaten(own[alive], own[alive])]
        kept[start + alive] = True
        front = np.concatenate([front, own[alive]])
    return kept


def _beaten(rows: FloatArray, others: FloatArray) -> npt.NDArray[np.bool_]:
    found = np.zeros(len(rows), bool)
    for start in range(0, len(others), 256):
        part = others[None, start : start + 256]
        no_worse = np.all(part <= rows[:, None], axis=2)
        better = np.any(part < rows[:, None], axis=2)
        found |= np.any(no_worse & better, axis=1)
    return found


def _thinned(rows: Sequence[Row], low: Sequence[str], high: Sequence[str]) -> list[Row]:
    if not rows:
        return []
    signs = [(name, 1.0) for name in low] + [(name, -1.0) for name in high]
    scores = np.array([[row[name] * sign for name, sign in signs] for row in rows])
    found = np.flatnonzero(non_dominated(scores))
    ordered = found[np.lexsort(scores[found].T[::-1])]
    return [rows[index] for index in ordered.tolist()]
