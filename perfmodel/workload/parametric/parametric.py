"""Workloads with named dimensions: traced once, evaluated at any batch or length in milliseconds.

Every size in a :class:`ParametricWorkload` is a number or an expression such as ``197*batch``, and
each of its cases says where it holds. What a module does may differ by size: at batch 1 a reshape
can be a view that is a copy elsewhere, and above some length a forward can take another branch.
Outside its cases there is an error, never a guess: a workload at given sizes is exactly what a
trace at these sizes gives.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np

from perfmodel.errors import PerfmodelError, UncoveredSize, UnknownName
from perfmodel.workload.parametric.expressions import Condition, Expression
from perfmodel.workload.workload import InputSpec, IntArray, Workload

_INT64_MAX: Final = int(np.iinfo(np.int64).max)


@dataclass(frozen=True)
class Dimension:
    """One named dimension of the inputs.

    Attributes:
        name: as the trace was told.
        default: its size in the example inputs.
        minimum, maximum: between them the cases hold, if their conditions do; None: unbounded.
    """

    name: str
    default: int
    minimum: int = 1
    maximum: int | None = None

    @property
    def range(self) -> str:
        """For people, such as ``1 to 512``."""
        end = "any" if self.maximum is None else str(self.maximum)
        return f"{self.minimum} to {end}"


@dataclass(frozen=True, eq=False)
class Holes:
    """The entries of one column, flattened, that are expressions.

    Attributes:
        rows: where they are, ascending.
        expression: which one each is, as an index into :attr:`Case.expressions`.
    """

    rows: IntArray
    expression: IntArray


@dataclass(frozen=True, eq=False)
class Case:
    """What the model asks for wherever one of some conditions holds.

    Attributes:
        where: any of them.
        template: the workload with placeholders where it depends on the dimensions.
        expressions: the different ones in it, each once.
        numbers: fields of the workload that are single numbers, such as batch.
        input_shapes: of each input; a size is a number or an expression.
        holes: by table and column, such as ``kernels.flops``, what the template leaves open.
    """

    where: tuple[Condition, ...]
    template: Workload
    expressions: tuple[Expression, ...]
    numbers: Mapping[str, int | Expression]
    input_shapes: tuple[tuple[int | Expression, ...], ...]
    holes: Mapping[str, Holes]

    def holds(self, sizes: Mapping[str, int]) -> bool:
        """Whether this is the case at ``sizes``."""
        return any(condition(sizes) for condition in self.where)

    def at(self, sizes: Mapping[str, int]) -> Workload:
        """The workload at ``sizes``; raises :class:`ExpressionError` if a size has no value."""
        values = np.array([expression(sizes) for expression in self.expressions], dtype=np.int64)

        def fill(table: str, column: str) -> IntArray:
            old: IntArray = getattr(getattr(self.template, table), column)
            open_entries = self.holes.get(f"{table}.{column}")
            if open_entries is None:
                return old
            filled = old.copy()
            filled.reshape(-1)[open_entries.rows] = values[open_entries.expression]
            filled.setflags(write=False)
            return filled

        template = self.template
        kernels = replace(
            template.kernels,
            flops=fill("kernels", "flops"),
            vector_ops=fill("kernels", "vector_ops"),
            gemm=fill("kernels", "gemm"),
        )
        tensors = replace(template.tensors, elements=fill("tensors", "elements"))
        accesses = replace(template.accesses, elements=fill("accesses", "elements"))
        moved = zip(
            accesses.elements.tolist(), tensors.itemsize[accesses.tensor].tolist(), strict=True
        )
        totals = (
            sum(kernels.flops.tolist()),
            sum(kernels.vector_ops.tolist()),
            sum(elements * itemsize for elements, itemsize in moved),
        )
        if max(totals) > _INT64_MAX:
            raise PerfmodelError(
                f"{template.name}: at {_listed(sizes)} its totals are beyond 64-bit integers"
            )
        numbers: dict[str, Any] = {
            field: _value(number, sizes) for field, number in self.numbers.items()
        }
        return replace(
            template,
            **numbers,
            inputs=tuple(
                InputSpec(spec.name, tuple(_value(size, sizes) for size in shape), spec.dtype)
                for spec, shape in zip(template.inputs, self.input_shapes, strict=True)
            ),
            tensors=tensors,
            kernels=kernels,
            accesses=accesses,
        )


@dataclass(frozen=True, eq=False)
class ParametricWorkload:
    """A traced model whose sizes depend on named dimensions, such as batch and tokens.

    Attributes:
        name: of the model.
        dimensions: the named dimensions, in the order they were named.
        cases: the first that holds is what the model asks for.
    """

    name: str
    dimensions: tuple[Dimension, ...]
    cases: tuple[Case, ...]
    _document: Mapping[str, Any] = field(repr=False)

    @cached_property
    def _by_name(self) -> dict[str, Dimension]:
        return {dimension.name: dimension for dimension in self.dimensions}

    def dimension(self, name: str) -> Dimension:
        """The dimension called ``name``.

        Raises :class:`~perfmodel.errors.UnknownName` with the nearest, or all there are.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownName(f"dimension of {self.name}", name, self._by_name) from None

    def at(self, **sizes: int) -> Workload:
        """The workload at these sizes; dimensions not given have the size of the example inputs.

        It equals a trace of the module at these sizes, column by column.

        Raises:
            UnknownName: a dimension that it lacks.
            UncoveredSize: sizes at which the trace does not hold; trace the model at them.
            PerfmodelError: a size that is no whole number of at least 1.
        """
        values = {dimension.name: dimension.default for dimension in self.dimensions}
        for name, size in sizes.items():
            self.dimension(name)
            if isinstance(size, bool) or not isinstance(size, int | np.integer) or size < 1:
                raise PerfmodelError(f"{name} must be a whole number of at least 1, not {size!r}")
            values[name] = int(size)
        for dimension in self.dimensions:
            size = values[dimension.name]
            if size < dimension.minimum or size > (dimension.maximum or size):
                raise UncoveredSize(
                    f"{self.name}: the trace holds for {dimension.name} {dimension.range}, "
                    f"not {size}"
                )
        for case in self.cases:
            if case.holds(values):
                return case.at(values)
        regions = " or ".join(condition.text for case in self.cases for condition in case.where)
        raise UncoveredSize(f"{self.name}: the trace holds for {regions}; not {_listed(values)}")

    def save(self, path: str | Path) -> None:
        """Write it as JSON (docs/workload-format.md), replacing ``path`` atomically."""
        from perfmodel.workload.parametric.storage import save

        save(self, path)

    @staticmethod
    def load(path: str | Path) -> ParametricWorkload:
        """Read what :meth:`save` wrote; imports no torch.

        Raises :class:`~perfmodel.errors.WorkloadFormatError` for anything else.
        """
        from perfmodel.workload.parametric.storage import load

        return load(path)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document, as plain Python objects."""
        return dict(self._document)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return isinstance(other, ParametricWorkload) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.name, self.dimensions))


def _value(size: int | Expression, sizes: Mapping[str, int]) -> int:
    return size(sizes) if isinstance(size, Expression) else size


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items())
