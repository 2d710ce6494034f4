"""Where on a socket one instance runs, as its software has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from perfmodel.machine import Machine
from perfmodel.machine.parts import domain_clocks, domain_shares, one_domain, scaled
from perfmodel.mapping.remote import remote_share
from perfmodel.mapping.roofline import FloatArray
from perfmodel.scenario import Scenario
from perfmodel.software.schema import PREFIX

_SUSTAINED: Final = "memory.sustained"


def placed(machine: Machine, run: Scenario) -> Machine:
    """Return the part of ``machine`` that one instance of ``run`` has.

    Software that keeps a request on one memory domain works at the rate of that domain, but wakes
    and joins the threads of all: published latencies on a CPU that is divided (ResNet-50 in INT8:
    2.17 ms on 3 domains of 40 cores, 0.98 to 1.19 ms on one of 60) are explained by neither alone.
    A socket that is divided into instances is divided by :mod:`perfmodel.serving` instead.

    Other software spans all sockets of a machine, and pays for the memory of the others. On one
    socket it has the socket's sustained bandwidth, divided or not: as its figures were fitted.
    """
    if not _in_domain(machine, run):
        share = _spread(machine, run)
        if share == 1.0:
            return machine
        return machine.with_values({_SUSTAINED: scaled(machine.memory.sustained, share)})
    path = join_path(run)
    figure = {**run.loaded.figures(), **machine.figures()}.get(path)
    own = one_domain(machine)
    if figure is None:
        return own
    return own.with_values({path: scaled(figure, machine.numa_domains / machine.sockets)})


def placed_values(
    values: Mapping[str, FloatArray], machine: Machine, run: Scenario
) -> dict[str, FloatArray]:
    """Return sampled figures of ``machine`` as the part that one instance has states them."""
    if not _in_domain(machine, run):
        share = _spread(machine, run)
        return {p: value * share if p == _SUSTAINED else value for p, value in values.items()}
    shares = domain_shares(machine) | {join_path(run): machine.numa_domains / machine.sockets}
    found = {path: value * shares.get(path, 1.0) for path, value in values.items()}
    return found | domain_clocks(machine, values)


def join_path(run: Scenario) -> str:
    """Return the path of what a thread adds to a kernel."""
    return f"{PREFIX}.{run.loaded.id}.join"


def _spread(machine: Machine, run: Scenario) -> float:
    """By what the bandwidth is less for one instance on all sockets of a machine of several."""
    if machine.sockets == 1 or not _whole(machine, run):
        return 1.0
    return remote_share(machine.numa_domains, machine.sockets)


def _in_domain(machine: Machine, run: Scenario) -> bool:
    return run.loaded.numa == "domain" and _whole(machine, run) and machine.numa_domains > 1


def _whole(machine: Machine, run: Scenario) -> bool:
    """Whether one instance has all cores."""
    return run.instances in (None, 1) and run.cores_per_instance in (
        None,
        int(machine.cores.count.typical),
    )
