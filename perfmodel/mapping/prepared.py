"""A workload as one software runs it: the kernels that it launches, and what each asks for."""

from __future__ import annotations

from perfmodel.errors import NoKernels
from perfmodel.machine import Machine
from perfmodel.mapping.columns import Columns, columns
from perfmodel.mapping.policies import effective
from perfmodel.mapping.support import require_kernels, require_software
from perfmodel.scenario import Scenario
from perfmodel.vocabulary.precision import Precision
from perfmodel.workload.fusion import fuse, without_constants
from perfmodel.workload.own_formats import narrowed
from perfmodel.workload.workload import Workload


def prepare(workload: Workload, run: Scenario, machine: Machine) -> tuple[Workload, Columns]:
    """Return the kernels a software launches on a machine, and their columns.

    They are kept for as long as the workload is. The machine matters where a software stores other
    formats on CPUs without arithmetic in the ones that were asked for.

    Raises:
        NoKernels: a workload that has none, or constants alone.
        UnsupportedSoftware, UnsupportedPrecision: what the software does not run: on this machine,
            of this workload, or in this precision.
    """
    require_kernels(workload, run.loaded)
    require_software(run, machine)
    kept: dict[tuple[Precision, frozenset[str]], tuple[Workload, Columns]]
    kept = workload.memo.setdefault("prepared", {})
    software = run.loaded
    fusion = software.rules(run.policy.name)
    rules = frozenset((*fusion, *(["constants"] if software.folds else [])))
    policy = effective(run.policy, software, machine)
    key = (policy, rules)
    if key not in kept:
        fused = next((w for (_, how), (w, _) in kept.items() if how == rules), None)
        if fused is None:
            # What is compiled reads the narrow operands that a program states.
            stated = narrowed(workload) if software.fusion else workload
            folded = without_constants(stated) if software.folds else stated
            if not len(folded):
                raise NoKernels(workload.name)
            fused = fuse(folded, fusion) if fusion else folded
        kept[key] = (fused, columns(fused, policy))
    return kept[key]
