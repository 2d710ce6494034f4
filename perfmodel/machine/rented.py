"""Instances of cloud providers: families in TOML, and the machine that one size of a family is.

A family file names the CPU, how many vCPUs a core is sold as, the sizes, and prices by region. An
instance has its cores, and its share of what the cores of a socket share; one that is a whole
socket has all of it, and one with more cores than a socket has an equal part of several.
"""

from __future__ import annotations

import datetime
import functools
import math
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Annotated, Any, Final

from perfmodel._files import read_toml
from perfmodel.errors import MachineError, UnknownName
from perfmodel.figures.checking import validated
from perfmodel.figures.faults import fault_at
from perfmodel.figures.figure import CoreCount, Figure, MemorySize, Origin, PartCount, Rent
from perfmodel.figures.files import read_description
from perfmodel.figures.held import Held, Text
from perfmodel.figures.record import Record, tree_of
from perfmodel.machine.parts import MOST_SOCKETS, joined, part_of
from perfmodel.machine.schema import Machine
from perfmodel.machine.tables import Region

_FOLDER: Final = Path(__file__).parent / "instances"
#: What a family file should have been that is not there.
_EXPECTED: Final = "a TOML file of instances, see perfmodel cpus --instances"
#: The key that tells a family file from a machine file.
SIZES: Final = "sizes"
#: Between the path of a family file of one's own and the size that is meant.
_CHOICE: Final = ":"

