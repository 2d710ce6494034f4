"""Models on CPUs, side by side: rows, and the orders they make.

:func:`compare` evaluates, :func:`rankings` orders; :mod:`perfmodel.disagreement` explains where two
methods order differently, and :mod:`perfmodel.ranking` what an order is worth. The *roofline*
method is perfmodel's own (:mod:`perfmodel.mapping`); the *published* one reproduces the comparison
of 2025-10-24 (:mod:`perfmodel.published`), which exists for INT8 at batch 1 on eight CPUs only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Unpack

from perfmodel.errors import PerfmodelError, TraceError, UnknownName
from perfmodel.resolve import Model, ModelSource, resolve_model
from perfmodel.scenario import RunOptions, Scenario, ScenarioLike, scenario_of
from perfmodel.vocabulary import words

if TYPE_CHECKING:
    from perfmodel.machine import Machine
    from perfmodel.mapping import Estimate
    from perfmodel.published import Graph, PublishedEstimate
    from perfmodel.serving import Served
    from perfmodel.workload.workload import Workload

ROOFLINE, PUBLISHED = words.METHODS
#: The CPUs compared when none are named: one of each vendor, those of the published table.
DEFAULT_CPUS: Final = ("xeon_8490h", "epyc_9654", "ampereone_192")

#: A catalogue id, the path of a machine TOML file, or a machine.
Cpu: TypeAlias = "str | os.PathLike[str] | Machine"
Listener: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One model on one CPU by one method.

    Attributes:
        state, software: of the roofline method; None where the method knows neither.
        latency_ms: of one run of ``batch`` samples.
        throughput_fps: samples per second, one run after the other.
        fps_per_watt: throughput over the power that ``power_basis`` names.
        utilization: 0 to 1. Roofline: work done over what all cores could do in that time.
            Published: mean share of active cores over chains, not weighted by time.
        bottleneck: the label with the largest of ``bottleneck_shares``, which sum to 1.
        active_cores: the most cores any part uses; ``mean_active_cores`` is weighted by time.
        notes: what the reader must know of this row.
        estimate: the result behind the row, with its parts.
        machine: the CPU; None where only the published method knows it.
        phase: "prefill of ..." or "decode ..." for a model that generates tokens, else None.
        tokens_per_s: generated in decode, of the prompt in prefill; None without a phase.
        instances, cores_per_instance: how the socket is divided; None where it is not. Latency is
            then that of one instance while all run, throughput that of the socket.
        energy_j: joules of the package per sample, modelled (:mod:`perfmodel.cost.power`); None
            where it was not asked for, and by the published method.
    """

    model: str
    cpu: str
    method: str
    precision: str
    batch: int
    state: str | None
    software: str | None
    latency_ms: float
    throughput_fps: float
    fps_per_watt: float
    power_basis: str
    utilization: float
    bottleneck: str
    bottleneck_shares: Mapping[str, float]
    active_cores: int
    mean_active_cores: float
    notes: tuple[str, ...]
    estimate: Estimate | PublishedEstimate = field(repr=False, compare=False)
    machine: Machine | None = field(default=None, repr=False, compare=False)
    phase: str | None = None
    tokens_per_s: float | None = None
    instances: int | None = None
    cores_per_instance: int | None = None
    energy_j: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The row as plain Python objects for JSON, units in the keys.

        ``phase`` and ``tokens_per_s`` are there where the row has a phase, ``instances`` and
        ``cores_per_instance`` where the socket is divided, ``energy_j`` where it was asked for.
        """
        generation = {"phase": self.phase, "tokens_per_s": self.tokens_per_s}
        division = {"instances": self.instances, "cores_per_instance": self.cores_per_instance}
        return {
            "model": self.model,
            "cpu": self.cpu,
            "method": self.method,
            "precision": self.precision,
            "batch": self.batch,
            "state": self.state,
            "software": self.software,
            "latency_ms": self.latency_ms,
            "throughput_fps": self.throughput_fps,
            "fps_per_watt": self.fps_per_watt,
            "power_basis": self.power_basis,
            "utilization": self.utilization,
            "bottleneck": self.bottleneck,
            "bottleneck_shares": dict(self.bottleneck_shares),
            "active_cores": self.active_cores,
            "mean_active_cores": self.mean_active_cores,
            **(generation if self.phase is not None else {}),
            **(division if self.instances is not None else {}),
            **({"energy_j": self.energy_j} if self.energy_j is not None else {}),
            "calibration": getattr(self.estimate, "calibration", None),
            "expected_error": getattr(self.estimate, "expected_error", None),
            "notes": list(self.notes),
        }

    @property
    def pace_ms(self) -> float:
        """Milliseconds of the socket per batch: latency over the number of instances."""
        return self.latency_ms / (self.instances or 1)


@dataclass(frozen=True)
class Order:
    """The CPUs of one model at one batch by one method, fastest first.

    Where sockets are divided, ``latencies_ms`` are the socket's milliseconds per batch.
    """

    model: str
    method: str
    cpus: tuple[str, ...]
    latencies_ms: tuple[float, ...]
    batch: int = 1

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each CPU's latency over that of the fastest; the first is 1."""
        return tuple(latency / self.latencies_ms[0] for latency in self.latencies_ms)

    def __str__(self) -> str:
        return " > ".join(
            f"{cpu} {ratio:.2f}x" for cpu, ratio in zip(self.cpus, self.ratios, strict=True)
        )


