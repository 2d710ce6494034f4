"""The models and CPUs that a comparison is of, found before anything is traced."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.resolve import Model, ModelSource, models_in, resolve_model
from perfmodel.scenario import Scenario
from perfmodel.vocabulary import words

if TYPE_CHECKING:
    from perfmodel.machine import Machine

ROOFLINE, PUBLISHED = words.METHODS
#: The CPUs compared when none are named: one of each vendor, those of the published table.
DEFAULT_CPUS: Final = ("xeon_8490h", "epyc_9654", "ampereone_192")

#: A catalogue id, the path of a machine TOML file, or a machine.
Cpu: TypeAlias = "str | os.PathLike[str] | Machine"


@dataclass(frozen=True)
class ChosenCpu:
    """A CPU with what each method knows of it."""

    id: str
    origin: str
    machine: Machine | None
    published: bool


def models_of(
    models: Model | Iterable[Model] | None,
    run: Scenario,
    allow_unmodelled: bool,
    allow_masks: bool = False,
) -> list[ModelSource]:
    """Return the models that are named, each once; by default those of the published table.

    Raises:
        PerfmodelError: two models of one name; else as :func:`perfmodel.resolve.resolve_model`.
    """
    from perfmodel.models import zoo

    given = zoo.DEFAULT_MODELS if models is None else models_in(models)
    sources: dict[str, ModelSource] = {}
    for model in given:
        source = resolve_model(
            model, run, allow_unmodelled=allow_unmodelled, allow_masks=allow_masks
        )
        known = sources.setdefault(source.name, source)
        if known.origin != source.origin:
            raise PerfmodelError(
                f"two models are called {source.name!r}: {known.origin} and {source.origin}"
            )
    return list(sources.values())


def cpus_in(given: Cpu | Iterable[Cpu]) -> tuple[Cpu, ...]:
    """Return what is given as one CPU or several."""
    from perfmodel.machine import Machine

    # A machine is a record, and records can be iterated.
    if isinstance(given, (str, os.PathLike, Machine)):
        return (given,)
    return tuple(given)


def usual_cpus(run: Scenario, tell: Callable[[str], None], least: int = 1) -> tuple[str, ...]:
    """Return those of :data:`DEFAULT_CPUS` that the software of ``run`` runs on.

    All of them where it runs on fewer than ``least``, so that the error names what is wrong.

    Args:
        tell: told in one line which were left out, and why.
    """
    software = run.loaded
    if not software.requires:
        return DEFAULT_CPUS
    from perfmodel.machine import load_machine
    from perfmodel.mapping.support import runs_on

    able = tuple(cpu for cpu in DEFAULT_CPUS if runs_on(software, load_machine(cpu)))
    if len(able) < least or able == DEFAULT_CPUS:
        return DEFAULT_CPUS
    without = ", ".join(cpu for cpu in DEFAULT_CPUS if cpu not in able)
    tell(f"left out: {without}, for {software.id} needs {', '.join(software.requires)}")
    return able


def cpus_of(cpus: Cpu | Iterable[Cpu] | None, methods: Sequence[str]) -> list[ChosenCpu]:
    """Return the CPUs that are named, each once; by default :data:`DEFAULT_CPUS`.

    Raises:
        UnknownName, MachineError: no such CPU, or a file that is wrong.
        PerfmodelError: two CPUs of one id, or one that none of ``methods`` knows.
    """
    found: dict[str, ChosenCpu] = {}
    for given in DEFAULT_CPUS if cpus is None else cpus_in(cpus):
        cpu = _cpu(given, methods)
        known = found.setdefault(cpu.id, cpu)
        if known.origin != cpu.origin or known.machine != cpu.machine:
            raise PerfmodelError(
                f"two CPUs have the id {cpu.id!r}: {known.origin} and {cpu.origin}; "
                "give one of them another id"
            )
    return list(found.values())


def _cpu(cpu: Cpu, methods: Sequence[str]) -> ChosenCpu:
    from perfmodel.machine import catalogue, load_machine

    named = isinstance(cpu, str) and cpu in catalogue()
    # Where nothing is asked of that method, it is not imported.
    known: Collection[str] = () if named and PUBLISHED not in methods else _published()
    if isinstance(cpu, str) and cpu in known and not named and not Path(cpu).is_file():
        if ROOFLINE in methods:
            raise PerfmodelError(
                f"{cpu} exists in the published method only: ask for that method alone "
                "(--method published), or give a machine file"
            )
        return ChosenCpu(cpu, cpu, None, published=True)
    try:
        machine = load_machine(cpu)
    except UnknownName as error:
        if ROOFLINE in methods:
            raise
        raise UnknownName(error.kind, error.name, {*catalogue(), *known}) from None
    # A user's file may have the id of a CPU the method knows; the method's figures are not its.
    unchanged = not isinstance(cpu, (str, os.PathLike)) and machine.id in catalogue()
    is_catalogued = named or (unchanged and machine == load_machine(machine.id))
    origin = os.fspath(cpu) if isinstance(cpu, (str, os.PathLike)) else f"machine {machine.id}"
    if is_catalogued:
        origin = machine.id
    return ChosenCpu(machine.id, origin, machine, published=is_catalogued and machine.id in known)


def _published() -> Collection[str]:
    """Return the ids of the CPUs that the published method knows."""
    from perfmodel.published import CPUS

    return CPUS
