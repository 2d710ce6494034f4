"""What to set so that the instances of a result run as they are modelled.

Cores are counted as Linux counts them where a machine is not virtual: first all cores of the first
socket, then those of the next, hardware threads after all cores. ``lscpu -e`` shows how a computer
counts; the script of :mod:`perfmodel.serving.script` asks the computer itself.
"""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final

from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine
from perfmodel.mapping.result import Result
from perfmodel.serving.partition import group_of
from perfmodel.vocabulary.partition import Partition

#: Table of settings.toml with the names of software that is like another.
_LIKE: Final = "like"


@dataclass(frozen=True)
class Place:
    """Where one instance runs.

    Attributes:
        first, last: of its cores, both included.
        nodes: NUMA nodes that its cores are of.
    """

    first: int
    last: int
    nodes: tuple[int, ...]

    @property
    def numactl(self) -> str:
        """The command that binds it: its memory on its node, or spread over its nodes."""
        nodes = ",".join(map(str, self.nodes))
        memory = f"--membind={nodes}" if len(self.nodes) == 1 else f"--interleave={nodes}"
        cores = str(self.first) if self.first == self.last else f"{self.first}-{self.last}"
        return f"numactl --physcpubind={cores} {memory}"


def places(machine: Machine, partition: Partition) -> tuple[Place, ...]:
    """Return where each instance of ``partition`` runs: on neighbouring cores, spread over groups.

    Instances of a size that a memory domain holds stay in one, as long as there is room.
    """
    group, cores = group_of(machine, partition.cores), partition.cores
    here = group.instances(partition)
    width = int(machine.cores.count.typical) // group.groups
    domain = machine.cores_per_numa_domain
    in_domain = domain // cores
    domains = -(-width // domain)
    found = []
    for number in range(partition.instances):
        index, place = divmod(number, here)
        first = place * cores
        if in_domain and in_domain * domains >= here:
            first = place // in_domain * domain + place % in_domain * cores
        first = min(first, width - cores) + index * width
        last = first + cores - 1
        found.append(Place(first, last, tuple(range(first // domain, last // domain + 1))))
    return tuple(found)


def settings(result: Result) -> dict[str, str]:
    """Return what to set for the instances of ``result``, by what it is about.

    Either ``one_process`` or ``first_instance`` and, of several, ``last_instance``: the command
    that binds it; then ``environment`` where threads are OpenMP's, and ``software`` where its own
    options are known.

    Raises:
        PerfmodelError: a result of the published method, which divides nothing.
    """
    if result.machine is None or result.software is None:
        raise PerfmodelError(f"{result.cpu}: the {result.method} method does not divide sockets")
    partition = result.partition
    where = places(result.machine, partition)
    count, cores = partition.instances, partition.cores
    first, last = where[0], where[-1]
    one_process = result.weights == "shared" and count > 1
    if one_process:
        lines = {"one_process": Place(first.first, last.last, _nodes(where)).numactl}
    else:
        lines = {"first_instance": first.numactl}
        if count > 1:
            lines["last_instance"] = last.numactl
    threads = count * cores if one_process else cores
    values = {
        "instances": count,
        "cores": cores,
        "all_cores": count * cores,
        "threads": threads,
        "batch": result.batch,
        "all_batches": count * result.batch,
    }
    own = _of_software(result.software)
    if environment := own["environment"]:
        lines["environment"] = environment[0].format(**values)
    if stated := own.get("shared" if one_process else "separate"):
        lines["software"] = "; ".join(line.format(**values) for line in stated)
    return lines


def _nodes(where: tuple[Place, ...]) -> tuple[int, ...]:
    return tuple(sorted({node for place in where for node in place.nodes}))


@functools.cache
def _tables() -> Mapping[str, Any]:
    return tomllib.loads(
        resources.files("perfmodel.serving").joinpath("settings.toml").read_text("utf-8")
    )


def _of_software(name: str) -> Mapping[str, list[str]]:
    tables = _tables()
    found: Mapping[str, list[str]] = tables.get(tables[_LIKE].get(name, name), {})
    return {**tables["any"], **found}