def compare(
    models: Iterable[Model] | None = None,
    cpus: Iterable[Cpu] | None = None,
    scenario: ScenarioLike = None,
    *,
    batch: int | Sequence[int] | None = None,
    methods: Sequence[str] | None = None,
    power: str = "tdp",
    energy: bool = False,
    allow_unmodelled: bool = False,
    progress: Listener | None = None,
    left_out: Listener | None = None,
    **options: Unpack[RunOptions],
) -> list[Row]:
    """Every model on every CPU by every method; ordered by model and batch as given, then method
    and latency.

    Args:
        models: see :func:`~perfmodel.resolve.resolve_model`; by default those of the published
            table (:data:`perfmodel.models.zoo.DEFAULT_MODELS`).
        cpus: catalogue ids, paths of machine files, or machines; by default
            :data:`DEFAULT_CPUS`. The published method alone also takes its own ids.
        scenario, options: a :class:`~perfmodel.scenario.Scenario`, or a precision alone, and its
            fields. The published method knows INT8 on one instance only.
        batch: samples per run, or several such numbers; by default 1, and for a saved workload
            what it was traced with. For several a model is traced once, if it allows that.
        methods: out of :data:`~perfmodel.vocabulary.words.METHODS`. By default the roofline method,
            and the published one wherever that exists; one asked for by name and not applicable is
            an error.
        power: what FPS/W are over, "tdp" (the vendor's rating) or "modelled"
            (:mod:`perfmodel.cost.power`). The published method knows the rating only.
        energy: whether rows state joules per sample.
        allow_unmodelled: of factories and saved programs, charge operators without a formula for
            their bytes only.
        progress: told which model is being loaded, which takes seconds if it must be traced.
        left_out: told, in one line each, where the default methods left the published one out,
            and which model had to be traced at each batch.

    Raises:
        UnknownName: a model, CPU, precision, method, state or software that does not exist.
        MachineError, WorkloadFormatError: a file that is wrong.
        TraceError, UnmodelledOperator: a model that cannot be traced.
        PerfmodelError: two models or two CPUs of the same name, a batch a workload was not traced
            at, a phase or length a model does not have, or the published method where it does not
            exist.
    """
    for method in methods or ():
        words.check("method", method, words.METHODS)
    wanted = tuple(method for method in words.METHODS if methods is None or method in methods)
    words.check("power basis", power, words.POWER_BASES)
    run = scenario_of(scenario, options)
    asked = run.batch if batch is None else batch
    chosen_models = _models(models, run, allow_unmodelled)
    chosen_cpus = _cpus(DEFAULT_CPUS if cpus is None else cpus, wanted)
    batches = [source.batches(asked) for source in chosen_models]
    _check_division(run, chosen_cpus)

    all_batches = dict.fromkeys(samples for several in batches for samples in several)
    published = _PublishedMethod(
        run, tuple(all_batches), explicit=methods is not None, tell=left_out
    )
    rows: list[Row] = []
    for source, several in zip(chosen_models, batches, strict=True):
        for samples in several if PUBLISHED in wanted else ():
            published.check(source, samples, chosen_cpus)
    for source, several in zip(chosen_models, batches, strict=True):
        if progress is not None:
            progress(source.name)
        reason = source.prepare(several) if ROOFLINE in wanted else None
        if reason is not None and left_out is not None:
            left_out(f"{source.name}: {reason}")
        for samples in several:
            if ROOFLINE in wanted:
                found = _roofline_rows(source, samples, chosen_cpus, run)
                rows += _by_pace([_with_power(row, power, energy) for row in found])
            if PUBLISHED in wanted:
                rows += published.rows(source, samples, chosen_cpus)
    return rows


