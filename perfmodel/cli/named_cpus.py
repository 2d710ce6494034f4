"""The machines that ``--cpu`` names, changed as ``--set`` says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from perfmodel.cli.rendering import note
from perfmodel.errors import PerfmodelError

if TYPE_CHECKING:
    from perfmodel.machine import Machine
    from perfmodel.scenario import Scenario


def machines(
    cpus: Sequence[str] | None,
    settings: Sequence[str] | None,
    sockets: int = 1,
    *,
    run: Scenario | None = None,
    least: int = 1,
) -> list[Machine]:
    """The machines that ``--cpu`` names, with every ``--set`` applied and noted on stderr.

    What a file takes over from its base and cannot be meant is noted, too. Where none is named and
    nothing is set, they are the default ones that ``run`` runs on, if they are ``least`` in number.
    """
    from perfmodel.comparison import DEFAULT_CPUS, usual_cpus
    from perfmodel.machine import load_machine
    from perfmodel.machine.settings import with_settings

    named = cpus or DEFAULT_CPUS
    if run is not None and not (cpus or settings):
        named = usual_cpus(run, note, least)
    found = with_settings([load_machine(cpu) for cpu in named], settings or ())
    for setting in settings or ():
        note(f"what if: {setting}")
    note_doubts(named)
    return [load_machine(machine, sockets=sockets) for machine in found]


def note_doubts(cpus: Sequence[str]) -> None:
    """Note what files among ``cpus`` take over from their base and cannot be meant."""
    from perfmodel.machine.inheritance import inheritance

    for cpu in cpus:
        taken = inheritance(cpu) if cpu.endswith(".toml") and Path(cpu).is_file() else None
        for doubt in () if taken is None else taken.doubts:
            note(f"{cpu}: {doubt}")


def one_machine(cpus: Sequence[str], settings: Sequence[str] | None) -> Machine:
    """The one machine of a command that takes one; several are a PerfmodelError."""
    if len(cpus) > 1:
        raise PerfmodelError(f"one --cpu is expected here, found {len(cpus)}: {', '.join(cpus)}")
    (machine,) = machines(cpus, settings)
    return machine


def different_machines(
    cpus: Sequence[str] | None,
    settings: Sequence[str] | None,
    sockets: int = 1,
    *,
    run: Scenario | None = None,
) -> list[Machine]:
    """:func:`machines`, where one twice makes no sense: that is a PerfmodelError."""
    found = machines(cpus, settings, sockets, run=run)
    ids = [machine.id for machine in found]
    twice = next((cpu for cpu in ids if ids.count(cpu) > 1), None)
    if twice is not None:
        raise PerfmodelError(f"two CPUs have the id {twice!r}: name each once, by an id of its own")
    return found


def cpus_or_machines(
    cpus: Sequence[str] | None, settings: Sequence[str] | None, sockets: int = 1
) -> list[str | Machine] | None:
    """What ``--cpu`` names, as it stands; where an option changes a CPU, the changed machine."""
    from perfmodel.comparison import DEFAULT_CPUS

    if sockets > 1:
        return list(machines(cpus, settings, sockets))
    if not settings:
        note_doubts(cpus or ())
        return list(cpus) if cpus else None
    named = cpus or DEFAULT_CPUS
    changed = {setting.strip().partition("=")[0] for setting in settings}
    return [
        machine if any(target.startswith(f"{machine.id}.") for target in changed) else name
        for name, machine in zip(named, machines(named, settings), strict=True)
    ]
