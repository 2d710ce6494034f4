"""What a software cannot run: a CPU, a precision or a model; each is an error of one line."""

from __future__ import annotations

from typing import Final

import numpy as np

from perfmodel.errors import UnsupportedPrecision, UnsupportedSoftware
from perfmodel.machine import Machine, catalogue, load_machine
from perfmodel.scenario import Scenario
from perfmodel.software.schema import Software
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import PRECISIONS, Precision
from perfmodel.workload.workload import Workload

#: Software of the catalogue that runs every model on every CPU, to advise.
ANYWHERE: Final = "openvino"
_OTHER: Final = f"take other software, such as --software {ANYWHERE}"


def runs_on(software: Software, machine: Machine) -> bool:
    """Return whether the machine's cores have all instruction sets that the software needs."""
    return not _missing(software, machine)


def require_software(run: Scenario, machine: Machine) -> None:
    """Hold the software of ``run`` to what it runs on, and in.

    Raises:
        UnsupportedSoftware: it needs instruction sets that the machine's cores do not list.
        UnsupportedPrecision: it runs nothing in the precision; says which to ask for.
    """
    software = run.loaded
    if missing := _missing(software, machine):
        able = next((cpu for cpu in catalogue() if runs_on(software, load_machine(cpu))), None)
        advice = f"take a CPU that has, such as --cpu {able}, or " if able else ""
        raise UnsupportedSoftware(
            f"{software.id} needs {', '.join(software.requires)}, and {machine.id} "
            f"({machine.core.name}) has no {' and no '.join(missing)}: {advice}{_OTHER}"
        )
    asked, able_in = run.policy, software.precisions
    # A policy of one's own is no product's format: what it asks for is for its author to say.
    if able_in and asked.name in PRECISIONS and asked.name not in able_in:
        raise UnsupportedPrecision(
            f"{software.id} runs no model in {asked.name} ({asked.description}), but in "
            f"{', '.join(able_in)}: ask for --precision {_nearest(asked, able_in)}, or {_OTHER}"
        )


def require_kernels(workload: Workload, software: Software) -> None:
    """Hold a model to the families of operators that the software has kernels for.

    Raises:
        UnsupportedSoftware: the model holds another; names the first such operator.
    """
    lacking = [f.CODE[family] for family in software.lacks]
    if not lacking:
        return
    kernels = workload.kernels
    found = np.flatnonzero(np.isin(kernels.family, lacking))
    if len(found):
        first = int(found[0])
        raise UnsupportedSoftware(
            f"{workload.name}: {software.id} has no {f.FAMILIES[kernels.family[first]]} kernels, "
            f"and {kernels.name[first]} ({kernels.operator[first]}) is one: {_OTHER}"
        )


def _missing(software: Software, machine: Machine) -> list[str]:
    return [flag for flag in software.requires if flag not in machine.core.isa]


def _nearest(asked: Precision, able: tuple[str, ...]) -> str:
    """The precision whose weights are stored nearest to those that were asked for."""
    linear = f.CODE[f.LINEAR]
    wanted = asked.weight_bits[linear]
    return min(able, key=lambda name: abs(PRECISIONS[name].weight_bits[linear] - wanted))
