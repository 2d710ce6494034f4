"""``perfmodel report``: charts and their data in one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from perfmodel.cli import options, run_options
from perfmodel.cli.rendering import note, progress


@run_options.takes_run(run_options.HOW, run_options.SHAPE, batch=run_options.Batch)
def report(
    *,
    models: options.Models = None,
    cpu: options.Cpus = None,
    run: run_options.Run,
    explored: Annotated[
        str | None,
        typer.Option("--from", metavar="RESULTS", help="A folder of perfmodel explore."),
    ] = None,
    rps: Annotated[
        float | None,
        typer.Option("--rps", metavar="N", help="Samples per second whose cost is shown."),
    ] = None,
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FILE.html", help="Where the page goes.")
    ] = "report.html",
) -> None:
    """Write charts of models on CPUs, each with its data, as one HTML file.

    It holds the ranking with intervals, the roofline of each CPU with the model's kernels, time by
    module, throughput against latency, and where asked for cost and a Pareto front. The file asks
    no server for anything.
    """
    from dataclasses import replace

    from perfmodel._files import write_atomically
    from perfmodel.comparison import usual_cpus
    from perfmodel.errors import PerfmodelError
    from perfmodel.models import zoo
    from perfmodel.reporting import report as write

    named = models or ([] if explored else list(zoo.DEFAULT_MODELS))
    with progress() as loading:
        page = write(
            named,
            cpu or usual_cpus(run.scenario, note),
            replace(run.scenario, batch=run.batch),
            explored=explored,
            rate=rps,
            tell=loading,
        )
    try:
        write_atomically(Path(output), page)
    except OSError as error:
        raise PerfmodelError(f"{output}: cannot be written: {error.strerror}") from None
    note(f"wrote {output}")
