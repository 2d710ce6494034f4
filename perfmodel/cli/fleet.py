"""What ``perfmodel serve`` says of a rate: the fewest servers, and what requests meet."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from perfmodel._text import percent, significant
from perfmodel.cli import options, quantities, run_options
from perfmodel.cli.rendering import Column, Table, certainty, note, progress, show
from perfmodel.errors import PerfmodelError
from perfmodel.vocabulary import ranges

if TYPE_CHECKING:
    from perfmodel.machine import Machine
    from perfmodel.serving.fleet import Fleet, Fleets
    from perfmodel.serving.goal import Goal

Rate: TypeAlias = Annotated[
    float | None,
    typer.Option(
        "--rps",
        metavar="N",
        help="Requests per second that arrive at random. Limits then include waiting.",
    ),
]
Percentile: TypeAlias = Annotated[
    float,
    typer.Option(
        "--percentile", metavar="P", help="Of the requests that must be within the limits, in %."
    ),
]
Ttft: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--ttft", metavar="TIME", help="Limit of the time to first token, waiting included."
    ),
]
Tpot: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--tpot", metavar="TIME", help="Limit of the time per output token, the first excluded."
    ),
]
Output: TypeAlias = Annotated[
    int | None,
    typer.Option("--output", metavar="N", min=1, help="Tokens that each request generates."),
]
Chunk: TypeAlias = Annotated[
    int | None,
    typer.Option(
        "--chunk",
        metavar="N",
        min=1,
        help="Tokens of a prompt that one step processes. [default: 512]",
    ),
]


def goal(
    rate: float | None,
    max_latency_s: float | None,
    ttft: str | None,
    tpot: str | None,
    percentile: float,
) -> Goal:
    """Return what the options ask for; raises PerfmodelError for what is not plausible."""
    from perfmodel.serving.goal import Goal

    def limit(option: str, text: str | None) -> float | None:
        if text is None:
            return None
        return quantities.quantity(option, text, "s", "500 ms", ranges.LATENCY)

    return Goal(
        rate=rate,
        latency_s=max_latency_s,
        ttft_s=limit("--ttft", ttft),
        tpot_s=limit("--tpot", tpot),
        percentile=percentile,
    )


def show_fleets(
    model: str,
    machines: Sequence[Machine],
    asked: Goal,
    run: run_options.Run,
    output: int | None,
    chunk: int | None,
    format: options.Format,
) -> None:
    """Print the fleet of each machine."""
    from perfmodel.running import fleet

    if run.allow_unmodelled:
        raise PerfmodelError("--allow-unmodelled: a service is not planned on operators unknown")
    with progress() as loading:
        loading(model)
        found = fleet(
            model,
            machines,
            run.scenario,
            goal=asked,
            output=output,
            chunk=chunk,
            batches=run.batches,
            tell=note,
        )
    show(
        format,
        lambda: [each.to_dict() for each in found.fleets] if format == "csv" else found.to_dict(),
        lambda: [fleet_table(found, run.scenario.tokens, output), times_table(found)],
    )
    notes = dict.fromkeys(text for each in found.fleets for text in each.notes)
    for line in (*found.missed, *notes):
        note(line)


def fleet_table(found: Fleets, tokens: int | None, output: int | None) -> Table:
    """Return how many servers of each CPU serve the rate, fewest first."""
    first = found.fleets[0]
    result, asked = first.result, first.goal
    prompt = f"{tokens} tokens in, " if tokens and output else ""
    made = f", {prompt}{output} tokens out" if output else ""
    rate = "" if asked.rate is None else f", {significant(asked.rate)} requests/s"
    sizes = sorted({each.sockets_per_server for each in found.fleets})
    unit = "socket" if sizes == [1] else "server"
    of = "" if sizes == [1] else f", servers of {' or '.join(map(str, sizes))} sockets"
    table = Table(
        [
            Column("CPU", "left"),
            *([] if asked.rate is None else [Column(f"{unit}s")]),
            Column("instances\nx cores"),
            Column("batch"),
            Column(f"requests/s\nper {unit}"),
            Column("within limits\nat most"),
            Column("interval"),
            *([Column(f"tokens/s\nper {unit}")] if output else []),
            Column("load\n%"),
        ],
        title=f"{result.model}: {result.precision.upper()}{made}{rate}, {_limits(asked)}, "
        f"{result.software} software{of}",
        caption=f"Batch: the most {'sequences' if output else 'samples'} at once. Interval: of the "
        "rate within limits, were all times as far off as estimates are in 80 % of cases. Load: of "
        "the rate at which an instance never rests." + _certainties(found),
    )
    for each in found.fleets:
        table.add(
            each.cpu,
            *([] if asked.rate is None else [str(each.servers)]),
            f"{each.partition.instances} x {each.partition.cores}",
            str(each.batch),
            significant(each.rate),
            significant(each.most_rate),
            _interval(each),
            *([significant(each.tokens_per_s or 0.0)] if output else []),
            f"{each.load * 100:.0f}",
        )
    return table


def times_table(found: Fleets) -> Table:
    """Return percentiles of what requests meet at that rate."""
    from perfmodel.serving.choices import REQUESTS, WARM_UP
    from perfmodel.serving.goal import DEFINITIONS, PERCENTILES

    generates = bool(found.fleets[0].ttft_ms)
    kinds = ["ttft", "tpot", "latency"] if generates else ["latency"]
    names = {"ttft": "TTFT", "tpot": "TPOT", "latency": "latency"}
    definitions = " ".join(f"{names[kind]}: {DEFINITIONS[kind]}." for kind in kinds)
    table = Table(
        [
            Column("CPU", "left"),
            *(Column(f"{names[k]} ms\nP{p}") for k in kinds for p in PERCENTILES),
        ],
        title="What requests meet",
        caption=f"{definitions} {REQUESTS - WARM_UP} requests of a Poisson process, simulated.",
    )
    for each in found.fleets:
        times = [getattr(each, f"{kind}_ms")[p] for kind in kinds for p in PERCENTILES]
        table.add(each.cpu, *map(significant, times))
    return table


def _limits(asked: Goal) -> str:
    limits = {"TTFT": asked.ttft_s, "TPOT": asked.tpot_s, "latency": asked.latency_s}
    within = " and ".join(
        f"{name} within {significant(limit * 1e3)} ms"
        for name, limit in limits.items()
        if limit is not None
    )
    return f"{percent(asked.percentile / 100)} with {within}"


def _interval(each: Fleet) -> str:
    if each.most_rate_low is None or each.most_rate_high is None:
        return "-"
    return f"{significant(each.most_rate_low)} to {significant(each.most_rate_high)}"


def _certainties(found: Fleets) -> str:
    """What the times rest on: of text, prefill and decode by themselves."""
    late = certainty([each.result for each in found.fleets])
    prompts = [each.prompt for each in found.fleets if each.prompt is not None]
    if not prompts:
        return late
    return f" TTFT rests on prefill:{certainty(prompts)} TPOT rests on decode:{late}"
