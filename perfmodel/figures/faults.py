"""What is wrong with a part of a description: what was found, and what was expected."""

from __future__ import annotations


class Fault(ValueError):
    """A value that is not as expected; who reads the whole file says where.

    Attributes:
        found, expected: in words.
        path: of the field, below the record that was checked.
    """

    def __init__(self, found: str, expected: str, path: tuple[str, ...] = ()) -> None:
        super().__init__(f"{found}; expected {expected}")
        self.found, self.expected, self.path = found, expected, path


def fault_at(path: tuple[str, ...], found: str, expected: str) -> Fault:
    """Return the fault of a field at ``path`` below the record that checks it."""
    return Fault(found, expected, path)
