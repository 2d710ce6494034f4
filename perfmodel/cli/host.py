"""The parts of ``calibrate`` and ``validate`` that run something on this computer."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Final

import typer

from perfmodel._text import percent
from perfmodel.cli.rendering import note
from perfmodel.errors import MeasurementError

if TYPE_CHECKING:
    from perfmodel.calibration.calibrate import Calibrated
    from perfmodel.calibration.host.detection import Host
    from perfmodel.calibration.host.plan import Step
    from perfmodel.calibration.host.runners import Runner
    from perfmodel.evidence.validation import Compared
    from perfmodel.machine import Machine
    from perfmodel.mapping import Result

#: Median spread of the microbenchmarks from which on a fit is refused.
NOISE_LIMIT: Final = 0.25
#: Seconds to time one model.
_MODEL_S: Final = 3.0


def detected() -> Host:
    """This computer, with what it is taken for said on stderr."""
    from perfmodel.calibration.host.detection import detect

    host = detect()
    if host.recognised:
        clock = host.stated.get("clock.sustained")
        how = "measured" if host.clock_measured else "the highest of its kind, not measured"
        note(f"{host.brand}: {host.cores} cores at {clock} ({how}), described by {host.base}")
    else:
        note(
            f"{host.brand} is not a CPU that perfmodel knows: described by {host.base}, which has "
            "the same instruction sets; its clock, power and memory may differ"
        )
    return host


def calibrate_host(
    output: Path, budget: float, keep: Path, force: bool, software: str
) -> Calibrated:
    """Measure this computer and write its machine file, and beside it what that rests on."""
    from perfmodel.calibration.calibrate import calibrate
    from perfmodel.calibration.host.detection import machine_text
    from perfmodel.calibration.host.microbenchmarks import measure
    from perfmodel.calibration.host.points import disturbed, keep_in
    from perfmodel.calibration.host.runners import runner_for
    from perfmodel.calibration.machine_file import render, write
    from perfmodel.calibration.parameters import opened
    from perfmodel.evidence.cases import load_cases
    from perfmodel.machine import load_machine
    from perfmodel.software import load_software

    runner = runner_for(software)
    runner.need()
    host = detected()
    described = keep.with_name(f"{output.stem}.detected.toml")
    write(described, machine_text(host, output.stem))
    machine = load_machine(described)
    steps = _steps(runner, budget, host)
    if software != "eager":
        precisions = {step.precision for step in steps}
        reached = opened(machine, software, precisions)
        write(described, machine_text(host, output.stem, reached))
        machine = load_machine(described)
    if "int8" in runner.precisions and not any(step.precision == "int8" for step in steps):
        note("INT8 is not measured: too short a budget, or no instructions for it")
    day = date.today().isoformat()
    kept = 0
    try:
        with _bar() as advance:
            save = keep_in(keep, described.name, host.brand, day)
            points = measure(steps, budget, machine.cache.l3.typical, save, advance)
            kept = len(points)
    except KeyboardInterrupt:
        kept = kept or (keep.read_text(encoding="utf-8").count("probe =") if keep.exists() else 0)
        note(
            f"interrupted: {kept} points are kept in {keep}; fit them with perfmodel calibrate "
            f"--from {keep} --cpu {described} -o {output}"
        )
        raise typer.Exit(130) from None
    noise = median(point.timing.spread for point in points)
    worst = max(points, key=lambda point: point.timing.spread)
    note(
        f"spread (median over minimum): {percent(noise)} at the median, at most "
        f"{percent(worst.timing.spread)} ({worst.step.probe})"
    )
    if waited := disturbed(points):
        note(
            f"{len(waited)} points on several threads took longer than on one: other work holds "
            "the cores; they are not fitted to"
        )
    if noise > NOISE_LIMIT and not force:
        raise MeasurementError(
            f"too noisy to fit: the median spread is {percent(noise)}, above "
            f"{percent(NOISE_LIMIT)}; stop other work, or use --force. The points are in {keep}"
        )
    found = calibrate(machine, load_cases([str(keep)]), f"this computer ({host.brand})")
    text = render(
        host.base,
        found.figures,
        found.record,
        name=f"{host.brand}, {host.cores} cores, calibrated",
        stated=host.stated,
        comment=f"{host.brand}, fitted to microbenchmarks under {load_software(software).name}.\n"
        f"Measured: {keep.name}",
    )
    write(output, text)
    return found


def _steps(runner: Runner, budget: float, host: Host) -> list[Step]:
    """What a calibration of one software runs, in the precisions that it has here."""
    from perfmodel.calibration.host.plan import plan, plan_layers

    if runner.software == "eager":
        return plan(budget, host.cores, host.flags)
    able = []
    for precision in runner.precisions:
        try:
            runner.need(precision)
        except MeasurementError as error:
            note(f"{precision} is not measured: {error}")
        else:
            able.append(precision)
    return plan_layers(runner.software, able, budget, host.flags)


@contextmanager
def _bar() -> Iterator[Callable[[Step, float], None]]:
    """A progress bar on stderr, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda step, done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description:48}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("starting", total=1.0)

        def advance(step: Step, done: float) -> None:
            text = f"{step.probe}, {step.precision}, {step.threads} thread(s)"
            bar.update(task, description=text, completed=done)

        yield advance


