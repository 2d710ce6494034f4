"""Models on CPUs, side by side: rows, rankings, and why two methods rank differently.

:func:`compare` evaluates, :func:`rankings` orders, :func:`disagreements` explains. The *roofline*
method is perfmodel's own (:mod:`perfmodel.mapping`); the *published* one reproduces the comparison
of 2025-10-24 (:mod:`perfmodel.published`), which exists for INT8 at batch 1 on eight CPUs only.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from perfmodel._text import percent, significant
from perfmodel.errors import PerfmodelError, TraceError, UnknownName
from perfmodel.resolve import Model, ModelSource, resolve_model

if TYPE_CHECKING:
    from perfmodel.machine import Machine
    from perfmodel.mapping import Estimate
    from perfmodel.published import Graph, PublishedEstimate

ROOFLINE: Final = "roofline"
PUBLISHED: Final = "published"
METHODS: Final = (ROOFLINE, PUBLISHED)
#: The CPUs compared when none are named: one of each vendor, those of the published table.
DEFAULT_CPUS: Final = ("xeon_8490h", "epyc_9654", "ampereone_192")

#: A catalogue id, the path of a machine TOML file, or a machine.
Cpu: TypeAlias = "str | os.PathLike[str] | Machine"
Listener: TypeAlias = Callable[[str], None]


@dataclass(frozen=True)
class Row:
    """One model on one CPU by one method.

    Attributes:
        state, runtime: of the roofline method; None where the method knows neither.
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
    """

    model: str
    cpu: str
    method: str
    precision: str
    batch: int
    state: str | None
    runtime: str | None
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

    def to_dict(self) -> dict[str, Any]:
        """The row as plain Python objects for JSON, units in the keys."""
        return {
            "model": self.model,
            "cpu": self.cpu,
            "method": self.method,
            "precision": self.precision,
            "batch": self.batch,
            "state": self.state,
            "runtime": self.runtime,
            "latency_ms": self.latency_ms,
            "throughput_fps": self.throughput_fps,
            "fps_per_watt": self.fps_per_watt,
            "power_basis": self.power_basis,
            "utilization": self.utilization,
            "bottleneck": self.bottleneck,
            "bottleneck_shares": dict(self.bottleneck_shares),
            "active_cores": self.active_cores,
            "mean_active_cores": self.mean_active_cores,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Ranking:
    """The CPUs of one model by one method, fastest first."""

    model: str
    method: str
    cpus: tuple[str, ...]
    latencies_ms: tuple[float, ...]

    @property
    def ratios(self) -> tuple[float, ...]:
        """Each CPU's latency over that of the fastest; the first is 1."""
        return tuple(latency / self.latencies_ms[0] for latency in self.latencies_ms)

    def __str__(self) -> str:
        return " > ".join(
            f"{cpu} {ratio:.2f}x" for cpu, ratio in zip(self.cpus, self.ratios, strict=True)
        )


@dataclass(frozen=True)
class Disagreement:
    """A model that the two methods rank differently, over the CPUs that both evaluated."""

    model: str
    roofline: Ranking
    published: Ranking
    reason: str


