"""``perfmodel rank``: how sure an order of CPUs is, and what decides it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from perfmodel._text import percent, significant
from perfmodel.cli import options
from perfmodel.cli.rendering import Column, Facts, Table, note, progress, show
from perfmodel.cli.sweep import show_sweeps

if TYPE_CHECKING:
    from perfmodel.ranking import Ranking


@options.takes_run(options.HOW, options.SHAPE)
def rank(
    *,
    models: options.Models = None,
    cpu: options.Cpus = None,
    run: options.Run,
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
    format: options.OutputFormat = "table",
) -> None:
    """Order CPUs by latency, with the probability of each rank and what decides it.

    Every figure with a range is sampled (triangular between low and high, mode at typical); what
    two CPUs share, such as a core's efficiencies, is drawn once for both. An order that holds in
    under 90 % of the samples is printed as leaning.
    """
    from perfmodel.ranking import rank

    machines = options.machines(cpu, set_)
    sources = run.sources(models)
    if sweep is not None:
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


def _table(ranking: Ranking) -> Table:
    """Latency with its interval, and the probability of each rank."""
    places = len(ranking.cpus)
    table = Table(
        [
            Column("CPU", "left"),
            Column("latency\nms"),
            Column("80 %\ninterval", "left"),
            *(Column(f"#{place + 1}\n%") for place in range(places)),
        ],
        title=f"{ranking.model}: {ranking.precision.upper()}, batch {ranking.batch}, "
        f"{ranking.state} state, {ranking.software} software",
        caption=_certainty(ranking),
    )
    rows = zip(
        ranking.cpus,
        ranking.latency_ms,
        ranking.latency_low_ms,
        ranking.latency_high_ms,
        ranking.rank_probability,
        strict=True,
    )
    for cpu, median, low, high, probabilities in rows:
        table.add(
            cpu,
            significant(median),
            f"{significant(low)} to {significant(high)}",
            *("." if p < 0.005 else f"{p * 100:.0f}" for p in probabilities),
        )
    return table


def _certainty(ranking: Ranking) -> str:
    """What the intervals hold, and which of the CPUs were never fitted to measurements."""
    never = [
        cpu
        for cpu, label in zip(ranking.cpus, ranking.calibration, strict=True)
        if label == "uncalibrated"
    ]
    which = f" ({', '.join(never)})" if 0 < len(never) < len(ranking.cpus) else ""
    label = f"Uncalibrated{which}" if never else "Calibrated"
    return f"{label}; intervals hold the ranges of figures, not the error of the formula."


def _orders(ranking: Ranking) -> Facts:
    """Each CPU against the next: verdict, ratio, and what decides."""
    lines = []
    for pair in ranking.adjacent:
        deciding = "; ".join(
            f"{influence.unknown.label} ({percent(influence.share)})"
            for influence in pair.deciding
            if influence.share >= 0.05
        )
        text = (
            f"{pair.verdict}, {percent(pair.probability)} of samples; ratio "
            f"{pair.ratio:.2f} ({pair.ratio_low:.2f} to {pair.ratio_high:.2f})"
        )
        lines.append(
            (f"{pair.faster} > {pair.slower}", f"{text}; decided by {deciding or 'nothing known'}")
        )
    return Facts(lines)
