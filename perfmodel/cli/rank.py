"""``perfmodel rank``: how sure an order of CPUs is, and what decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perfmodel._text import percent, significant
from perfmodel.cli import named_cpus, options, plotting, run_options
from perfmodel.cli.rendering import Column, Facts, Table, note, progress, show
from perfmodel.cli.sweep import show_sweeps
from perfmodel.errors import PerfmodelError

if TYPE_CHECKING:
    from perfmodel.certainty import Interval
    from perfmodel.ranking import Ranking


@run_options.takes_run(run_options.HOW, run_options.SHAPE)
def rank(
    *,
    models: options.Models = None,
    cpu: options.Cpus = None,
    run: run_options.Run,
    set_: options.Settings = None,
    sweep: Annotated[
        str | None,
        typer.Option(
            "--sweep",
            metavar="DIM=A:B",
            help="Who leads where: latency over a dimension of the model, such as batch=1:256 or "
            "tokens=1:4096, and the sizes at which the leader changes.",
        ),
    ] = None,
    samples: options.Samples = 4096,
    plot: options.Plot = None,
    format: options.OutputFormat = "table",
) -> None:
    """Order CPUs by latency, with the probability of each rank and what decides it.

    Every figure with a range is sampled (triangular between low and high, mode at typical); what
    two CPUs share, such as a core's efficiencies, is drawn once for both; so is the formula's own
    error, as far as measurements show that they share it. An order that holds in under 90 % of the
    samples is printed as leaning, and as untested where fewer than four machines were measured with
    that software in that way.
    """
    from perfmodel.ranking import rank

    plotting.check(plot)
    machines = named_cpus.machines(cpu, set_, run=run.scenario, least=2)
    sources = run.sources(models)
    if sweep is not None:
        if plot is not None:
            raise PerfmodelError("--plot is of a ranking: leave --sweep out")
        show_sweeps(sources, machines, sweep, run, format)
        return
    rankings = []
    with progress() as loading:
        for source in sources:
            loading(source.name)
            wanted = source.batches(run.batches)
            if (reason := source.prepare(wanted)) is not None:
                note(f"{source.name}: {reason}")
            rankings += [
                rank(source.workload(size), machines, run.scenario, samples=samples)
                for size in wanted
            ]

    def blocks() -> list[Table | Facts]:
        return [block for ranking in rankings for block in (_table(ranking), _orders(ranking))]

    def records() -> list[dict[str, object]]:
        if format == "csv":
            return [row for ranking in rankings for row in ranking.to_records()]
        return [ranking.to_dict() for ranking in rankings]

    show(format, records, blocks)
    plotting.write(plot, lambda: plotting.of_rankings(rankings))


def _table(ranking: Ranking) -> Table:
    """Latency with its interval, and the probability of each rank."""
    places = len(ranking.cpus)
    table = Table(
        [
            Column("CPU", "left"),
            Column("median\nms"),
            Column("80 %\ninterval", "left"),
            Column("rests on", "left"),
            *(Column(f"#{place + 1}\n%") for place in range(places)),
        ],
        title=f"{ranking.model}: {ranking.precision.upper()}, batch {ranking.batch}, "
        f"{ranking.state} state, {ranking.software} software",
        caption="Latencies are medians over samples of the figures that carry a range. Intervals "
        "hold the ranges of figures and the error of the formula; "
        "docs/fidelity.md has how often such intervals and orders came true.",
    )
    rows = zip(
        ranking.cpus,
        ranking.latency_ms,
        ranking.latency_low_ms,
        ranking.latency_high_ms,
        ranking.machines,
        ranking.rank_probability,
        strict=True,
    )
    for cpu, median, low, high, (_, stated), probabilities in rows:
        table.add(
            cpu,
            significant(median),
            f"{significant(low)} to {significant(high)}",
            _evidence(stated),
            *("." if p < 0.005 else f"{p * 100:.0f}" for p in probabilities),
        )
    return table


def _evidence(stated: Interval) -> str:
    """One word of provenance, and how many machines are behind it."""
    return stated.provenance + (f", {stated.machines} machines" if stated.machines else "")


def _orders(ranking: Ranking) -> Facts:
    """Each CPU against the next: verdict, ratio, and what decides."""
    lines = []
    for pair in ranking.adjacent:
        shares = [("the formula's own error", pair.model_error)]
        shares += [(influence.unknown.label, influence.share) for influence in pair.deciding]
        deciding = "; ".join(
            f"{name} ({percent(share)})"
            for name, share in sorted(shares, key=lambda named: -named[1])
            if share >= 0.05
        )
        reason = f" ({pair.reason})" if pair.reason else ""
        text = (
            f"{pair.verdict}{reason}, {percent(pair.probability)} of samples; ratio "
            f"{pair.ratio:.2f} ({pair.ratio_low:.2f} to {pair.ratio_high:.2f})"
        )
        lines.append(
            (f"{pair.faster} > {pair.slower}", f"{text}; decided by {deciding or 'nothing known'}")
        )
    return Facts(lines)
