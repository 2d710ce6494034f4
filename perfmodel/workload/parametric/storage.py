"""Parametric workloads as JSON files; docs/workload-format.md describes the document.

The workload in a case is an ordinary workload document in which a size may be an expression. It is
read by the ordinary reader, with placeholders for expressions, so both kinds of file are checked by
the same rules. No torch and no sympy is imported.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from perfmodel._files import write_atomically
from perfmodel.errors import PerfmodelError
from perfmodel.workload import storage
from perfmodel.workload.parametric.expressions import (
    Condition,
    Expression,
    ExpressionError,
)
from perfmodel.workload.parametric.parametric import Case, Dimension, Holes, ParametricWorkload

FORMAT: Final = "perfmodel.parametric_workload"
#: Version of the document this release writes, and the only one it reads. The workloads inside it
#: follow the version of theirs.
VERSION: Final = 1

#: Fields that are one number each, and may be expressions.
NUMBERS: Final = ("batch", "tokens", "context")
#: Columns that may hold expressions, by table; the loops of a product are one array.
_GEMM: Final = ("gemm_batch", "gemm_m", "gemm_n", "gemm_k")
_COLUMNS: Final = {
    "tensors": ("elements",),
    "kernels": ("flops", "vector_ops", *_GEMM),
    "accesses": ("elements",),
}
#: Stands for an expression while the rest is checked: the least that every field allows.
_PLACEHOLDER: Final = 1

_Size = Annotated[int, Field(ge=1, le=2**63 - 1)]


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


def save(workload: ParametricWorkload, path: str | Path) -> None:
    """Write ``workload`` to ``path``, which holds the old file or the new one at any moment.

    Raises :class:`~perfmodel.errors.PerfmodelError` if the file cannot be written.
    """
    document = workload.to_dict()
    cases = ",\n".join(f"  {storage.layout(case, '  ')}" for case in document["cases"])
    head = storage.layout({key: value for key, value in document.items() if key != "cases"})
    text = head.removesuffix("\n}") + f',\n "cases": [\n{cases}\n ]\n}}\n'
    try:
        write_atomically(Path(path), text)
    except OSError as error:
        raise PerfmodelError(f"cannot write {path}: {error.strerror or error}") from error


def load(path: str | Path) -> ParametricWorkload:
    """Read what :func:`save` wrote.

    Raises :class:`~perfmodel.errors.WorkloadFormatError` for anything else, naming the file, the
    field and what was expected there.
    """
    return from_dict(storage.read(path), source=str(path))


def is_parametric(document: object) -> bool:
    """Whether ``document`` says that it is one of this kind."""
    return isinstance(document, Mapping) and document.get("format") == FORMAT


def from_dict(document: Any, *, source: str = "workload") -> ParametricWorkload:
    """The workload of a document that :meth:`ParametricWorkload.to_dict` made.

    Raises :class:`~perfmodel.errors.WorkloadFormatError`, naming ``source``, the field and what was
    expected there.
    """
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
    reader = _Reader(frozenset(names), source)
    return ParametricWorkload(
        name=parsed.name,
        dimensions=tuple(
            Dimension(d.name, d.default, d.minimum, d.maximum) for d in parsed.dimensions
        ),
        cases=tuple(reader.case(case, row) for row, case in enumerate(parsed.cases)),
        _document=document,
    )


class _Reader:
    """Turns the cases of one document into arrays with holes."""

    def __init__(self, names: frozenset[str], source: str) -> None:
        self._names = names
        self._source = source

    def case(self, case: _Case, row: int) -> Case:
        place = f"cases[{row}]"
        where = tuple(
            self._checked(Condition, text, f"{place}.where[{i}]")
            for i, text in enumerate(case.where)
        )
        document = dict(case.workload)
        self._place = f"{place}.workload"
        self._expressions: dict[str, int] = {}
        self._parsed: list[Expression] = []

        numbers = {field: self._size(document, field) for field in NUMBERS}
        shapes = self._input_shapes(document)
        holes: dict[str, Holes] = {}
        for table, columns in _COLUMNS.items():
            held = document.get(table)
            if not isinstance(held, dict):
                continue  # The ordinary reader complains.
            held = document[table] = dict(held)
            for column in columns:
                if isinstance(held.get(column), list):
                    found = self._column(held, column, f"{table}.{column}")
                    self._add(holes, table, column, found)
        template = storage.from_dict(document, source=f"{self._source}: {self._place}")
        return Case(
            where=where,
            template=template,
            expressions=tuple(self._parsed),
            numbers=numbers,
            input_shapes=shapes,
            holes=holes,
        )

    def _column(self, held: dict[str, Any], column: str, place: str) -> tuple[list[int], list[int]]:
        """Rows and expressions of the texts in a column, where placeholders are put."""
        values = held[column]
        rows = [row for row, value in enumerate(values) if isinstance(value, str)]
        found = [self._index(values[row], f"{place}[{row}]") for row in rows]
        if rows:
            values = held[column] = list(values)
            for row in rows:
                values[row] = _PLACEHOLDER
        return rows, found

    @staticmethod
    def _add(
        holes: dict[str, Holes], table: str, column: str, found: tuple[list[int], list[int]]
    ) -> None:
        rows, expression = (np.array(part, dtype=np.int64) for part in found)
        if not len(rows):
            return
        key = f"{table}.{column}"
        if column in _GEMM:
            key, rows = f"{table}.gemm", rows * len(_GEMM) + _GEMM.index(column)
            if key in holes:
                rows = np.concatenate([holes[key].rows, rows])
                expression = np.concatenate([holes[key].expression, expression])
        holes[key] = Holes(rows, expression)

    def _index(self, text: str, place: str) -> int:
        index = self._expressions.get(text)
        if index is None:
            self._parsed.append(self._checked(Expression, text, f"{self._place}.{place}"))
            index = self._expressions[text] = len(self._parsed) - 1
        return index

    def _size(self, document: dict[str, Any], key: str) -> Any:
        value = document.get(key, 0)
        if isinstance(value, str):
            document[key] = _PLACEHOLDER
            return self._parsed[self._index(value, key)]
        return value

    def _input_shapes(self, document: dict[str, Any]) -> tuple[tuple[Any, ...], ...]:
        inputs = document.get("inputs")
        if not isinstance(inputs, list):
            return ()
        shapes = []
        document["inputs"] = [dict(i) if isinstance(i, dict) else i for i in inputs]
        for number, spec in enumerate(document["inputs"]):
            if isinstance(spec, dict) and isinstance(spec.get("shape"), list):
                shape = list(spec["shape"])
                spec["shape"] = [_PLACEHOLDER if isinstance(s, str) else s for s in shape]
                shapes.append(
                    tuple(
                        self._parsed[self._index(size, f"inputs[{number}].shape[{axis}]")]
                        if isinstance(size, str)
                        else size
                        for axis, size in enumerate(shape)
                    )
                )
        return tuple(shapes)

    def _checked(self, kind: Any, text: str, place: str) -> Any:
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
