"""How a socket, or a machine of several, is divided into instances of equal size.

On several sockets an instance stays on as few as hold it, and instances are spread evenly.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine
from perfmodel.scenario import AUTO, Count, Scenario
from perfmodel.vocabulary.partition import Partition


def divided(run: Scenario, partition: Partition) -> Scenario:
    """Return ``run`` on the instances of ``partition``."""
    return replace(run, instances=partition.instances, cores_per_instance=partition.cores)


def on_group(machine: Machine, run: Scenario, partition: Partition) -> Scenario:
    """Return ``run`` on the instances of one group of sockets: those that share its memory."""
    here = group_of(machine, partition.cores).instances(partition)
    return divided(run, Partition(here, partition.cores))


def total_cores(machine: Machine) -> int:
    """Cores of the machine that run kernels."""
    return int(machine.cores.count.typical)


@dataclass(frozen=True)
class Group:
    """The sockets that one instance spans, and what of the machine is one such group of them.

    Attributes:
        sockets: of one group.
        groups: of them in the machine.
    """

    sockets: int
    groups: int

    def instances(self, partition: Partition) -> int:
        """Instances in the fullest group."""
        return -(-partition.instances // self.groups)


def group_of(machine: Machine, cores: int) -> Group:
    """The group of sockets that an instance of ``cores`` cores spans: as few as hold it."""
    spanned = min(machine.sockets, -(-cores // machine.cores_per_socket))
    return Group(spanned, machine.sockets // spanned)


def _most(machine: Machine, cores: int) -> int:
    """Instances of ``cores`` cores that fit."""
    group = group_of(machine, cores)
    return group.groups * (group.sockets * total_cores(machine) // machine.sockets // cores)


def _largest(machine: Machine, instances: int) -> int:
    """Cores of each of ``instances``: as many as fit."""
    spanned = max(1, machine.sockets // instances)
    in_group = -(-instances // (machine.sockets // spanned))
    return spanned * total_cores(machine) // machine.sockets // in_group


def partition_of(
    machine: Machine, instances: int | None = None, cores: int | None = None
) -> Partition:
    """The partition with these counts; one that is left out is as large as the machine allows.

    Raises:
        PerfmodelError: a count below 1, or more cores than there are on its sockets.
    """
    total = total_cores(machine)
    for name, value in (("instances", instances), ("cores per instance", cores)):
        if value is not None and value < 1:
            raise PerfmodelError(f"{name}: expected at least 1, found {value}")
    if cores is None:
        cores = max(1, _largest(machine, instances or 1))
    if instances is None:
        instances = max(1, _most(machine, cores))
    if instances * cores > total:
        raise PerfmodelError(
            f"{instances} instances of {cores} cores need {instances * cores}; "
            f"{machine.id} has {total}"
        )
    if instances > _most(machine, cores):
        raise PerfmodelError(
            f"{instances} instances of {cores} cores: the {machine.sockets} sockets of "
            f"{machine.id} with {machine.cores_per_socket} cores each hold "
            f"{_most(machine, cores)} such instances"
        )
    return Partition(instances, cores)


def partitions(machine: Machine) -> tuple[Partition, ...]:
    """The partitions a search tries, from one instance to one on each core.

    Cores per instance are the divisors of the socket's cores, the divisors of the cores in an L3
    domain, those of a memory domain, and the powers of two, each with as many instances as fit; of
    sizes with the same number of instances only the largest is kept. On several sockets, they are
    those of one on each of them, and instances that span as many sockets as divide their number.
    """
    total, domain = machine.cores_per_socket, machine.cores_per_domain
    sizes = [
        size
        for size in range(1, total + 1)
        if total % size == 0 or domain % size == 0 or size.bit_count() == 1
    ]
    # One on each memory domain, where a socket has several.
    sizes.append(total * machine.sockets // machine.numa_domains)
    largest: dict[int, int] = {}
    for size in sorted(sizes):
        largest[_most(machine, size)] = size
    for groups in range(1, machine.sockets):
        if machine.sockets % groups == 0:
            largest[groups] = machine.sockets // groups * total
    return tuple(Partition(count, size) for count, size in sorted(largest.items()))


def divisions_to_try(machine: Machine, run: Scenario) -> tuple[Partition, ...]:
    """The partitions that a search of ``run`` tries; raises as :func:`partition_of`."""
    return divisions(machine, run.instances, run.cores_per_instance) or partitions(machine)


def divisions(machine: Machine, instances: Count, cores: Count) -> tuple[Partition, ...] | None:
    """The partitions that these counts leave to choose from; None where both are None.

    With two numbers, or one and nothing beside it, that is one partition; "auto" for one count
    leaves it open beside the other. Raises as :func:`partition_of`.
    """
    if instances is None and cores is None:
        return None
    count = None if instances == AUTO else instances
    size = None if cores == AUTO else cores
    if count is None and size is None:
        return partitions(machine)
    return (partition_of(machine, count, size),)
