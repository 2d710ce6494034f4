"""The parts of ``calibrate`` and ``validate`` that run something on this computer."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
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
    from perfmodel.evidence.validation import Compared
    from perfmodel.machine import Machine

#: Median spread of the microbenchmarks from which on a fit is refused.
NOISE_LIMIT: Final = 0.25
#: Seconds to time one model.
_MODEL_S: Final = 3.0


def need_torch() -> None:
    """Raises :class:`MeasurementError` where PyTorch is not installed."""
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # its profiler tells of every start
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        raise MeasurementError(
            "--host runs PyTorch, which is not installed: pip install 'perfmodel[torch]'"
        ) from None


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


def calibrate_host(output: Path, budget: float, keep: Path, force: bool) -> Calibrated:
    """Measure this computer and write its machine file, and beside it what that rests on."""
    from perfmodel.calibration.calibrate import calibrate
    from perfmodel.calibration.host.detection import machine_text
    from perfmodel.calibration.host.microbenchmarks import disturbed, keep_in, measure
    from perfmodel.calibration.host.plan import plan
    from perfmodel.calibration.machine_file import render, write
    from perfmodel.evidence.cases import load_cases
    from perfmodel.machine import load_machine

    need_torch()
    host = detected()
    described = keep.with_name(f"{output.stem}.detected.toml")
    write(described, machine_text(host, output.stem))
    machine = load_machine(described)
    steps = plan(budget, host.cores, host.flags)
    if not any(step.precision == "int8" for step in steps):
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
        comment=f"{host.brand}, fitted to microbenchmarks under PyTorch.\nMeasured: {keep.name}",
    )
    write(output, text)
    return found


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
    import tempfile

    from perfmodel.calibration.host.detection import machine_text

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "host.toml"
        path.write_text(machine_text(host, "host"), encoding="utf-8")
        machine = load_machine(path)
    note("no --cpu: predictions rest on vendors' figures (perfmodel calibrate --host)")
    return machine


def validate_host(
    models: Sequence[str],
    cpu: str | None,
    precision: str,
    batch: int,
    runtime: str,
    threads: Sequence[int] | None,
) -> tuple[list[Compared], list[Compared]]:
    """Models run here beside their estimates: end to end, and by kernel family."""
    from perfmodel.calibration.host.models import profiled_as, time_model
    from perfmodel.evidence.validation import Compared
    from perfmodel.machine.parts import with_cores
    from perfmodel.mapping import estimate
    from perfmodel.resolve import resolve_model
    from perfmodel.vocabulary.precision import get_precision

    get_precision(precision)
    sources = [resolve_model(model) for model in models]
    need_torch()
    host = detected()
    machine = host_machine(host, cpu)
    counts = list(dict.fromkeys(threads or (1, host.cores)))
    found, kernels = [], []
    for source in sources:
        for count in counts:
            timing, families = time_model(source.name, batch, precision, count, _MODEL_S, runtime)
            own = with_cores(machine, count)
            guess = estimate(source.workload(batch), own, precision, software=runtime)
            label = f"{source.name}, {count} thread{'s' if count > 1 else ''}"

            def compared(name: str, guess_ms: float, seconds: float, regime: str) -> Compared:
                return Compared(
                    name=name,
                    subject=source.name,  # noqa: B023 - called within the iteration
                    set=f"host_{precision}",
                    machine=machine.id,
                    split="validation",
                    unit="ms",
                    predicted=guess_ms,
                    measured=seconds * 1e3,
                    regime=regime,
                )

            found.append(compared(label, guess.latency_ms, timing.minimum, guess.bottleneck))
            note(f"{label}: spread {percent(timing.spread)} over {timing.samples} runs")
            by_family: dict[str, float] = {}
            for kernel in guess.kernels:
                family = profiled_as(kernel.family)
                by_family[family] = by_family.get(family, 0.0) + kernel.latency_ms
            for family, seconds in families.items():
                if seconds * 1e3 > 0.01 * guess.latency_ms and family in by_family:
                    kernels.append(
                        compared(f"{label}: {family}", by_family[family], seconds, "kernels")
                    )
    return found, kernels