def rankings(rows: Iterable[Row]) -> list[Order]:
    """For each model, batch and method, as they appear, the CPUs by latency (ties by id)."""
    groups: dict[tuple[str, int, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.model, row.batch, row.method), []).append(row)
    return [order_of(group) for group in groups.values()]


# -- what is compared ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cpu:
    """A CPU with what each method knows of it."""

    id: str
    origin: str
    machine: Machine | None
    published: bool


def _models(
    models: Iterable[Model] | None, run: Scenario, allow_unmodelled: bool
) -> list[ModelSource]:
    from perfmodel.models import zoo

    given = zoo.DEFAULT_MODELS if models is None else tuple(models)
    sources: dict[str, ModelSource] = {}
    for model in given:
        source = resolve_model(model, run, allow_unmodelled=allow_unmodelled)
        known = sources.setdefault(source.name, source)
        if known.origin != source.origin:
            raise PerfmodelError(
                f"two models are called {source.name!r}: {known.origin} and {source.origin}"
            )
    return list(sources.values())


def _cpus(cpus: Iterable[Cpu], methods: Sequence[str]) -> list[_Cpu]:
    found: dict[str, _Cpu] = {}
    for given in cpus:
        cpu = _cpu(given, methods)
        known = found.setdefault(cpu.id, cpu)
        if known.origin != cpu.origin or known.machine != cpu.machine:
            raise PerfmodelError(
                f"two CPUs have the id {cpu.id!r}: {known.origin} and {cpu.origin}; "
                "give one of them another id"
            )
    return list(found.values())


def _cpu(cpu: Cpu, methods: Sequence[str]) -> _Cpu:
    from perfmodel.machine import catalogue, load_machine
    from perfmodel.published import CPUS as known

    if isinstance(cpu, str) and cpu in known and cpu not in catalogue() and not Path(cpu).is_file():
        if ROOFLINE in methods:
            raise PerfmodelError(
                f"{cpu} exists in the published method only: ask for that method alone "
                "(--method published), or give a machine file"
            )
        return _Cpu(cpu, cpu, None, published=True)
    try:
        machine = load_machine(cpu)
    except UnknownName as error:
        if ROOFLINE in methods:
            raise
        raise UnknownName(error.kind, error.name, {*catalogue(), *known}) from None
    # A user's file may have the id of a CPU the method knows; the method's figures are not its.
    by_id = isinstance(cpu, str) and cpu in catalogue()
    origin = os.fspath(cpu) if isinstance(cpu, (str, os.PathLike)) else f"machine {machine.id}"
    return _Cpu(machine.id, origin, machine, published=by_id and cpu in known)


# -- rows ----------------------------------------------------------------------------------------


def _check_division(run: Scenario, cpus: Sequence[_Cpu]) -> None:
    """Before anything is traced or told; raises as :func:`perfmodel.serving.partition_of`."""
    from perfmodel.serving.partition import divisions

    for cpu in cpus:
        if cpu.machine is not None:
            divisions(cpu.machine, run.instances, run.cores_per_instance)


def _served(workload: Workload, machine: Machine, run: Scenario) -> Served:
    """The instances with the highest throughput among those there are to choose from."""
    from perfmodel.serving import search

    found = search(lambda _batch: workload, machine, run, batches=(workload.batch,))
    assert found.best is not None, "no limit to miss"
    return found.best


