"""What a CPU or an instance costs: as given, or as its file lists it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.machine import Machine
from perfmodel.vocabulary import ranges

SECONDS_PER_HOUR: Final = 3600.0


def price_path(machine: Machine, region: str | None) -> str | None:
    """Return the path of the figure that is the price; None where the machine has none.

    Args:
        region: of an instance; by default the first that has a price.
    """
    if machine.rental is None:
        return "price.launch" if machine.price.launch else None
    chosen = region or next(iter(machine.rental.price), None)
    return f"rental.price.{chosen}" if chosen in machine.rental.price else None


def prices(
    machines: Sequence[Machine], given: Mapping[str, float], region: str | None = None
) -> tuple[dict[str, float], tuple[str, ...]]:
    """Return prices by id, as given or as listed, and a line for each machine without one.

    That of a CPU is in USD, that of an instance in USD per hour.

    Args:
        region: where instances are rented.

    Raises:
        UnknownName: a given price for a CPU that is none of ``machines``.
        PerfmodelError: no CPU has a price, or one is not above zero.
    """
    ids = [machine.id for machine in machines]
    for cpu, price in given.items():
        if cpu not in ids:
            raise UnknownName("CPU in --price", cpu, ids)
        rented = machines[ids.index(cpu)].rental is not None
        (ranges.RENT if rented else ranges.PRICE).check(f"price of {cpu}", price)
    known, lines = {}, {}
    for machine in machines:
        path = price_path(machine, region)
        if machine.id in given:
            known[machine.id] = given[machine.id]
        elif path is None:
            lines[machine.id] = _unpriced(machine, region)
        else:
            price = machine.figures()[path].typical
            known[machine.id] = price * (1.0 if machine.rental is None else SECONDS_PER_HOUR)
    if not known:
        if all(machine.rental is None for machine in machines):
            raise PerfmodelError(
                f"no CPU here has a list price ({', '.join(lines)}): state one, "
                f"as in --price {next(iter(lines))}=9000"
            )
        raise PerfmodelError("; ".join(lines.values()))
    return known, tuple(lines.values())


def _unpriced(machine: Machine, region: str | None) -> str:
    if machine.rental is None:
        return f"{machine.id} is left out: it has no list price; state one"
    where = "" if region is None else f" in {region}"
    others = ", ".join(machine.rental.price)
    known = f"there are prices of {others}: choose one, or state" if others else "state"
    return f'{machine.id} has no price{where}: {known} --price {machine.id}="1.5 USD/h"'
