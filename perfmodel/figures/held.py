"""What plain fields of a record are held to when a file is read."""

from __future__ import annotations

from typing import Annotated, Any, Final


class Held:
    """Annotation: what a field is held to, in the words of Pydantic's ``Field``.

    Pydantic is imported where a file is read, and not where a description is used.
    """

    def __init__(self, **rules: Any) -> None:
        self.rules: Final = rules

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        from pydantic import Field

        return handler.generate_schema(Annotated[source, Field(**self.rules)])


#: Neither 1.0 nor true is a whole number.
Whole = Annotated[int, Held(strict=True)]
#: At least 1.
Natural = Annotated[int, Held(strict=True, ge=1)]
#: Above 0.
Positive = Annotated[float, Held(gt=0, allow_inf_nan=False)]
#: That is not empty.
Text = Annotated[str, Held(min_length=1)]
