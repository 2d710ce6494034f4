"""``perfmodel validate --host --power``: energy on this computer, modelled and by its counters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from perfmodel._text import percent, significant
from perfmodel.cli.host import detected, host_machine
from perfmodel.cli.rendering import Column, Table, note, show
from perfmodel.cost.rapl import POWERCAP, SECONDS

if TYPE_CHECKING:
    from perfmodel.cost.validation import PowerPoint


def validate_power(
    models: Sequence[str],
    cpu: str | None,
    precision: str,
    batch: int,
    runtime: str,
    threads: Sequence[int] | None,
    root: Path = POWERCAP,
    seconds: float = SECONDS,
) -> list[PowerPoint]:
    """Each model run here on each number of threads, beside what the power model says of it.

    Raises:
        NoCounter: before anything is run, where there is no counter or no right to read it.
    """
    from perfmodel.calibration.host.models import running
    from perfmodel.cost.rapl import counters
    from perfmodel.cost.validation import power_point
    from perfmodel.machine.parts import with_cores
    from perfmodel.mapping import estimate
    from perfmodel.resolve import resolve_model

    for counter in counters(root):
        counter.read()
    sources = [resolve_model(model) for model in models]
    host = detected()
    machine = host_machine(host, cpu)
    found = []
    for source in sources:
        workload = source.workload(batch)
        for count in dict.fromkeys(threads or (1, host.cores)):
            guess = estimate(workload, with_cores(machine, count), precision, software=runtime)
            with running(source.name, batch, precision, count, runtime) as run:
                run()  # What the first run prepares is not counted.
                found.append(power_point(run, guess, machine, count, root, seconds=seconds))
    return found


def show_power(found: Sequence[PowerPoint], format: str) -> None:
    """Print the points."""
    show(format, lambda: [point.to_dict() for point in found], lambda: [power_table(found)])
    if any(len(point.measured.packages) > 1 for point in found):
        note("several packages are measured together, idle ones included; the model has one")


def power_table(found: Sequence[PowerPoint]) -> Table:
    """One line per model and number of threads."""
    table = Table(
        [
            Column("model", "left"),
            Column("threads"),
            Column("modelled\nJ per sample"),
            Column("measured\nJ per sample"),
            Column("ratio"),
            Column("modelled\nW"),
            Column("measured\nW"),
            Column("FPS/W"),
        ],
        title=f"Energy on this computer, as {found[0].machine}",
        caption="Measured: RAPL, whole packages, whatever else runs included. FPS/W: over measured "
        f"power. Mean error {percent(sum(abs(p.ratio - 1) for p in found) / len(found))}.",
    )
    for point in found:
        table.add(
            point.model,
            str(point.threads),
            significant(point.modelled_j),
            significant(point.measured_j),
            f"{point.ratio:.2f}",
            f"{point.modelled_w:.0f}",
            f"{point.measured_w:.0f}",
            significant(point.fps_per_watt),
        )
    return table
