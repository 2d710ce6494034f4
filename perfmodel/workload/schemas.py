"""What the documents of workloads hold, checked by Pydantic.

Import this module where a file of someone's is read: Pydantic's import takes longer than a file.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WrapValidator,
)
from pydantic_core import PydanticCustomError

from perfmodel.errors import PerfmodelError
from perfmodel.workload.documents import fail, show
from perfmodel.workload.tables import INT64_MAX

_Kind = TypeVar("_Kind", bound=BaseModel)


class Model(BaseModel):
    """A part of a document; strict: neither 1.0 nor true nor "1" is an integer."""

    model_config = ConfigDict(strict=True, extra="forbid")


def checked(model: type[_Kind], document: Any, source: str, context: Any = None) -> _Kind:
    """``document`` as a ``model``.

    Raises :class:`~perfmodel.errors.WorkloadFormatError`, naming ``source``, the field and
    what was expected there.
    """
    try:
        return model.model_validate(document, context=context)
    except ValidationError as error:
        fail(source, *_first_problem(error))


def _first_problem(error: ValidationError) -> tuple[str, str]:
    """Field and expectation of the first thing pydantic found wrong."""
    problem = error.errors(include_url=False)[0]
    field = ""
    for part in problem["loc"]:
        field += f"[{part}]" if isinstance(part, int) else f".{part}" if field else str(part)
    if problem["type"] == "missing":
        return field, "expected this field, it is missing"
    if problem["type"] == "extra_forbidden":
        return field, "not a field of this format version"
    if problem["type"] == "size":
        return field, problem["msg"]
    message = problem["msg"].removeprefix("Input should be ")
    return field, f"expected {message}, found {show(problem['input'])}"


_Count = Annotated[int, Field(ge=0, le=INT64_MAX)]
_Positive = Annotated[int, Field(ge=1, le=INT64_MAX)]


def _text_or_number(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """A size, or what the reader of this document makes of a text in the place of one."""
    if info.context is None or not isinstance(value, str):
        return check(value)
    try:
        return info.context(value)
    except PerfmodelError as error:
        raise PydanticCustomError("size", "{why}", {"why": str(error)}) from None


def _texts_or_numbers(value: Any, check: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
    """A column of sizes: one call, unless there may be texts among them."""
    if info.context is None:
        return check(value)
    return _ROWS.validate_python(value, strict=True, context=info.context)


_Size = Annotated[_Count, WrapValidator(_text_or_number)]
_ROWS: Final = TypeAdapter(list[_Size])
_Sizes = Annotated[list[_Count], WrapValidator(_texts_or_numbers)]


class _Input(Model):
    name: str
    shape: _Sizes
    dtype: str


class _Tensors(Model):
    name: list[str]
    kind: list[Literal["weight", "input", "activation", "state"]]
    elements: _Sizes
    itemsize: list[_Positive]
    floating: list[bool]


class _Kernels(Model):
    name: list[str]
    operator: list[str]
    family: list[str]
    flops: _Sizes
    vector_ops: _Sizes
    gemm_batch: _Sizes
    gemm_m: _Sizes
    gemm_n: _Sizes
    gemm_k: _Sizes


class _Accesses(Model):
    kernel: list[_Count]
    tensor: list[_Count]
    role: list[Literal["weight", "input", "output"]]
    elements: _Sizes


class WorkloadDocument(Model):
    """A workload, as :mod:`perfmodel.workload.storage` writes it."""

    format: Literal["perfmodel.workload"]
    version: Literal[1]
    name: str
    batch: Annotated[_Positive, WrapValidator(_text_or_number)]
    parameters: _Count
    flops_per_mac: Literal[2]
    inputs: list[_Input]
    provenance: dict[str, str]
    unmodelled: list[str]
    phase: Literal["prefill", "decode"] | None
    tokens: _Size
    context: _Size
    tensors: _Tensors
    kernels: _Kernels
    accesses: _Accesses


class _Dimension(Model):
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    default: _Positive
    minimum: _Positive
    maximum: _Positive | None


class CaseDocument(Model):
    """One case of a parametric workload."""

    where: Annotated[list[str], Field(min_length=1)]
    workload: dict[str, Any]


class ParametricDocument(Model):
    """A parametric workload, as :mod:`perfmodel.workload.parametric` writes it."""

    format: Literal["perfmodel.parametric_workload"]
    version: Literal[1]
    name: str
    dimensions: Annotated[list[_Dimension], Field(min_length=1)]
    cases: Annotated[list[CaseDocument], Field(min_length=1)]
