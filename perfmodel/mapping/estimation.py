"""One workload on one CPU: the formula's times summed up as a result."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Final, Unpack

import numpy as np

from perfmodel.certainty import of_run
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.columns import Columns
from perfmodel.mapping.figure_spread import FigureSpread
from perfmodel.mapping.kernel_table import KernelTable
from perfmodel.mapping.mapper import Mapper
from perfmodel.mapping.memory import require_memory
from perfmodel.mapping.placement import placed
from perfmodel.mapping.prepared import prepare
from perfmodel.mapping.registry import mapper_for
from perfmodel.mapping.result import Result
from perfmodel.mapping.roofline import BOUNDS, Times
from perfmodel.scenario import RunOptions, Scenario, ScenarioLike, scenario_of
from perfmodel.software import Software
from perfmodel.vocabulary.precision import Precision
from perfmodel.workload.own_formats import WIDE, stated
from perfmodel.workload.workload import Workload, describe_phase

#: What a note calls formats that are not called as they are.
_SAID: Final = {WIDE: "narrow weights, 16 bits or more"}


def estimate(
    workload: Workload,
    cpu: str | os.PathLike[str] | Machine | Mapper,
    scenario: ScenarioLike = None,
    **options: Unpack[RunOptions],
) -> Result:
    """Latency of ``workload`` on ``cpu``, with its bottleneck and per-kernel table.

    Args:
        workload: a traced or loaded model.
        cpu: a catalogue id, the path of a machine TOML file, or a Machine; or a mapper, of one
            machine and with figures that are no arrays: intervals then leave the ranges of its
            machine's figures out.
        scenario: a :class:`~perfmodel.scenario.Scenario`, or a precision alone; ``options`` are
            its fields. The workload has its own batch, phase and lengths.

    Raises:
        UnknownName: for a CPU, precision, state or software that does not exist.
        MachineError: for a machine file that is wrong.
        NoKernels: for a workload that neither computes nor moves anything.
        NotEnoughMemory: for one that the machine's memory does not hold.
    """
    run = scenario_of(scenario, options)
    if isinstance(cpu, Mapper):
        prepared, table = prepare(workload, run, cpu.machine)
        need = require_memory(workload, cpu.machine, run)
        return replace(_mapped(prepared, table, cpu, run), memory=need)
    whole = load_machine(cpu)
    prepared, table = prepare(workload, run, whole)
    need = require_memory(workload, whole, run)
    found = estimate_columns(prepared, table, whole, run)
    return replace(found, machine=whole, memory=need)


def estimate_columns(workload: Workload, table: Columns, machine: Machine, run: Scenario) -> Result:
    """Return :func:`estimate` from what :func:`~perfmodel.mapping.prepared.prepare` gives.

    Args:
        table: columns of the workload, which may have been changed since.
        machine: the whole socket, or an instance's share of it.
    """
    found = _mapped(workload, table, mapper_for(placed(machine, run)), run)
    times = found.kernel_table.times
    return replace(found, figures=FigureSpread.of_run(table, machine, run, times))


def _mapped(workload: Workload, table: Columns, mapper: Mapper, run: Scenario) -> Result:
    times = mapper.times(table, run.loaded, run.state, alone=not run.several)
    return _summarise(workload, table, times, mapper, run)


def _summarise(
    workload: Workload,
    table: Columns,
    times: Times,
    mapper: Mapper,
    run: Scenario,
) -> Result:
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
    most_cores = int(times.cores.max(initial=0))
    return Result(
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
        active_cores=most_cores,
        # Of equal counts nothing is taken off, so that their mean is that count.
        mean_active_cores=most_cores - float(np.sum((most_cores - times.cores) * latency)) / total,
        notes=_notes(workload, mapper, run.policy, software),
        machine=machine,
        parts=KernelTable(
            workload,
            table,
            times,
            mapper.engine_names,
            mapper.formats(table, times.engine, software),
        ),
        phase=describe_phase(workload.phase, workload.tokens, workload.context) or None,
        tokens_per_s=throughput * workload.tokens if workload.tokens else None,
        calibration="uncalibrated" if machine.calibration is None else "calibrated",
        certainty=of_run(machine, run, workload.phase),
    )


def _power_basis(machine: Machine) -> str:
    basis = machine.power.basis
    return "tdp" if basis.lower() in ("", "tdp") else f"tdp ({basis})"


def _notes(
    workload: Workload, mapper: Mapper, precision: Precision, software: Software
) -> tuple[str, ...]:
    own = [fmt for fmt in stated(workload.kernels.operator) if fmt is not None]
    notes = [
        f"{mapper.machine.id} under {software.id} has no {asked} arithmetic: products run in "
        f"{instead}"
        for asked, instead in mapper.fallbacks(precision, software, own).items()
    ]
    if own:
        formats = ", ".join(sorted({_SAID.get(fmt, fmt) for fmt in own}))
        notes.append(
            f"{workload.name}: {len(own)} of its products run as the program states ({formats}), "
            f"the rest in {precision.name}"
        )
    if (boundary := workload.provenance.get("boundary")) is not None:
        notes.append(f"{workload.name}: {boundary}")
    if (assumed := workload.provenance.get("assumptions")) is not None:
        notes.append(f"{workload.name}: {assumed}")
    if workload.unmodelled:
        notes.append(f"charged for bytes only: {', '.join(workload.unmodelled)}")
    return tuple(notes)
