"""What each of the two methods says of a model on CPUs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from perfmodel.comparison.chosen import PUBLISHED, ChosenCpu
from perfmodel.comparison.division import best_division
from perfmodel.comparison.orders import by_pace
from perfmodel.errors import PerfmodelError, TraceError
from perfmodel.mapping.result import Result
from perfmodel.resolve import ModelSource
from perfmodel.scenario import Scenario

if TYPE_CHECKING:
    from perfmodel.published import Graph

#: Told a line of text.
Listener: TypeAlias = Callable[[str], None]


def check_software(run: Scenario, cpus: Sequence[ChosenCpu]) -> None:
    """Before anything is traced; raises as :func:`perfmodel.mapping.support.require_software`."""
    from perfmodel.mapping.support import require_software

    for cpu in cpus:
        if cpu.machine is not None:
            require_software(run, cpu.machine)


def roofline_results(
    source: ModelSource, batch: int, cpus: Sequence[ChosenCpu], run: Scenario
) -> list[Result]:
    """Return the model's result on each CPU, with the best division where sockets are divided."""
    from perfmodel.mapping.estimation import estimate

    workload = source.workload(batch)
    results = []
    for cpu in cpus:
        assert cpu.machine is not None
        found = (best_division if run.divided else estimate)(workload, cpu.machine, run)
        results.append(replace(found, model=source.name))
    return results


def with_power(result: Result, basis: str, energy: bool) -> Result:
    """Return the result with FPS/W over modelled power, or with its energy, where wanted."""
    if basis == "tdp" and not energy:
        return result
    from perfmodel.cost.power import package_power

    joules = float(package_power(result).energy_j)
    if energy:
        result = replace(result, energy_j=joules)
    if basis == "modelled":
        result = replace(result, fps_per_watt=1 / joules, power_basis=basis)
    return result


class PublishedMethod:
    """The published method on what it exists for; the rest is an error, or told and left out."""

    def __init__(
        self,
        run: Scenario,
        batches: Sequence[int],
        *,
        explicit: bool,
        tell: Listener | None,
    ) -> None:
        self._precision = run.policy.name
        self._batches = batches
        self._divided = run.divided
        self._explicit = explicit
        self._tell = tell
        self._told: set[str] = set()

    def check(self, source: ModelSource, batch: int, cpus: Sequence[ChosenCpu]) -> list[ChosenCpu]:
        """Those of ``cpus`` on which the method can evaluate ``source``."""
        from perfmodel.published.model import BATCH, PRECISION

        if self._divided:
            self._refuse("", "it knows one instance on all cores only")
            return []
        if self._precision != PRECISION or batch != BATCH:
            others = [
                samples
                for samples in self._batches
                if self._precision != PRECISION or samples != BATCH
            ]
            self._refuse(
                "",
                f"it is defined for {PRECISION} at batch {BATCH} only, "
                f"not {self._precision} at batch {', '.join(map(str, others))}",
            )
            return []
        if source.published is None:
            self._refuse(
                source.name,
                f"it traces named torchvision models itself and cannot use {source.origin}",
            )
            return []
        for cpu in cpus:
            if not cpu.published:
                self._refuse(cpu.id, "it knows only its own CPUs (see perfmodel cpus)")
        return [cpu for cpu in cpus if cpu.published]

    def results(self, source: ModelSource, batch: int, cpus: Sequence[ChosenCpu]) -> list[Result]:
        """Return one result per CPU that :meth:`check` allows, by latency."""
        from perfmodel import published

        usable = self.check(source, batch, cpus)
        if not usable or source.published is None:
            return []
        try:
            graph = published.graph(*source.published)
        except TraceError as error:
            if self._explicit:
                raise
            self._refuse(source.name, str(error))
            return []
        return by_pace([_published_result(graph, cpu) for cpu in usable])

    def _refuse(self, what: str, why: str) -> None:
        if self._explicit:
            where = f" for {what}" if what else ""
            raise PerfmodelError(f"no published method{where}: {why}")
        line = f"published method left out{f' for {what}' if what else ''}: {why}"
        if line not in self._told and self._tell is not None:
            self._tell(line)
        self._told.add(line)


def _published_result(graph: Graph, cpu: ChosenCpu) -> Result:
    from perfmodel import published

    result = published.estimate(graph, cpu.id)
    shares = {"compute": result.compute_share, "memory": result.memory_share}
    most, seconds = int(result.cores.max()), result.time_s
    return Result(
        model=result.model,
        cpu=cpu.id,
        method=PUBLISHED,
        precision=result.precision,
        batch=result.batch,
        latency_ms=result.latency_ms,
        throughput_fps=result.throughput_fps,
        fps_per_watt=result.fps_per_watt,
        power_basis="tdp",
        utilization=result.utilization,
        bottleneck=result.bottleneck,
        bottleneck_shares=shares,
        active_cores=most,
        mean_active_cores=most - float(((most - result.cores) * seconds).sum() / seconds.sum()),
        parts=result,
        machine=cpu.machine,
    )
