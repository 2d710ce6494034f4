"""Records, figures and tables as Pydantic reads them; import this module where a file is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from pydantic import GetCoreSchemaHandler, ValidationInfo, ValidatorFunctionWrapHandler
from pydantic_core import PydanticCustomError, core_schema

from perfmodel.figures.faults import Fault

#: Pydantic's name for the errors that are made here.
KIND = "fault"


class _Record(Protocol):
    def consistent(self) -> None:
        """Raise a Fault."""


def of_values(check: Callable[[Any, Any], object]) -> core_schema.CoreSchema:
    """Return the schema of what ``check`` makes of a value and of the context."""

    def checked(raw: Any, info: ValidationInfo) -> object:
        try:
            return check(raw, info.context)
        except Fault as fault:
            raise _told(fault) from None

    return core_schema.with_info_plain_validator_function(checked)


def of_record(
    record: type[_Record],
    hints: Mapping[str, Any],
    required: Iterable[str],
    complete: Callable[[Any, Any], Any],
    handler: GetCoreSchemaHandler,
) -> core_schema.CoreSchema:
    """Return the schema of a table that becomes a ``record``; a record is taken as it is.

    Args:
        hints: of its fields.
        required: fields that have to be there.
        complete: makes of a table and of the context the table that is checked.
    """
    fields = {
        name: core_schema.typed_dict_field(handler.generate_schema(hint), required=name in required)
        for name, hint in hints.items()
    }
    table = core_schema.typed_dict_schema(fields, extra_behavior="forbid")

    def made(raw: Any, inner: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        if isinstance(raw, record):
            return raw
        try:
            found = record(**inner(complete(raw, info.context)))
            found.consistent()
        except Fault as fault:
            raise _told(fault) from None
        return found

    return core_schema.with_info_wrap_validator_function(made, table)


def _told(fault: Fault) -> PydanticCustomError:
    context = {"found": fault.found, "expected": fault.expected, "path": fault.path}
    return PydanticCustomError(KIND, "{found}; expected {expected}", context)
