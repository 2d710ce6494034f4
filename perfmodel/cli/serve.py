"""``perfmodel serve``: how to divide a socket for the highest throughput within a latency."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from perfmodel._text import percent, significant
from perfmodel.cli import fleet, named_cpus, options, placing, quantities, run_options
from perfmodel.cli.rendering import Column, Table, certainty, note, optional, show
from perfmodel.cli.searching import search_all
from perfmodel.errors import PerfmodelError

if TYPE_CHECKING:
    from perfmodel.mapping import Result
    from perfmodel.serving import Search


@run_options.takes_served_run
def serve(
    *,
    model: options.OneModel,
    cpu: options.Cpus = None,
    max_latency: options.MaxLatency = None,
    rps: fleet.Rate = None,
    ttft: fleet.Ttft = None,
    tpot: fleet.Tpot = None,
    output: fleet.Output = None,
    chunk: fleet.Chunk = None,
    percentile: fleet.Percentile = 99.0,
    run: run_options.Run,
    sockets: options.Sockets = 1,
    set_: options.Settings = None,
    script: Annotated[
        Path | None,
        typer.Option(
            "--script",
            metavar="FILE.py",
            help="Write a program that measures the best division on that CPU, for validate and "
            "calibrate.",
        ),
    ] = None,
    format: options.OutputFormat = "table",
) -> None:
    """Find the instances, cores and batch that serve most samples within a latency.

    Every instance runs at the same time on cores of its own, with its share of the memory bandwidth
    and of the last-level cache. Latency is the time one batch is computed, without waiting for it
    to fill. Batches tried are powers of two up to 128.

    With --rps, --ttft, --tpot or --output, find the fewest sockets (servers, with --sockets) that
    serve requests at random: limits then hold for a percentile of them, waiting included. A model
    that generates text runs under continuous batching with chunked prefill, with --tokens in and
    --output tokens out.
    """
    from perfmodel.serving.searching import require_best
    from perfmodel.serving.settings import settings

    limit_s = quantities.latency(max_latency)
    machines = named_cpus.different_machines(cpu, set_, sockets, run=run.scenario)
    if any(given is not None for given in (rps, ttft, tpot, output, chunk)):
        if script is not None:
            raise PerfmodelError(
                "--script measures one division back to back: leave it out, or the rate, its "
                "limits and --output"
            )
        asked = fleet.goal(rps, limit_s, ttft, tpot, percentile)
        fleet.show_fleets(model, machines, asked, run, output, chunk, format)
        return
    found = search_all(run.source(model), machines, limit_s, run).found
    missed = require_best(found)
    best = placing.winner(found)
    if script is not None:
        placing.write_script(script, best, model, cpu or (), sockets)

    def records() -> list[dict[str, object]]:
        if format == "csv":
            return [
                {**served.to_record(), "best": served is result.best}
                for result in found
                for served in result.frontier
            ]
        return [
            result.to_dict() | ({"settings": settings(best)} if result.best is best else {})
            for result in found
        ]

    show(
        format,
        records,
        lambda: [
            best_table(found),
            frontier_table(found),
            placing.memory_table(found),
            placing.settings_facts(best),
        ],
    )
    for line in (*missed, *dict.fromkeys(text for result in found for text in result.notes)):
        note(line)


def _limit(result: Search) -> str:
    limit = result.max_latency_ms
    return "any latency" if limit is None else f"at most {significant(limit)} ms"


def best_table(found: Sequence[Search]) -> Table:
    """The best of each CPU, highest throughput first."""
    any_served = found[0].fastest
    run = any_served
    generating = any_served.tokens_per_s is not None
    phase = f", {run.phase}" if run.phase else ""
    table = Table(
        [
            Column("CPU", "left"),
            Column("instances\nx cores"),
            Column("batch"),
            Column("latency\nms"),
            *([Column("tokens/s")] if generating else []),
            Column("FPS"),
            Column("FPS/W"),
            Column("used\n%"),
            Column("DRAM\nGB/s"),
            Column("bottleneck", "left"),
        ],
        title=f"{run.model}: {run.precision.upper()}{phase}, {_limit(found[0])}, "
        f"{any_served.weights} weights, {run.state} state, {run.software} software"
        + several_sockets(any_served),
        caption="FPS/W: over the rated power of the socket."
        + certainty([result.best or result.fastest for result in found]),
    )
    best = [result.best for result in found if result.best is not None]
    for served in sorted(best, key=lambda served: -served.throughput_fps):
        bottleneck = served.bottleneck
        table.add(
            served.cpu,
            _division(served),
            str(served.batch),
            significant(served.latency_ms),
            *([significant(served.tokens_per_s or 0.0)] if generating else []),
            significant(served.throughput_fps),
            significant(served.fps_per_watt),
            f"{served.utilization * 100:.0f}",
            optional(served.dram_gb_s, significant),
            f"{bottleneck} {percent(served.bottleneck_shares[bottleneck])}",
        )
    return table


def several_sockets(served: Result) -> str:
    """What a title says of machines of several sockets."""
    sockets = 1 if served.machine is None else served.machine.sockets
    return "" if sockets == 1 else f", {sockets} sockets"


def _division(served: Result) -> str:
    return f"{served.partition.instances} x {served.partition.cores}"


def frontier_table(found: Sequence[Search]) -> Table:
    """What more latency buys on each CPU."""
    table = Table(
        [
            Column("CPU", "left"),
            Column("latency\nms"),
            Column("FPS"),
            Column("instances\nx cores"),
            Column("batch"),
        ],
        title="Highest throughput by latency",
    )
    for result in found:
        for number, served in enumerate(result.buckets(per_decade=5)):
            table.add(
                "" if number else result.cpu,
                significant(served.latency_ms),
                significant(served.throughput_fps),
                _division(served),
                str(served.batch),
                section=not number,
            )
    return table
