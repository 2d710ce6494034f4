"""What one of several instances on a socket has of it: its own cores, and a share of the rest.

All instances run at once and ask for the same, so each gets an equal share of what they share:

* **memory bandwidth**: an N-th of what the socket sustains, as when all of them stream;
* **last-level cache**: where it is one for the socket, an N-th; where it is divided into domains
  (CCDs), instances are pinned to neighbouring cores, so that one of C cores spans
  S = ceil(C / cores per domain) of the D domains, each of which serves max(1, N S / D) instances;
* **links of the domains** to memory, where they limit: as their caches.

On a machine of several sockets this is so on each group of sockets that one instance spans. An
instance that spans several memory domains has its memory in all of them, and less of the bandwidth
for that (:mod:`perfmodel.mapping.remote`); one on all cores of a socket has the socket's sustained
bandwidth, as a plain estimate has.

Clocks, private caches, engines and the cost of a parallel region stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from perfmodel.machine import Figure, Machine
from perfmodel.machine.parts import scaled
from perfmodel.mapping.columns import Columns
from perfmodel.mapping.remote import remote_share
from perfmodel.mapping.roofline import FloatArray
from perfmodel.serving.partition import group_of, total_cores
from perfmodel.vocabulary.partition import Partition
from perfmodel.workload.workload import Workload


def spanned_domains(machine: Machine, partition: Partition) -> int:
    """L3 domains that one instance spans."""
    total, domains = total_cores(machine), int(machine.cache.l3_domains.typical)
    return -(-partition.cores * domains // total)


def instances_per_domain(machine: Machine, partition: Partition) -> float:
    """Instances among which one L3 domain is divided; at least 1, and not always whole."""
    group = group_of(machine, partition.cores)
    domains = machine.cache.l3_domains.typical * group.sockets / machine.sockets
    return max(1.0, group.instances(partition) * spanned_domains(machine, partition) / domains)


def remote(machine: Machine, partition: Partition) -> float:
    """By what the memory bandwidth of an instance is less for being in several domains."""
    group = group_of(machine, partition.cores)
    on_socket = machine.numa_domains // machine.sockets
    if partition.cores == machine.cores_per_socket:
        return 1.0
    spanned = -(-partition.cores // machine.cores_per_numa_domain)
    return remote_share(min(spanned, group.sockets * on_socket), group.sockets)


def shares(machine: Machine, partition: Partition) -> dict[str, float]:
    """By what each shared figure of the machine is multiplied for one instance, by dotted path."""
    in_domain = 1 / instances_per_domain(machine, partition)
    spanned = spanned_domains(machine, partition) / machine.cache.l3_domains.typical
    group = group_of(machine, partition.cores)
    of_group = group.sockets / machine.sockets
    wanted = {
        "memory.sustained": of_group / group.instances(partition) * remote(machine, partition),
        "memory.per_domain": in_domain,
        "cache.l3": spanned * in_domain,
        "core.cache_bandwidth.l3_domain": in_domain,
    }
    stated = machine.figures()
    return {path: share for path, share in wanted.items() if path in stated and share != 1.0}


def instance(machine: Machine, partition: Partition) -> Machine:
    """The machine that one instance of ``partition`` sees; ranges of figures shrink with them.

    One instance on all cores sees the machine itself.
    """
    if partition == Partition(1, total_cores(machine)):
        return machine
    figures = machine.figures()
    values: dict[str, Figure | float] = {
        path: scaled(figures[path], share) for path, share in shares(machine, partition).items()
    }
    values["cores.count"] = float(partition.cores)
    values["cache.l3_domains"] = float(spanned_domains(machine, partition))
    # Where an instance has a socket to itself, its software may place it in there.
    whole = partition.cores == machine.cores_per_socket
    domains = machine.numa_domains // machine.sockets if whole else 1
    values["topology.numa_domains"] = float(domains)
    values["topology.sockets"] = 1.0
    return machine.with_values(values)


def instance_values(
    values: Mapping[str, FloatArray], machine: Machine, partition: Partition
) -> dict[str, FloatArray]:
    """Sampled figures of ``machine`` as one instance has them."""
    if partition == Partition(1, total_cores(machine)):
        return dict(values)
    factors = shares(machine, partition)
    return {path: value * factors.get(path, 1.0) for path, value in values.items()}


def instance_columns(
    workload: Workload, table: Columns, machine: Machine, partition: Partition, weights: str
) -> Columns:
    """Columns of the workload as one instance keeps them in the caches.

    Where instances share their weights, each needs room in its share of a cache for its share of
    them alone: n instances in a domain with room L keep one copy W and an activation A each if
    W + n A <= L, that is W / n + A <= L / n. State (a KV cache) is never shared.
    """
    if weights == "separate":
        return table
    held = workload.weight_bytes(table.precision)
    common = held * (1 - 1 / instances_per_domain(machine, partition))
    return replace(table, resident_bytes=table.resident_bytes - common)
