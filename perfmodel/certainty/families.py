"""Which machines are alike: what a machine's error is expected to have in common with others'."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from perfmodel.machine import Machine

#: Vendors by the mapper that knows their CPUs; others are the first word of a machine's name.
_BY_MAPPER: Final = {"intel": "Intel", "amd": "AMD"}
_BY_WORD: Final = {"AmpereOne": "Ampere"}


@dataclass(frozen=True)
class Identity:
    """What a machine is, as far as its error goes.

    Attributes:
        machine: its id.
        core: the name of its microarchitecture.
        vendor: who makes the CPU.
    """

    machine: str
    core: str
    vendor: str


def identity(machine: Machine) -> Identity:
    """Return what tells this machine from others and groups it with some."""
    word = machine.name.split()[0]
    vendor = _BY_MAPPER.get(machine.mapper) or _BY_WORD.get(word, word)
    return Identity(machine.id, machine.core.name, vendor)
