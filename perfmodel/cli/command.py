"""Commands of Typer that have values converted only where there is something to convert."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, get_origin

from typer.core import TyperCommand


class Command(TyperCommand):
    """A command that takes values that are what it wants as they are given."""

    def get_params(self, ctx: Any) -> Any:
        """Return the parameters of the command, its ``--help`` among them."""
        return as_given(super().get_params(ctx))


def as_given(parameters: list[Any]) -> list[Any]:
    """Have Typer convert no value of these parameters that is what they want.

    Typer converts every value by Pydantic, a text to a text and an absent one too, and the import
    of that takes longer than a comparison.
    """
    for parameter in parameters:
        if hasattr(parameter, "get_runtime_param") and not hasattr(parameter, "as_given"):
            described, convert = parameter.type_descriptor, parameter.get_runtime_param
            if described.parameter_info.parser is not None:
                continue
            given = _Given(described.annotation, convert)
            vars(parameter).update(as_given=given, get_runtime_param=lambda given=given: given)
    return parameters


class _Given:
    """What Typer converts values by, in its own terms; whatever needs it is left to Typer."""

    def __init__(self, wanted: Any, otherwise: Callable[[], Any]) -> None:
        self._wanted, self._otherwise = wanted, otherwise

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        several = param.multiple or param.nargs == -1
        if value is None:
            return () if several else None
        texts = value if several else (value,)
        if self._wanted in (str, list[str]) and all(type(text) is str for text in texts):
            return list(value) if several else value
        if get_origin(self._wanted) is Literal and value in self._wanted.__args__:
            return value
        # A flag's own value, or the command's own default.
        if type(value) is self._wanted is bool or (
            type(value) in (int, float) and value == param.default
        ):
            return value
        return self._otherwise().coerce(value, param=param, ctx=ctx)
