"""Serving: several instances of a model on one socket, and the fastest way to divide it.

::

    machine = load_machine("epyc_9654")
    served = serve(workload, machine, Partition(instances=12, cores=8), "fp32")
    served.throughput_fps, served.latency_ms

    found = search(source.workload, machine, max_latency_s=0.05)
    found.best.partition, found.best.batch, found.frontier
"""

from __future__ import annotations

from perfmodel.serving.partition import partition_of, partitions
from perfmodel.serving.searching import Search, search
from perfmodel.serving.serving import serve
from perfmodel.serving.sharing import instance, shares
from perfmodel.vocabulary.partition import Partition

__all__ = [
    "Partition",
    "Search",
    "instance",
    "partition_of",
    "partitions",
    "search",
    "serve",
    "shares",
]
