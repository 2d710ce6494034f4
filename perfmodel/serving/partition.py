"""How a socket is divided into instances of equal size."""

from __future__ import annotations

from dataclasses import replace

from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine
from perfmodel.scenario import AUTO, Count, Scenario
from perfmodel.vocabulary.partition import Partition


def divided(run: Scenario, partition: Partition) -> Scenario:
    """Return ``run`` on the instances of ``partition``."""
    return replace(run, instances=partition.instances, cores_per_instance=partition.cores)


def total_cores(machine: Machine) -> int:
    """Cores of the socket that run kernels."""
    return int(machine.cores.count.typical)


def partition_of(
    machine: Machine, instances: int | None = None, cores: int | None = None
) -> Partition:
    """The partition with these counts; one that is left out is as large as the socket allows.

    Raises:
        PerfmodelError: a count below 1, or more cores than the socket has.
    """
    total = total_cores(machine)
    for name, value in (("instances", instances), ("cores per instance", cores)):
        if value is not None and value < 1:
            raise PerfmodelError(f"{name}: expected at least 1, found {value}")
    if cores is None:
        cores = max(1, total // (instances or 1))
    if instances is None:
        instances = max(1, total // cores)
    if instances * cores > total:
        raise PerfmodelError(
            f"{instances} instances of {cores} cores need {instances * cores}; "
            f"{machine.id} has {total}"
        )
    return Partition(instances, cores)


def partitions(machine: Machine) -> tuple[Partition, ...]:
    """The partitions a search tries, from one instance to one on each core.

    Cores per instance are the divisors of the socket's cores, the divisors of the cores in an L3
    domain, and the powers of two, each with as many instances as fit; of sizes with the same number
    of instances only the largest is kept.
    """
    total, domain = total_cores(machine), machine.cores_per_domain
    sizes = {size for count in (total, domain) for size in _divisors(count)}
    sizes |= {2**power for power in range(total.bit_length()) if 2**power <= total}
    largest: dict[int, int] = {}
    for size in sorted(sizes):
        largest[total // size] = size
    return tuple(Partition(count, size) for count, size in sorted(largest.items()))


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


def _divisors(count: int) -> list[int]:
    return [size for size in range(1, count + 1) if count % size == 0]