def compare(
    models: Iterable[Model] | None = None,
    cpus: Iterable[Cpu] | None = None,
    precision: str = "int8",
    batch: int | None = None,
    methods: Sequence[str] | None = None,
    state: str = "steady",
    runtime: str = "compiled",
    *,
    progress: Listener | None = None,
    left_out: Listener | None = None,
) -> list[Row]:
    """Every model on every CPU by every method; ordered by model as given, method, and latency.

    Args:
        models: see :func:`~perfmodel.resolve.resolve_model`; by default the whole zoo.
        cpus: catalogue ids, paths of machine files, or machines; by default
            :data:`DEFAULT_CPUS`. The published method alone also takes its own ids.
        precision: see :mod:`perfmodel.precision`.
        batch: samples per run; by default 1, and for a saved workload what it was traced with.
        methods: out of :data:`METHODS`. By default the roofline method, and the published one
            wherever that exists; one asked for by name and not applicable is an error.
        state, runtime: of the roofline method, see :func:`perfmodel.estimate`.
        progress: told which model is being loaded, which takes seconds if it must be traced.
        left_out: told, in one line each, where the default methods left the published one out.

    Raises:
        UnknownName: a model, CPU, precision, method, state or runtime that does not exist.
        MachineError, WorkloadFormatError: a file that is wrong.
        TraceError, UnmodelledOperator: a model that cannot be traced.
        PerfmodelError: two models or two CPUs of the same name, a batch a workload was not traced
            at, or the published method where it does not exist.
    """
    for method in methods or ():
        if method not in METHODS:
            raise UnknownName("method", method, METHODS)
    wanted = tuple(method for method in METHODS if methods is None or method in methods)
    check_options(precision, state, runtime)
    chosen_models = _models(models)
    chosen_cpus = _cpus(DEFAULT_CPUS if cpus is None else cpus, wanted)
    batches = [source.batch(batch) for source in chosen_models]

    published = _PublishedMethod(precision, explicit=methods is not None, tell=left_out)
    rows: list[Row] = []
    for source, samples in zip(chosen_models, batches, strict=True):
        if PUBLISHED in wanted:
            published.check(source, samples, chosen_cpus)
    for source, samples in zip(chosen_models, batches, strict=True):
        if progress is not None:
            progress(source.name)
        if ROOFLINE in wanted:
            rows += _roofline_rows(source, samples, chosen_cpus, precision, state, runtime)
        if PUBLISHED in wanted:
            rows += published.rows(source, samples, chosen_cpus)
    return rows


def rankings(rows: Iterable[Row]) -> list[Ranking]:
    """For each model and method, in order of appearance, the CPUs by latency (ties by id)."""
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.model, row.method), []).append(row)
    return [_ranking(group) for group in groups.values()]


def disagreements(rows: Iterable[Row]) -> list[Disagreement]:
    """For each model that the two methods rank differently, one line that says why.

    The reason is put together from what the two estimates hold: the operations each counted, what
    bounds the two CPUs that changed places, and the peaks and bandwidths each method used.
    """
    by_model: dict[str, dict[str, dict[str, Row]]] = {}
    for row in rows:
        by_model.setdefault(row.model, {}).setdefault(row.method, {})[row.cpu] = row
    found = []
    for model, methods in by_model.items():
        ours, theirs = methods.get(ROOFLINE, {}), methods.get(PUBLISHED, {})
        common = ours.keys() & theirs.keys()
        if len(common) < 2:
            continue
        roofline = _ranking([ours[cpu] for cpu in common])
        published = _ranking([theirs[cpu] for cpu in common])
        if roofline.cpus != published.cpus:
            first, second = _inversion(roofline, published)
            reason = _reason(ours[first], ours[second], theirs[first], theirs[second])
            found.append(Disagreement(model, roofline, published, reason))
    return found


# -- what is compared ----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Cpu:
    """A CPU with what each method knows of it."""

    id: str
    origin: str
    machine: Machine | None
    published: bool


def check_options(precision: str, state: str, runtime: str) -> None:
    """Before anything is traced: a misspelt option should not cost seconds."""
    from perfmodel.mapping.mapper import STATES
    from perfmodel.mapping.runtimes import get_runtime
    from perfmodel.precision import get_precision

    get_precision(precision)
    get_runtime(runtime)
    if state not in STATES:
        raise UnknownName("state", state, STATES)


def _models(models: Iterable[Model] | None) -> list[ModelSource]:
    from perfmodel.workload import zoo

    given = zoo.names() if models is None else tuple(models)
    sources: dict[str, ModelSource] = {}
    for source in map(resolve_model, given):
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


def _roofline_rows(
    source: ModelSource,
    batch: int,
    cpus: Sequence[_Cpu],
    precision: str,
    state: str,
    runtime: str,
) -> list[Row]:
    from perfmodel.mapping import estimate

    workload = source.workload(batch)
    rows = []
    for cpu in cpus:
        assert cpu.machine is not None
        result = estimate(workload, cpu.machine, precision, state, runtime)
        rows.append(
            Row(
                model=source.name,
                cpu=cpu.id,
                method=ROOFLINE,
                precision=result.precision,
                batch=result.batch,
                state=result.state,
                runtime=result.runtime,
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
            )
        )
    return _by_latency(rows)