def host_machine(host: Host, cpu: str | None) -> Machine:
    """The machine file ``cpu``, or else this computer as vendors' figures describe it."""
    from perfmodel.machine import load_machine

    if cpu is not None:
        return load_machine(cpu)
    note("no --cpu: predictions rest on vendors' figures (perfmodel calibrate --host)")
    return described(host)


def described(host: Host) -> Machine:
    """This computer as vendors' figures describe it."""
    import tempfile

    from perfmodel.calibration.host.detection import machine_text
    from perfmodel.machine import load_machine

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "host.toml"
        path.write_text(machine_text(host, "host"), encoding="utf-8")
        return load_machine(path)


def validate_host(
    models: Sequence[str],
    cpu: str | None,
    precision: str,
    batch: int,
    runtime: str,
    threads: Sequence[int] | None,
    keep: Path | None = None,
) -> tuple[list[Compared], list[Compared]]:
    """Models run here beside their estimates: end to end, and by kernel family.

    With a machine file, end to end also beside what this computer's description says without it.

    Args:
        keep: where what was measured is written, whole after each model.
    """
    from perfmodel.calibration.host.models import time_model
    from perfmodel.calibration.host.points import ModelRun, keep_models
    from perfmodel.calibration.host.runners import runner_for
    from perfmodel.machine.parts import with_cores
    from perfmodel.mapping import estimate
    from perfmodel.resolve import resolve_model
    from perfmodel.vocabulary.precision import get_precision

    get_precision(precision)
    runner_for(runtime).check(precision)
    sources = [resolve_model(model) for model in models]
    host = detected()
    machine = host_machine(host, cpu)
    plain = None if cpu is None else described(host)
    counts = list(dict.fromkeys(threads or (1, host.cores)))
    runs: list[ModelRun] = []
    found: list[Compared] = []
    without: list[Compared] = []
    kernels: list[Compared] = []
    for source in sources:
        for count in counts:
            timing, families = time_model(source.name, batch, precision, count, _MODEL_S, runtime)
            runs.append(ModelRun(source.name, batch, count, timing))
            if keep is not None:
                keep_models(keep, runs, host, machine.id, precision, runtime)
            own = with_cores(machine, count)
            guess = estimate(source.workload(batch), own, precision, software=runtime)
            label = f"{source.name}, {count} thread{'s' if count > 1 else ''}"
            point = _compared(label, source.name, f"host_{precision}", guess, timing.decile)
            found.append(point)
            note(f"{label}: spread {percent(timing.spread)} over {timing.samples} runs")
            kernels += _by_family(point, guess, families)
            if plain is not None:
                own = with_cores(plain, count)
                guess = estimate(source.workload(batch), own, precision, software=runtime)
                group = f"host_{precision}, not calibrated"
                name = f"{label}, not calibrated"
                without.append(_compared(name, source.name, group, guess, timing.decile))
    return found + without, kernels


def _compared(name: str, subject: str, group: str, guess: Result, seconds: float) -> Compared:
    from perfmodel.evidence.validation import Compared

    return Compared(
        name=name,
        subject=subject,
        set=group,
        machine=guess.cpu,
        split="validation",
        unit="ms",
        predicted=guess.latency_ms,
        measured=seconds * 1e3,
        regime=guess.bottleneck,
    )


def _by_family(point: Compared, guess: Result, families: Mapping[str, float]) -> Iterator[Compared]:
    """The families of kernels that take more than 1 % of a model's time."""
    from perfmodel.calibration.host.models import profiled_as

    by_family: dict[str, float] = {}
    for kernel in guess.kernels:
        family = profiled_as(kernel.family)
        by_family[family] = by_family.get(family, 0.0) + kernel.latency_ms
    for family, seconds in families.items():
        if seconds * 1e3 > 0.01 * guess.latency_ms and family in by_family:
            yield replace(
                point,
                name=f"{point.name}: {family}",
                predicted=by_family[family],
                measured=seconds * 1e3,
                regime="kernels",
            )
