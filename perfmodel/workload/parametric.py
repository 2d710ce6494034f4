"""Workloads with named dimensions: traced once, evaluated at any batch or length in milliseconds.

Every size in a :class:`ParametricWorkload` is a number or an expression such as ``197*batch``, and
each of its cases says where it holds. What a module does may differ by size: at batch 1 a reshape
can be a view that is a copy elsewhere, and above some length a forward can take another branch.
Outside its cases there is an error, never a guess: a workload at given sizes is exactly what a
trace at these sizes gives.

docs/workload-format.md describes the file. The workload of a case is read by the ordinary reader,
so both kinds of file are checked by the same rules. No torch and no sympy is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache, partial
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from perfmodel.errors import PerfmodelError, UncoveredSize, UnknownName
from perfmodel.workload import storage
from perfmodel.workload.documents import check_kind, fail
from perfmodel.workload.expressions import Condition, Expression, ExpressionError
from perfmodel.workload.tables import InputSpec, IntArray, beyond_int64
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    from perfmodel.workload.schemas import CaseDocument

FORMAT: Final = "perfmodel.parametric_workload"
#: Version of the document this release writes, and the only one it reads. The workloads inside it
#: follow the version of theirs.
VERSION: Final = 1

#: Fields of a workload that are one number each, and may be expressions.
_NUMBERS: Final = ("batch", "tokens", "context")


def with_sizes(
    workload: Workload, change: Callable[[Any], Any], integer: type[np.int64 | np.object_]
) -> Workload:
    """``workload`` with ``change`` of each size that is no number, in arrays of ``integer``."""

    def changed(size: Any) -> Any:
        return size if type(size) is int else change(size)

    def columns(table: Any) -> dict[str, IntArray]:
        found = {}
        for name, values in vars(table).items():
            if getattr(values, "dtype", None) == np.object_:
                made = np.array([changed(value) for value in values.flat], dtype=integer)
                found[name] = made.reshape(values.shape)
                found[name].setflags(write=False)
        return found

    fields: dict[str, Any] = {field: changed(getattr(workload, field)) for field in _NUMBERS}
    for name in ("tensors", "kernels", "accesses"):
        table: Any = getattr(workload, name)
        fields[name] = replace(table, **columns(table))
    inputs = tuple(
        InputSpec(spec.name, tuple(map(changed, spec.shape)), spec.dtype)
        for spec in workload.inputs
    )
    return replace(workload, inputs=inputs, **fields)


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


@dataclass(frozen=True, eq=False)
class Case:
    """What the model asks for wherever one of some conditions holds.

    Attributes:
        where: any of them.
        workload: its sizes are numbers or :class:`Expression`; columns with some are arrays of
            objects.
    """

    where: tuple[Condition, ...]
    workload: Workload


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

    def dimension(self, name: str) -> Dimension:
        """The dimension called ``name``.

        Raises :class:`~perfmodel.errors.UnknownName` with the nearest, or all there are.
        """
        by_name = {dimension.name: dimension for dimension in self.dimensions}
        if name not in by_name:
            raise UnknownName(f"dimension of {self.name}", name, by_name)
        return by_name[name]

    def at(self, **sizes: int) -> Workload:
        """The workload at these sizes; dimensions not given have the size of the example inputs.

        It equals a trace of the module at these sizes, column by column.

        Raises:
            UnknownName: a dimension that it lacks.
            UncoveredSize: sizes at which the trace does not hold; trace the model at them.
            PerfmodelError: a size that is no whole number of at least 1, or totals beyond int64.
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
                end = "any" if dimension.maximum is None else dimension.maximum
                raise UncoveredSize(
                    f"{self.name}: the trace holds for {dimension.name} {dimension.minimum} to "
                    f"{end}, not {size}"
                )
        listed = ", ".join(f"{name}={size}" for name, size in values.items())
        holding = (c for c in self.cases if any(condition(values) for condition in c.where))
        if (case := next(holding, None)) is None:
            regions = " or ".join(condition.text for case in self.cases for condition in case.where)
            raise UncoveredSize(f"{self.name}: the trace holds for {regions}; not {listed}")
        found = with_sizes(case.workload, cache(lambda size: size(values)), np.int64)
        if beyond_int64(found.tensors, found.kernels, found.accesses) is not None:
            raise PerfmodelError(f"{self.name}: at {listed} its totals are beyond 64-bit integers")
        return found

    def save(self, path: str | Path) -> None:
        """Write it as JSON (docs/workload-format.md), replacing ``path`` atomically.

        Raises :class:`~perfmodel.errors.PerfmodelError` if the file cannot be written.
        """
        document = self.to_dict()
        cases = ",\n".join(f"  {storage.layout(case, '  ')}" for case in document.pop("cases"))
        head = storage.layout(document).removesuffix("\n}")
        storage.write(path, head + f',\n "cases": [\n{cases}\n ]\n}}\n')

    @staticmethod
    def load(path: str | Path) -> ParametricWorkload:
        """Read what :meth:`save` wrote; imports no torch.

        Raises :class:`~perfmodel.errors.WorkloadFormatError` for anything else.
        """
        return ParametricWorkload.from_dict(storage.read(path), source=str(path))

    def to_dict(self) -> dict[str, Any]:
        """The JSON document, as plain Python objects."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "dimensions": [vars(dimension) for dimension in self.dimensions],
            "cases": [
                {
                    "where": [condition.text for condition in case.where],
                    "workload": with_sizes(case.workload, attrgetter("text"), np.object_).to_dict(),
                }
                for case in self.cases
            ],
        }

    @staticmethod
    def from_dict(document: Any, *, source: str = "workload") -> ParametricWorkload:
        """The workload of a document that :meth:`to_dict` made.

        Raises :class:`~perfmodel.errors.WorkloadFormatError`, naming ``source``, the field and what
        was expected there.
        """
        from perfmodel.workload.schemas import ParametricDocument, checked

        check_kind(document, source, FORMAT, VERSION)
        parsed = checked(ParametricDocument, document, source)
        names = [dimension.name for dimension in parsed.dimensions]
        if len(set(names)) < len(names):
            fail(source, "dimensions", f"expected different names, found {', '.join(names)}")
        for row, dimension in enumerate(parsed.dimensions):
            if dimension.maximum is not None and dimension.maximum < dimension.minimum:
                fail(source, f"dimensions[{row}].maximum", "expected at least the minimum")
        return ParametricWorkload(
            parsed.name,
            tuple(Dimension(**dimension.model_dump()) for dimension in parsed.dimensions),
            tuple(
                _read_case(case, names, source, f"cases[{row}]")
                for row, case in enumerate(parsed.cases)
            ),
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ParametricWorkload) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.name, self.dimensions))


def load(path: str | Path, **sizes: int) -> Workload:
    """Read what ``save`` wrote, of a Workload or a ParametricWorkload; imports no torch.

    Args:
        path: the file.
        sizes: of named dimensions, as in ``load(path, batch=8)``; those not given have the size of
            the inputs that the model was traced with.

    Raises:
        WorkloadFormatError: for any other file, naming it, the field and what was expected there.
        UnknownName: a dimension that the workload lacks.
        UncoveredSize: a size at which the trace does not hold.
    """
    source = str(path)
    document = storage.read(path)
    if is_parametric(document):
        return ParametricWorkload.from_dict(document, source=source).at(**sizes)
    workload = Workload.from_dict(document, source=source)
    for name, size in sizes.items():
        if name != "batch":
            raise UnknownName(f"dimension of {source}", name, ("batch",))
        if size != workload.batch:
            raise UncoveredSize(
                f"{source} was traced at batch {workload.batch}, not {size}: trace the model again "
                "at that batch"
            )
    return workload


def is_parametric(document: object) -> bool:
    """Whether ``document`` says that it is of a :class:`ParametricWorkload`."""
    return isinstance(document, Mapping) and document.get("format") == FORMAT


# -- reading -------------------------------------------------------------------------------------


def _read_case(case: CaseDocument, names: list[str], source: str, place: str) -> Case:
    where = []
    for row, text in enumerate(case.where):
        try:
            where.append(Condition(text, names))
        except ExpressionError as error:
            fail(source, f"{place}.where[{row}]", str(error))
    # Sizes of one text are one expression, which is evaluated once.
    size = cache(partial(Expression, allowed=names))
    fields = storage.fields(case.workload, f"{source}: {place}.workload", size)
    return Case(tuple(where), Workload(**fields))