class _PublishedMethod:
    """The published method on what it exists for; the rest is an error, or told and left out."""

    def __init__(self, precision: str, *, explicit: bool, tell: Listener | None) -> None:
        self.precision = precision
        self._explicit = explicit
        self._tell = tell
        self._told: set[str] = set()

    def check(self, source: ModelSource, batch: int, cpus: Sequence[_Cpu]) -> list[_Cpu]:
        """Those of ``cpus`` on which the method can evaluate ``source``."""
        from perfmodel.published.model import BATCH, PRECISION

        if self.precision != PRECISION or batch != BATCH:
            self._refuse(
                "",
                f"it is defined for {PRECISION} at batch {BATCH} only, "
                f"not {self.precision} at batch {batch}",
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
        return _by_latency([_published_row(graph, cpu) for cpu in usable])

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
        runtime=None,
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


def _by_latency(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: (row.latency_ms, row.cpu))


def _ranking(rows: list[Row]) -> Ranking:
    ordered = _by_latency(rows)
    return Ranking(
        model=ordered[0].model,
        method=ordered[0].method,
        cpus=tuple(row.cpu for row in ordered),
        latencies_ms=tuple(row.latency_ms for row in ordered),
    )


# -- reasons -------------------------------------------------------------------------------------

#: Counts this close to each other are the same for the purpose of a reason.
_SAME: Final = 0.02
#: Above this share of the latency, a bound decides "alone".
_ALONE: Final = 0.95

#: Operator families of the workload under the names of what the published method counts.
_COUNTED_AS: Final = {
    "conv": "convolutions",
    "depthwise_conv": "convolutions",
    "linear": "linear layers",
    "attention": "attention",
    "matmul": "attention",
}


def _inversion(roofline: Ranking, published: Ranking) -> tuple[str, str]:
    """Two CPUs in roofline order that the published method has the other way round.

    The two leaders, where they differ; else the pair with the widest margins.
    """
    if roofline.cpus[0] != published.cpus[0]:
        return roofline.cpus[0], published.cpus[0]
    ours = dict(zip(roofline.cpus, roofline.latencies_ms, strict=True))
    theirs = dict(zip(published.cpus, published.latencies_ms, strict=True))

    def width(pair: tuple[str, str]) -> float:
        first, second = pair
        return math.log(ours[second] / ours[first]) + math.log(theirs[first] / theirs[second])

    pairs = [
        (first, second)
        for place, first in enumerate(roofline.cpus)
        for second in roofline.cpus[place + 1 :]
        if published.cpus.index(second) < published.cpus.index(first)
    ]
    return max(pairs, key=width)


def _reason(first: Row, second: Row, first_published: Row, second_published: Row) -> str:
    """Why ``first`` is ahead of ``second`` by the roofline, and behind in the published method."""
    theirs = _published_account(first_published, second_published, _gflop_by_kind(first))
    return f"the published method {theirs}; the roofline method {_roofline_account(first, second)}"


def _gflop_by_kind(row: Row) -> dict[str, float]:
    """GFLOP (a MAC is 2) that the workload of a roofline row executes, by kind."""
    from perfmodel.mapping import Estimate

    assert isinstance(row.estimate, Estimate)
    total: dict[str, float] = {}
    for kernel in row.estimate.kernels:
        if kernel.flops:
            kind = _COUNTED_AS.get(kernel.family, kernel.family)
            total[kind] = total.get(kind, 0.0) + kernel.flops / 1e9
    return total


def _published_account(first: Row, second: Row, true: Mapping[str, float]) -> str:
    """What the published method counted, and by what it ranked ``second`` ahead of ``first``."""
    counted = _counted_by_kind(first)
    total, executed = sum(counted.values()), sum(true.values())
    account = ""
    if abs(total - executed) > _SAME * executed:
        details = ", ".join(
            f"{kind} {_amount(counted.get(kind, 0.0))} of {significant(gflop)}"
            for kind, gflop in true.items()
            if abs(counted.get(kind, 0.0) - gflop) > _SAME * executed
        )
        account += f"counts {significant(total)} of {significant(executed)} GFLOP"
        account += f" ({details}) and " if details else " and "
    return account + _published_decider(second, first)


def _published_decider(ahead: Row, behind: Row) -> str:
    from perfmodel.published import CPUS as cpus

    if ahead.bottleneck != behind.bottleneck:
        sides = " and ".join(
            f"{row.bottleneck} on {row.cpu} ({percent(row.bottleneck_shares[row.bottleneck])})"
            for row in (ahead, behind)
        )
        return f"finds the limit to be {sides}"
    share = min(row.bottleneck_shares[row.bottleneck] for row in (ahead, behind))
    extent = "alone" if share >= _ALONE else f"for {percent(share)} of the time"
    if ahead.bottleneck == "memory":
        figures = ", ".join(
            f"{row.cpu} {significant(cpus[row.cpu].bandwidth_gb_s, 4)} GB/s"
            for row in (ahead, behind)
        )
        return f"compares memory bandwidth {extent} ({figures})"
    figures = ", ".join(
        f"{row.cpu} {significant(cpus[row.cpu].peak_ops_per_s / 1e12)}{_true_peak(row)}"
        for row in (ahead, behind)
    )
    return f"compares INT8 peaks {extent} ({figures} TOP/s)"


def _true_peak(row: Row) -> str:
    if row.machine is None:
        return ""
    return f" where the catalogue has {significant(row.machine.best_peak('int8') / 1e12)}"


def _counted_by_kind(row: Row) -> dict[str, float]:
    """GFLOP the published method counted, by kind of layer."""
    from perfmodel.published import PublishedEstimate

    assert isinstance(row.estimate, PublishedEstimate)
    chains = row.estimate.chains
    total: dict[str, float] = {}
    for types, ops in zip(chains.types, chains.ops.tolist(), strict=True):
        if ops:
            kind = "convolutions" if "Conv2d" in types else "linear layers"
            total[kind] = total.get(kind, 0.0) + ops / 1e9
    return total


def _amount(gflop: float) -> str:
    return significant(gflop) if gflop else "none"


def _roofline_account(first: Row, second: Row) -> str:
    """The part of the latency that puts ``second`` behind, on both CPUs, and what sets it."""
    ours, theirs = _parts_ms(first), _parts_ms(second)
    part = max(theirs, key=lambda name: theirs[name] - ours[name])
    sides = ", ".join(
        f"{significant(parts[part])} on {row.cpu}{_rate(row, part)}"
        for row, parts in ((first, ours), (second, theirs))
    )
    return f"finds the difference in {_PARTS[part]} (ms: {sides})"


#: Parts of a latency as a reason names them.
_PARTS: Final = {
    "compute": "arithmetic-bound time",
    "L2": "L2-bound time",
    "L3": "L3-bound time",
    "DRAM": "DRAM-bound time",
    "overhead": "dispatch and barriers",
}


def _parts_ms(row: Row) -> dict[str, float]:
    """The latency by what each part of it waits for."""
    return {part: share * row.latency_ms for part, share in row.bottleneck_shares.items()}


def _rate(row: Row, part: str) -> str:
    """What sets the duration of that part on that CPU."""
    if row.machine is None:
        return ""
    if part == "overhead":
        return f" with up to {row.active_cores} cores"
    if part == "DRAM":
        return f" at {significant(row.machine.sustained_bandwidth / 1e9)} GB/s"
    return _main_engine(row, row.machine) if part == "compute" else ""


def _main_engine(row: Row, machine: Machine) -> str:
    """The engine that products take most time on, with its peak in their format."""
    from perfmodel.mapping import Estimate
    from perfmodel.precision import get_precision
    from perfmodel.workload.families import CODE

    assert isinstance(row.estimate, Estimate)
    arithmetic = get_precision(row.precision).arithmetic
    time: dict[tuple[str, str], float] = {}
    for kernel in row.estimate.kernels:
        if kernel.flops:
            key = kernel.engine, arithmetic[CODE[kernel.family]]
            time[key] = time.get(key, 0.0) + kernel.compute_ms
    if not time:
        return ""
    engine, fmt = max(time, key=lambda key: time[key])
    if fmt not in machine.engine(engine).ops_per_cycle:
        return f" by {engine}"
    peak = significant(machine.peak_ops(engine, fmt) / 1e12)
    return f" by {engine} at a peak of {peak} {fmt.upper()} TOP/s"
