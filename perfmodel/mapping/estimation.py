"""The public result: one workload on one CPU."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.assumptions import uncalibrated_error
from perfmodel.mapping.columns import Columns, columns
from perfmodel.mapping.mapper import Mapper
from perfmodel.mapping.placement import placed
from perfmodel.mapping.policies import effective
from perfmodel.mapping.registry import mapper_for
from perfmodel.mapping.roofline import BOUNDS, LEVELS, Times
from perfmodel.scenario import RunOptions, Scenario, ScenarioLike, scenario_of
from perfmodel.software import Software
from perfmodel.vocabulary.families import FAMILIES
from perfmodel.vocabulary.precision import Precision
from perfmodel.workload.fusion import fuse, without_constants
from perfmodel.workload.workload import ROLES, Workload, describe_phase


@dataclass(frozen=True)
class KernelEstimate:
    """One kernel of an estimate.

    Attributes:
        name: module path of its first operator.
        operator: the operators it executes, joined by "+".
        engine: what executes it: an engine of the core.
        cores: active cores.
        level: where most of its memory time goes: "L2", "L3" or "DRAM".
        bound: what its time is bound by: "compute", a level, or "overhead".
        compute_ms, memory_ms, overhead_ms: the parts; latency is max(compute, memory) + overhead.
        share: of the whole model's latency, 0 to 1.
    """

    name: str
    operator: str
    family: str
    engine: str
    cores: int
    level: str
    bound: str
    flops: int
    moved_bytes: float
    compute_ms: float
    memory_ms: float
    overhead_ms: float
    latency_ms: float
    share: float


@dataclass(frozen=True, eq=False)
class Estimate:
    """Latency of one run of a workload on a CPU, and what it is made of.

    Attributes:
        latency_ms: sum over kernels, one run of ``batch`` samples.
        throughput_fps: samples per second of one instance that runs back to back.
        fps_per_watt: throughput over the power that ``power_basis`` names.
        utilization: multiply-accumulate and vector operations done, over what the engines that
            executed them could do in the same time on all cores at their sustained clock; 0 to 1,
            so it weights every kernel by its time.
        bottleneck: the label with the largest of ``bottleneck_shares``, which split the latency
            into "compute", "L2", "L3", "DRAM" and "overhead" and sum to 1.
        active_cores: the most cores that any kernel uses.
        mean_active_cores: their time-weighted mean.
        notes: what the reader must know, such as a precision this CPU runs in another format.
        phase: of a model that generates, in words: "prefill of 512 tokens", "decode at context
            1024"; else None.
        tokens_per_s: tokens generated in decode, or of the prompt in prefill, per second over the
            whole batch; None without a phase.
        calibration: "calibrated" where the machine's file was fitted to measurements, else
            "uncalibrated".
        expected_error: mean absolute relative error of such estimates of a model's latency:
            cross-validated at the fit, or as docs/fidelity.md has it of vendors' figures.
    """

    model: str
    cpu: str
    precision: str
    state: str
    software: str
    batch: int
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
    _workload: Workload
    _columns: Columns
    _times: Times
    _engines: tuple[str, ...]
    _formats: Mapping[tuple[str, str], str]

    #: Which of the two methods made this: the published comparison's rows say "published".
    method: str = "roofline"
    phase: str | None = None
    tokens_per_s: float | None = None
    calibration: str = "uncalibrated"
    expected_error: float = float("nan")

    def to_dict(self) -> dict[str, Any]:
        """The estimate without its kernels, as plain Python objects for JSON or a table.

        ``phase`` and ``tokens_per_s`` are there where the model has a phase.
        """
        generation = {"phase": self.phase, "tokens_per_s": self.tokens_per_s}
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
            "calibration": self.calibration,
            "expected_error": self.expected_error,
            "notes": list(self.notes),
        }

    @cached_property
    def kernels(self) -> tuple[KernelEstimate, ...]:
        """The per-kernel table, in the order in which the kernels run."""
        kernels, times, work = self._workload.kernels, self._times, self._columns.work
        latency_ms = times.latency * 1e3
        families = self._workload.family_names()
        rows = []
        for index, column in enumerate(self._columns.inverse.tolist()):
            rows.append(
                KernelEstimate(
                    name=kernels.name[index],
                    operator=kernels.operator[index],
                    family=families[index],
                    engine=self._engines[times.engine[column]],
                    cores=int(times.cores[column]),
                    level=LEVELS[times.memory_level[column]],
                    bound=BOUNDS[times.bound[column]],
                    flops=int(kernels.flops[index]),
                    moved_bytes=float(work.moved[:, column].sum()),
                    compute_ms=float(times.compute[column]) * 1e3,
                    memory_ms=float(times.memory[column]) * 1e3,
                    overhead_ms=float(times.overhead[column]) * 1e3,
                    latency_ms=float(latency_ms[column]),
                    share=float(latency_ms[column]) / self.latency_ms,
                )
            )
        return tuple(rows)

    def levels(self, index: int) -> dict[str, str]:
        """For one kernel, the level that each role's tensors come from; state is with "weight"."""
        column = self._columns.inverse[index]
        return {
            role: LEVELS[self._times.level[code, column]]
            for code, role in enumerate(ROLES)
            if self._columns.work.moved[code, column] > 0
        }

    def moved_bytes(self) -> dict[str, float]:
        """Bytes that one run moves from and to each level: "L2", "L3" and "DRAM"."""
        moved = self._columns.work.moved * self._columns.count
        level = self._times.level
        return {name: float(moved[level == code].sum()) for code, name in enumerate(LEVELS)}

    def flops_by_engine(self) -> dict[tuple[str, str], float]:
        """Multiply-accumulate operations (a MAC is 2) of one run, by engine and operator family."""
        total: dict[tuple[str, str], float] = {}
        flops = self._columns.work.flops * self._columns.count
        for engine, family, done in zip(
            self._times.engine.tolist(), self._columns.family.tolist(), flops.tolist(), strict=True
        ):
            if done:
                key = self._engines[engine], FAMILIES[family]
                total[key] = total.get(key, 0.0) + done
        return total

    def format_of(self, engine: str, family: str) -> str:
        """Return the number format that an engine multiplies a family's operands in."""
        return self._formats[engine, family]

    def vector_operations(self) -> float:
        """Arithmetic operations of one run that are not multiply-accumulates."""
        return float(self._columns.work.vector_ops @ self._columns.count)