SizeName = Annotated[str, Held(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


class Size(Record):
    """One size of a family.

    Attributes:
        vcpus: logical CPUs as the provider counts them.
        memory: what it has.
        sockets: over which its cores are spread equally; as few as hold them unless given.
    """

    vcpus: CoreCount
    memory: MemorySize
    sockets: PartCount | None = None


def _cite(entries: Mapping[str, Any], raw: Mapping[str, Any]) -> dict[str, Any]:
    """Give ``entries`` that are no tables the confidence and source that ``raw`` has for all."""
    common = {key: raw[key] for key in ("confidence", "source") if key in raw}
    return {
        name: common | (entry if isinstance(entry, dict) else {"value": entry})
        for name, entry in entries.items()
    }


class Prices(Record):
    """On-demand prices of one region.

    Attributes:
        date: when they held, ISO 8601.
        hour: by size; with the confidence and source of the table where they have none.
    """

    date: datetime.date
    confidence: str = "stated"
    source: str | None = None
    hour: Annotated[Mapping[SizeName, Rent], Held(min_length=1)]

    @classmethod
    def completed(cls, raw: Any, origin: Origin | None) -> Any:
        """Give each price what the table says of all."""
        if not isinstance(raw, dict) or not isinstance(raw.get("hour"), dict):
            return raw
        return raw | {"hour": _cite(raw["hour"], raw)}


class Family(Record):
    """Instances of one provider that are parts of the same CPU.

    Attributes:
        cpu: id of a catalogue CPU, or the path of a machine file, from the family's folder on.
        vcpus_per_core: 2 where a vCPU is a hardware thread, 1 where it is a core.
        cores_of_socket: cores of a socket that are rented out; all of them unless given.
        confidence, source: of the sizes.
    """

    provider: Text
    name: Text
    notes: str = ""
    cpu: str
    vcpus_per_core: PartCount
    cores_of_socket: CoreCount | None = None
    confidence: str = "stated"
    source: str | None = None
    sizes: Annotated[Mapping[SizeName, Size], Held(min_length=1)]
    price: Mapping[Region, Prices] = field(default_factory=dict)

    @classmethod
    def completed(cls, raw: Any, origin: Origin | None) -> Any:
        """Give each figure of a size what the file says of all."""
        if not isinstance(raw, dict) or not isinstance(raw.get(SIZES), dict):
            return raw
        sizes = {
            name: _cite(size, raw) if isinstance(size, dict) else size
            for name, size in raw[SIZES].items()
        }
        return raw | {SIZES: sizes}

    def consistent(self) -> None:
        """Raise a Fault where fields do not fit each other."""
        each = int(self.vcpus_per_core.typical)
        for name, size in self.sizes.items():
            if size.vcpus.typical > 1 and size.vcpus.typical % each:
                found = f"{size.vcpus} vCPUs at {each} a core"
                raise fault_at((SIZES, name, "vcpus"), found, "whole cores")
        for region, prices in self.price.items():
            for name in prices.hour:
                if name not in self.sizes:
                    found = f"no size {name!r}"
                    raise fault_at(("price", region, "hour", name), found, "one of sizes")

    def cores(self, size: Size) -> int:
        """Return the physical cores of a size: half a core is one."""
        return max(1, int(size.vcpus.typical / self.vcpus_per_core.typical))


@functools.cache
def instances() -> Mapping[str, str]:
    """Return the name of each instance that comes with perfmodel, with that of its family."""
    found: dict[str, str] = {}
    for path in sorted(_FOLDER.glob("*.toml")):
        # The names alone: a family is validated when one of its instances is asked for.
        for name in read_toml(path, path.name, MachineError)[SIZES]:
            if name in found:
                raise MachineError(f"{path.name}: {SIZES}.{name}: {found[name]}.toml has it too")
            found[name] = path.stem
    return found


@functools.cache
def families() -> tuple[str, ...]:
    """Return the names of the families that come with perfmodel, sorted."""
    return tuple(sorted(set(instances().values())))


@functools.cache
def family(name: str) -> Family:
    """Return a family that comes with perfmodel."""
    return _read(_FOLDER / f"{name}.toml", f"{name}.toml")


def family_of(path: Path, shown: str) -> Family | None:
    """Return the family that the file ``path`` describes; None where it describes a machine.

    Raises:
        MachineError: not readable, or no valid family.
    """
    tree, _ = read_description(path, shown, _EXPECTED)
    return _read(path, shown) if SIZES in tree else None


def chosen(text: str) -> tuple[str, str | None]:
    """Return the path and the size in ``FILE.toml:SIZE``; None where none is named."""
    path, colon, size = text.rpartition(_CHOICE)
    return (path, size) if colon and path.endswith(".toml") else (text, None)


def size_of(family: Family, name: str | None, shown: str) -> str:
    """Return the size of a family of one's own that is meant.

    Raises:
        UnknownName: no such size.
        MachineError: several, and none is named.
    """
    if name is None:
        if len(family.sizes) == 1:
            return next(iter(family.sizes))
        sizes = list(family.sizes)
        raise MachineError(
            f"{shown} has {len(sizes)} sizes: name one, as in {shown}{_CHOICE}{sizes[0]}"
        )
    if name not in family.sizes:
        raise UnknownName(f"size in {shown}", name, family.sizes)
    return name


def machine_of(family: Family, name: str, cpu: Machine, shown: str) -> Machine:
    """Return the machine that the size ``name`` of ``family`` is, a part of ``cpu`` or several.

    Raises:
        MachineError: more cores than its sockets have, or than there are sockets for.
    """
    size, whole = family.sizes[name], family.cores_of_socket or cpu.cores.count
    cores, of = family.cores(size), int(whole.typical)
    if of > cpu.cores.count.typical:
        raise MachineError(f"{shown}: cores_of_socket: {of}; expected at most {cpu.cores.count}")
    sockets = math.ceil(cores / of) if size.sockets is None else int(size.sockets.typical)
    if cores > sockets * of or cores % sockets or sockets > MOST_SOCKETS:
        raise MachineError(
            f"{shown}: {SIZES}.{name}: {cores} cores on {sockets} sockets; expected an equal part "
            f"of at most {of} cores of {cpu.id} on each"
        )
    each = cores // sockets
    own = cpu if each == cpu.cores.count.typical else part_of(cpu, each, of)
    machine = joined(own, sockets)
    rental = {
        "provider": family.provider,
        "cpu": cpu.id,
        "vcpus": size.vcpus,
        "price": {
            region: _dated(prices.hour[name], prices.date)
            for region, prices in family.price.items()
            if name in prices.hour
        },
    }
    threads = min(cpu.cores.threads_per_core, family.vcpus_per_core, key=float)
    part = "" if each == of else f", {each} of its {of} cores"
    machine = machine.with_values(
        {"memory.capacity": size.memory, "cores.threads_per_core": threads}
    )
    tree = tree_of(machine)
    tree["price"] = {}
    tree |= {
        "id": name,
        "name": f"{family.provider} {name}: {sockets} x {cpu.name}{part}",
        "notes": family.notes,
        "rental": rental,
    }
    if part:
        basis = "" if cpu.power.basis.lower() == "tdp" else f": {cpu.power.basis}"
        tree["power"] |= {"basis": f"its share of the {cpu.id} by cores{basis}"}
    return validated(Machine, tree, Origin(shown, {}))


def _dated(price: Figure, date: datetime.date) -> Figure:
    """``price`` with its date in the source."""
    low, typical, high = price.low, price.typical, price.high
    source = f"{price.source}; on {date.isoformat()}"
    return Figure(low, typical, high, price.unit, price.confidence, source)


def _read(path: Path, shown: str) -> Family:
    tree, origin = read_description(path, shown, _EXPECTED)
    return validated(Family, tree, origin)
