"""Where on a socket one instance runs, as its software has it."""

from __future__ import annotations

from collections.abc import Mapping

from perfmodel.machine import Machine
from perfmodel.machine.parts import domain_shares, one_domain
from perfmodel.mapping.roofline import FloatArray
from perfmodel.scenario import Scenario


def placed(machine: Machine, run: Scenario) -> Machine:
    """Return the part of ``machine`` that one instance of ``run`` has.

    A socket that is divided into instances is divided by :mod:`perfmodel.serving` instead.
    """
    return one_domain(machine) if _in_domain(machine, run) else machine


def placed_values(
    values: Mapping[str, FloatArray], machine: Machine, run: Scenario
) -> dict[str, FloatArray]:
    """Return sampled figures of ``machine`` as the part that one instance has states them."""
    shares = domain_shares(machine) if _in_domain(machine, run) else {}
    return {path: value * shares.get(path, 1.0) for path, value in values.items()}


def _in_domain(machine: Machine, run: Scenario) -> bool:
    return run.loaded.numa == "domain" and not run.divided and machine.numa_domains > 1
