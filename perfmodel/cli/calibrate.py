"""``perfmodel calibrate``: a machine file fitted to measurements, or to this computer."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfmodel._text import percent
from perfmodel.cli.rendering import Column, Facts, Table, note, show
from perfmodel.errors import PerfmodelError

if TYPE_CHECKING:
    from perfmodel.calibration.calibrate import Calibrated


def calibrate(
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE.toml", help="Where to write it.")
    ],
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Measurements in TOML, or the name of a set that comes with perfmodel (desktops, "
            "matmul, llama_cpp); repeat it for several.",
        ),
    ] = None,
    cpu: Annotated[
        str | None,
        typer.Option("--cpu", "-c", metavar="ID|FILE", help="The CPU to fit, with --from."),
    ] = None,
    host: Annotated[
        bool, typer.Option("--host", help="Measure this computer; it should do nothing else.")
    ] = False,
    software: Annotated[
        str,
        typer.Option(
            "--software",
            metavar="S",
            help="With --host, what to measure: eager, inductor, inductor_frozen, openvino or "
            "onnxruntime. All but eager are measured on one thread, by layers within networks.",
        ),
    ] = "eager",
    budget: Annotated[
        float,
        typer.Option("--budget", metavar="SECONDS", min=1, help="Time to measure, with --host."),
    ] = 120.0,
    keep: Annotated[
        Path | None,
        typer.Option(
            "--measurements",
            metavar="FILE.toml",
            help="Where --host keeps what it measured. [default: beside the output]",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="With --host, fit however noisy the computer is.")
    ] = False,
) -> None:
    """Fit a CPU's efficiencies and overheads to measured times, and write them as a machine file.

    The file is used like any other: perfmodel compare MODEL --cpu FILE.toml. It holds the fitted
    figures with their ranges, the date, the residuals and the versions of the libraries.
    """
    if host == bool(source):
        raise PerfmodelError("calibrate needs either --from FILE with --cpu, or --host")
    if host:
        if cpu is not None:
            raise PerfmodelError("--cpu goes with --from; --host detects the CPU")
        from perfmodel.cli.host import calibrate_host

        calibrated = calibrate_host(
            output, budget, keep or measured_beside(output), force, software
        )
    else:
        if cpu is None:
            raise PerfmodelError("--from needs --cpu: the CPU to fit")
        if software != "eager":
            raise PerfmodelError("--software goes with --host; measurements name their own")
        calibrated = _from_files(source or [], cpu, output)
    show("table", dict, lambda: [table(calibrated), summary(calibrated)])
    note(f"wrote {output}: use it with --cpu {output}")


def measured_beside(output: Path) -> Path:
    """The file of the measurements that a machine file is fitted to."""
    return output.with_name(f"{output.stem}.measurements.toml")


def _from_files(source: list[str], cpu: str, output: Path) -> Calibrated:
    from perfmodel.calibration.calibrate import calibrate
    from perfmodel.calibration.machine_file import render, write
    from perfmodel.evidence.cases import load_cases
    from perfmodel.machine import catalogue, load_machine

    machine = load_machine(cpu)
    points = load_cases(source)
    found = calibrate(machine, points, ", ".join(Path(file).name for file in source))
    base = cpu if cpu in catalogue() else os.path.relpath(cpu, output.parent)
    write(
        output,
        render(base, found.figures, found.record, name=f"{machine.name}, calibrated"),
    )
    return found


def table(calibrated: Calibrated) -> Table:
    """The figures that were fitted, before and after."""
    from perfmodel.calibration.parameters import figures

    fit = calibrated.fit
    machines = {case.machine.id: case.machine for case in fit.cases}
    table = Table(
        [
            Column("figure", "left"),
            Column("before"),
            Column("fitted"),
            Column("90 %", "left", wraps=True),
        ],
        title=f"{calibrated.machine.id}: {len(calibrated.record.parameters)} parameters from "
        f"{len(fit.cases)} points of {', '.join(machines)}",
    )
    before: dict[str, object] = {}
    base = calibrated.machine.model_copy(update={"software": {}})
    for runtime in calibrated.record.runtimes:
        before |= figures(base, runtime)
    own = machines.get(calibrated.machine.id)
    known = {} if own is None else own.figures()
    from perfmodel.figures import quantity
    from perfmodel.machine import Figure

    for path, figure in calibrated.figures.items():
        if figure.source != "calibration":
            continue
        old = known.get(path, before.get(path))
        low, high = (
            quantity.render(float(f"{v:.3g}"), figure.unit) for v in (figure.low, figure.high)
        )
        table.add(
            path,
            quantity.render(float(f"{old.typical:.3g}"), old.unit)
            if isinstance(old, Figure)
            else "-",
            quantity.render(float(f"{figure.typical:.3g}"), figure.unit),
            f"{low} to {high}",
        )
    return table


def summary(calibrated: Calibrated) -> Facts:
    """How well the fit does."""
    from perfmodel.evidence.scores import scores

    fit, record = calibrated.fit, calibrated.record
    own = scores(fit.ratio.tolist(), [1.0] * len(fit.ratio))
    worst = max(range(len(fit.cases)), key=lambda i: max(fit.ratio[i], 1 / fit.ratio[i]))
    return Facts(
        [
            (
                "fit",
                f"mean error {percent(own.mape)}, {percent(own.within_10)} of points within 10 %; "
                f"worst {fit.cases[worst].name}: {float(fit.ratio[worst]):.2f} of measured",
            ),
            ("unseen", f"mean error {percent(record.error)}, cross-validated"),
        ]
    )