def estimate(
    workload: Workload,
    cpu: str | Path | Machine,
    scenario: ScenarioLike = None,
    **options: Unpack[RunOptions],
) -> Estimate:
    """Latency of ``workload`` on ``cpu``, with its bottleneck and per-kernel table.

    Args:
        workload: a traced or loaded model.
        cpu: a catalogue id, the path of a machine TOML file, or a Machine.
        scenario: a :class:`~perfmodel.scenario.Scenario`, or a precision alone; ``options`` are
            its fields. The workload has its own batch, phase and lengths.

    Raises:
        UnknownName: for a CPU, precision, state or software that does not exist.
        MachineError: for a machine file that is wrong.
    """
    run = scenario_of(scenario, options)
    machine = placed(load_machine(cpu), run)
    prepared, table = prepare(workload, run, machine)
    return estimate_columns(prepared, table, machine, run)


def estimate_columns(
    workload: Workload, table: Columns, machine: Machine, run: Scenario
) -> Estimate:
    """:func:`estimate` from what :func:`prepare` gives, or from columns that were changed since."""
    mapper = mapper_for(machine)
    times = mapper.times(table, run.loaded, run.state, alone=not run.several)
    return _summarise(workload, table, times, mapper, run)


def prepare(workload: Workload, run: Scenario, machine: Machine) -> tuple[Workload, Columns]:
    """Return the kernels a software launches on a machine, and their columns.

    They are kept for as long as the workload is. The machine matters where a software stores other
    formats on CPUs without arithmetic in the ones that were asked for.

    Raises :class:`~perfmodel.errors.PerfmodelError` where there is no kernel.
    """
    if not len(workload):
        raise PerfmodelError(
            f"{workload.name}: it has no kernel (it only views its inputs), so nothing takes time; "
            "trace a model that computes something"
        )
    kept: dict[tuple[Precision, frozenset[str]], tuple[Workload, Columns]]
    kept = workload.memo.setdefault("prepared", {})
    software = run.loaded
    rules = frozenset((*software.fusion, *(["constants"] if software.folds else [])))
    policy = effective(run.policy, software, machine)
    key = (policy, rules)
    if key not in kept:
        fused = next((w for (_, how), (w, _) in kept.items() if how == rules), None)
        if fused is None:
            folded = without_constants(workload) if software.folds else workload
            fused = fuse(folded, software.fusion) if software.fusion else folded
        kept[key] = (fused, columns(fused, policy))
    return kept[key]