def _roofline_rows(
    source: ModelSource, batch: int, cpus: Sequence[_Cpu], run: Scenario
) -> list[Row]:
    from perfmodel.mapping import estimate

    workload = source.workload(batch)
    rows = []
    for cpu in cpus:
        assert cpu.machine is not None
        if not run.divided:
            rows.append(_roofline_row(source.name, cpu, estimate(workload, cpu.machine, run)))
            continue
        served = _served(workload, cpu.machine, run)
        count = served.partition.instances
        row = _roofline_row(source.name, cpu, served.estimate)
        rows.append(
            replace(
                row,
                throughput_fps=served.throughput_fps,
                fps_per_watt=served.fps_per_watt,
                utilization=served.utilization,
                active_cores=row.active_cores * count,
                mean_active_cores=row.mean_active_cores * count,
                tokens_per_s=served.tokens_per_s,
                instances=count,
                cores_per_instance=served.partition.cores,
            )
        )
    return rows


def _roofline_row(model: str, cpu: _Cpu, result: Estimate) -> Row:
    return Row(
        model=model,
        cpu=cpu.id,
        method=ROOFLINE,
        precision=result.precision,
        batch=result.batch,
        state=result.state,
        software=result.software,
        latency_ms=result.latency_ms,
        throughput_fps=result.throughput_fps,
        fps_per_watt=result.fps_per_watt,
        power_basis=result.power_basis,
        utilization=result.utilization,
        bottleneck=result.bottleneck,
        bottleneck_shares=result.bottleneck_shares,
        active_cores=result.active_cores,
        mean_active_cores=result.mean_active_cores,
        notes=result.notes,
        estimate=result,
        machine=cpu.machine,
        phase=result.phase,
        tokens_per_s=result.tokens_per_s,
    )


def _with_power(row: Row, basis: str, energy: bool) -> Row:
    """The row with FPS/W over modelled power, or with its energy, where that is wanted."""
    if basis == "tdp" and not energy:
        return row
    from perfmodel.cost.power import package_power
    from perfmodel.mapping import Estimate
    from perfmodel.serving import Partition

    assert isinstance(row.estimate, Estimate)
    assert row.machine is not None
    partition = None
    if row.instances is not None and row.cores_per_instance is not None:
        partition = Partition(row.instances, row.cores_per_instance)
    found = package_power(row.estimate, row.machine, partition)
    if energy:
        row = replace(row, energy_j=float(found.energy_j))
    if basis == "modelled":
        row = replace(row, fps_per_watt=1 / float(found.energy_j), power_basis=basis)
    return row


class _PublishedMethod:
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

    def check(self, source: ModelSource, batch: int, cpus: Sequence[_Cpu]) -> list[_Cpu]:
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

    def rows(self, source: ModelSource, batch: int, cpus: Sequence[_Cpu]) -> list[Row]:
        """One row per CPU that :meth:`check` allows, by latency."""
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
        return _by_pace([_published_row(graph, cpu) for cpu in usable])

    def _refuse(self, what: str, why: str) -> None:
        if self._explicit:
            where = f" for {what}" if what else ""
            raise PerfmodelError(f"no published method{where}: {why}")
        line = f"published method left out{f' for {what}' if what else ''}: {why}"
        if line not in self._told and self._tell is not None:
            self._tell(line)
        self._told.add(line)


def _published_row(graph: Graph, cpu: _Cpu) -> Row:
    from perfmodel import published

    result = published.estimate(graph, cpu.id)
    shares = {"compute": result.compute_share, "memory": result.memory_share}
    return Row(
        model=result.model,
        cpu=cpu.id,
        method=PUBLISHED,
        precision=result.precision,
        batch=result.batch,
        state=None,
        software=None,
        latency_ms=result.latency_ms,
        throughput_fps=result.throughput_fps,
        fps_per_watt=result.fps_per_watt,
        power_basis="tdp",
        utilization=result.utilization,
        bottleneck=result.bottleneck,
        bottleneck_shares=shares,
        active_cores=int(result.cores.max()),
        mean_active_cores=float((result.cores * result.time_s).sum() / result.time_s.sum()),
        notes=(),
        estimate=result,
        machine=cpu.machine,
    )


def _by_pace(rows: list[Row]) -> list[Row]:
    """By latency, or where sockets are divided by what that comes to over all instances."""
    return sorted(rows, key=lambda row: (row.pace_ms, row.cpu))


def order_of(rows: list[Row]) -> Order:
    """The order of rows that are of one model, batch and method."""
    ordered = _by_pace(rows)
    return Order(
        model=ordered[0].model,
        method=ordered[0].method,
        cpus=tuple(row.cpu for row in ordered),
        latencies_ms=tuple(row.pace_ms for row in ordered),
        batch=ordered[0].batch,
    )
