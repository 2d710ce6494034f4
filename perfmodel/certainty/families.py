"""Which machines are alike: what a machine's error is expected to have in common with others'."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from perfmodel.machine.catalog import IDENTITY

if TYPE_CHECKING:
    from perfmodel.machine import Machine

#: Figures that another chip of a microarchitecture has otherwise: its controllers of memory, too.
_CHIP: Final = (*IDENTITY, "memory.channels")
#: Vendors whose mappers know no CPUs but theirs; of others a machine's file states the vendor.
_BY_MAPPER: Final = {"intel": "Intel", "amd": "AMD"}


@dataclass(frozen=True)
class Identity:
    """What a machine is, as far as its error goes.

    Attributes:
        machine: its id.
        core: the name of its microarchitecture.
        vendor: who makes the CPU; empty where nothing says so.
        chip: what tells chips of that microarchitecture apart; machines that have it in common
            differ in what is around the chip, or in what was assumed of it.
    """

    machine: str
    core: str
    vendor: str
    chip: tuple[float, ...] = ()

    @property
    def own(self) -> Hashable:
        """What has an error of its own: the chip, or a machine of which no chip is stated."""
        return (self.core, self.chip) if self.chip else self.machine


def identity(machine: Machine) -> Identity:
    """Return what tells this machine from others and groups it with some; its name is not in it."""
    vendor = machine.vendor or _BY_MAPPER.get(machine.mapper, "")
    figures = machine.figures()
    chip = tuple(figures[path].typical for path in _CHIP)
    return Identity(machine.id, machine.core.name, vendor, chip)