def _summarise(
    workload: Workload,
    table: Columns,
    times: Times,
    mapper: Mapper,
    run: Scenario,
) -> Estimate:
    machine, software = mapper.machine, run.loaded
    latency = times.latency * table.count
    total = float(latency.sum())
    engine_peak, vector_peak = mapper.peak(table, times.engine, software)
    ideal = table.work.flops / engine_peak + table.work.vector_ops / vector_peak
    shares = dict.fromkeys(BOUNDS, 0.0)
    overhead = times.overhead * table.count
    memory_bound = times.memory > times.compute
    labels = np.where(memory_bound, times.memory_level + 1, 0)
    for code, seconds in zip(labels.tolist(), (latency - overhead).tolist(), strict=True):
        shares[BOUNDS[code]] += seconds / total
    shares["overhead"] = float(overhead.sum()) / total
    throughput = workload.batch / total
    return Estimate(
        model=workload.name,
        cpu=machine.id,
        precision=run.policy.name,
        state=run.state,
        software=software.id,
        batch=workload.batch,
        latency_ms=total * 1e3,
        throughput_fps=throughput,
        fps_per_watt=throughput / machine.power.tdp.typical,
        power_basis=_power_basis(machine),
        utilization=float(np.sum(ideal * table.count)) / mapper.cores / total,
        bottleneck=max(shares, key=lambda label: shares[label]),
        bottleneck_shares=shares,
        active_cores=int(times.cores.max(initial=0)),
        mean_active_cores=float(np.sum(times.cores * latency)) / total,
        notes=_notes(workload, mapper, run.policy, software),
        _workload=workload,
        _columns=table,
        _times=times,
        _engines=mapper.engine_names,
        _formats=mapper.formats(table.precision, software),
        phase=describe_phase(workload.phase, workload.tokens, workload.context) or None,
        tokens_per_s=throughput * workload.tokens if workload.tokens else None,
        calibration="uncalibrated" if machine.calibration is None else "calibrated",
        expected_error=(
            machine.calibration.error
            if machine.calibration is not None
            else uncalibrated_error(software.id, generates=workload.phase is not None)
        ),
    )


def _power_basis(machine: Machine) -> str:
    basis = machine.power.basis
    return "tdp" if basis.lower() in ("", "tdp") else f"tdp ({basis})"


def _notes(
    workload: Workload, mapper: Mapper, precision: Precision, software: Software
) -> tuple[str, ...]:
    notes = [
        f"{mapper.machine.id} under {software.id} has no {asked} arithmetic: products run in "
        f"{instead}"
        for asked, instead in mapper.fallbacks(precision, software).items()
    ]
    if (boundary := workload.provenance.get("boundary")) is not None:
        notes.append(f"{workload.name}: {boundary}")
    if (assumed := workload.provenance.get("assumptions")) is not None:
        notes.append(f"{workload.name}: {assumed}")
    if workload.unmodelled:
        notes.append(f"charged for bytes only: {', '.join(workload.unmodelled)}")
    return tuple(notes)
