"""Workloads with named dimensions: traced once, evaluated at any batch or length in milliseconds.

Every size in a :class:`ParametricWorkload` is a number or an expression such as ``197*batch``, and
each of its cases says where it holds. What a module does may differ by size: at batch 1 a reshape
can be a view that is a copy elsewhere, and above some length a forward can take another branch.
Outside its cases there is an error, never a guess: a workload at given sizes is exactly what a
trace at these sizes gives.

docs/workload-format.md describes the file. The workload of a case is read by the ordinary reader,
with ones in the place of expressions, so both kinds of file are checked by the same rules. No torch
and no sympy is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from perfmodel.errors import PerfmodelError, UncoveredSize, UnknownName
from perfmodel.workload import storage
from perfmodel.workload.parametric.expressions import Condition, Expression, ExpressionError
from perfmodel.workload.tables import InputSpec, IntArray
from perfmodel.workload.workload import Workload

FORMAT: Final = "perfmodel.parametric_workload"
#: Version of the document this release writes, and the only one it reads. The workloads inside it
#: follow the version of theirs.
VERSION: Final = 1

#: Fields of a workload that are one number each, and may be expressions.
_NUMBERS: Final = ("batch", "tokens", "context")
#: Columns that may hold expressions, by table.
_COLUMNS: Final = {
    "tensors": ("elements",),
    "kernels": ("flops", "vector_ops", "gemm"),
    "accesses": ("elements",),
}
_INT64_MAX: Final = 2**63 - 1


def with_sizes(
    workload: Workload, change: Callable[[Any], Any], integer: type[np.int64 | np.object_]
) -> Workload:
    """``workload`` with ``change`` of each size that is no number, in arrays of ``integer``."""

    def changed(size: Any) -> Any:
        return size if type(size) is int else change(size)

    def column(values: IntArray) -> IntArray:
        if values.dtype != np.object_:
            return values
        made: Any = np.array([changed(value) for value in values.ravel().tolist()], dtype=integer)
        return _frozen(made, values)

    fields: dict[str, Any] = {field: changed(getattr(workload, field)) for field in _NUMBERS}
    for table, names in _COLUMNS.items():
        rows: Any = getattr(workload, table)
        fields[table] = replace(rows, **{name: column(getattr(rows, name)) for name in names})
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

    @property
    def range(self) -> str:
        """For people, such as ``1 to 512``."""
        end = "any" if self.maximum is None else str(self.maximum)
        return f"{self.minimum} to {end}"


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

    def at(self, sizes: Mapping[str, int]) -> Workload:
        """The workload at ``sizes``; raises :class:`ExpressionError` if a size has no value."""
        known: dict[Expression, int] = {}

        def value(expression: Expression) -> int:
            if expression not in known:
                known[expression] = expression(sizes)
            return known[expression]

        found = with_sizes(self.workload, value, np.int64)
        touched, itemsize = found.accesses, found.tensors.itemsize
        moved = zip(touched.elements.tolist(), itemsize[touched.tensor].tolist(), strict=True)
        totals = (
            sum(found.kernels.flops.tolist()),
            sum(found.kernels.vector_ops.tolist()),
            sum(elements * bytes_each for elements, bytes_each in moved),
        )
        if max(totals) > _INT64_MAX:
            raise PerfmodelError(
                f"{found.name}: at {_listed(sizes)} its totals are beyond 64-bit integers"
            )
        return found


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
        try:
            return by_name[name]
        except KeyError:
            raise UnknownName(f"dimension of {self.name}", name, by_name) from None

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
            if any(condition(values) for condition in case.where):
                return case.at(values)
        regions = " or ".join(condition.text for case in self.cases for condition in case.where)
        raise UncoveredSize(f"{self.name}: the trace holds for {regions}; not {_listed(values)}")

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
                    "workload": with_sizes(case.workload, _text, np.object_).to_dict(),
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
        return _read(document, source)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
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

_Size = Annotated[int, Field(ge=1, le=_INT64_MAX)]


class _Model(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid")


class _Dimension(_Model):
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    default: _Size
    minimum: _Size
    maximum: _Size | None


class _Case(_Model):
    where: Annotated[list[str], Field(min_length=1)]
    workload: dict[str, Any]


class _Document(_Model):
    format: Literal["perfmodel.parametric_workload"]
    version: Literal[1]
    name: str
    dimensions: Annotated[list[_Dimension], Field(min_length=1)]
    cases: Annotated[list[_Case], Field(min_length=1)]


def _read(document: Any, source: str) -> ParametricWorkload:
    storage.check_version(document, source, FORMAT, VERSION)
    try:
        parsed = _Document.model_validate(document)
    except ValidationError as error:
        storage.fail(source, *storage.first_problem(error))
    names = [dimension.name for dimension in parsed.dimensions]
    if len(set(names)) < len(names):
        storage.fail(source, "dimensions", f"expected different names, found {', '.join(names)}")
    for row, dimension in enumerate(parsed.dimensions):
        if dimension.maximum is not None and dimension.maximum < dimension.minimum:
            storage.fail(source, f"dimensions[{row}].maximum", "expected at least the minimum")
    cases = []
    for row, case in enumerate(parsed.cases):
        reader = _Reader(frozenset(names), source, f"cases[{row}]")
        where = tuple(
            reader.checked(Condition, text, f"where[{i}]") for i, text in enumerate(case.where)
        )
        cases.append(Case(where, reader.workload(case.workload)))
    dimensions = tuple(Dimension(**dimension.model_dump()) for dimension in parsed.dimensions)
    return ParametricWorkload(parsed.name, dimensions, tuple(cases))


class _Reader:
    """Reads one case of a document, and checks its expressions."""

    def __init__(self, names: frozenset[str], source: str, place: str) -> None:
        self._names = names
        self._source = source
        self._place = place
        self._known: dict[str, Expression] = {}

    def workload(self, document: Mapping[str, Any]) -> Workload:
        """The workload of a document in which texts may stand for sizes."""
        held = dict(document)
        for field in _NUMBERS:
            held[field] = self._sizes(held.get(field), field)
        if isinstance(held.get("inputs"), list):
            held["inputs"] = [
                self._in(spec, ("shape",), f"inputs[{row}]")
                for row, spec in enumerate(held["inputs"])
            ]
        for table, columns in _COLUMNS.items():
            names = [*columns, *(storage.GEMM if "gemm" in columns else ())]
            held[table] = self._in(held.get(table), names, table)
        read = Workload.from_dict(_plain(held), source=f"{self._source}: {self._place}.workload")
        kernels = held["kernels"]
        kernels["gemm"] = list(zip(*(kernels[name] for name in storage.GEMM), strict=True))
        fields: dict[str, Any] = {field: held[field] for field in _NUMBERS}
        for table, columns in _COLUMNS.items():
            rows: Any = getattr(read, table)
            fields[table] = replace(
                rows, **{name: _column(getattr(rows, name), held[table][name]) for name in columns}
            )
        inputs = tuple(
            InputSpec(spec.name, tuple(given["shape"]), spec.dtype)
            for spec, given in zip(read.inputs, held["inputs"], strict=True)
        )
        return replace(read, inputs=inputs, **fields)

    def _in(self, holder: Any, names: Collection[str], place: str) -> Any:
        """``holder``, with expressions for the texts in those columns of it."""
        if not isinstance(holder, dict):
            return holder  # The ordinary reader complains.
        return {
            name: self._sizes(value, f"{place}.{name}") if name in names else value
            for name, value in holder.items()
        }

    def _sizes(self, value: Any, place: str) -> Any:
        if isinstance(value, list):
            return [
                self._sizes(size, f"{place}[{row}]") if isinstance(size, str) else size
                for row, size in enumerate(value)
            ]
        if isinstance(value, str) and value not in self._known:
            self._known[value] = self.checked(Expression, value, f"workload.{place}")
        return self._known[value] if isinstance(value, str) else value

    def checked(self, kind: Any, text: str, place: str) -> Any:
        """``text`` as an Expression or a Condition; refuses it by its ``place``."""
        place = f"{self._place}.{place}"
        try:
            expression = kind(text)
        except ExpressionError as error:
            storage.fail(self._source, place, str(error))
        unknown = sorted(expression.names - self._names)
        if unknown:
            known = ", ".join(sorted(self._names))
            storage.fail(
                self._source, place, f"expected the dimensions {known}, found {unknown[0]}"
            )
        return expression


def _plain(value: Any) -> Any:
    """``value`` with the least that every field allows in the place of expressions."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return 1 if isinstance(value, Expression) else value


def _column(numbers: IntArray, sizes: list[Any]) -> IntArray:
    """``sizes`` as an array of objects, or ``numbers`` where these are all."""
    found: Any = np.array(sizes, dtype=np.object_)
    if not any(isinstance(size, Expression) for size in found.ravel().tolist()):
        return numbers
    return _frozen(found, numbers)


def _frozen(sizes: IntArray, like: IntArray) -> IntArray:
    sizes.setflags(write=False)
    return sizes.reshape(like.shape)


def _text(expression: Expression) -> str:
    return expression.text


def _listed(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items())
