"""Watts and dollars: power of a package, energy per inference, cost of serving a rate.

::

    served = serve(workload, machine, Partition(12, 8), "int8")
    package_power(served).energy_j

    plan = cost_of(found_by_search, machine, Demand(rate=10_000), load_inputs())
"""

from __future__ import annotations

from perfmodel.cost.power import BASES, PackagePower, package_power

__all__ = ["BASES", "PackagePower", "package_power"]
