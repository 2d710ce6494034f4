"""``--plot``: what a command prints, as a PNG or SVG file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from perfmodel.cli.rendering import note

if TYPE_CHECKING:
    from perfmodel.mapping import Result
    from perfmodel.ranking import Ranking


def check(plot: str | None) -> None:
    """Refuse another kind of file before anything is estimated; raises PerfmodelError."""
    if plot is not None:
        from perfmodel.charts.saving import check_suffix

        check_suffix(plot)


def write(plot: str | None, chart: Callable[[], Any]) -> None:
    """Save what ``chart`` makes, where a file was asked for.

    Raises:
        PerfmodelError: a file that cannot be written.
        NotInstalled: without ``perfmodel[report]``.
    """
    if plot is None:
        return
    from perfmodel.charts import save

    save(chart(), plot)
    note(f"wrote {plot}")


def of_results(results: Sequence[Result]) -> Any:
    """Return the chart of latencies by CPU, with their intervals."""
    from perfmodel import charts
    from perfmodel.mapping.drawn import ranking_rows

    return charts.ranking(ranking_rows(results))


def of_rankings(rankings: Sequence[Ranking]) -> Any:
    """Return the same chart of medians and intervals over samples."""
    from perfmodel import charts

    return charts.ranking(
        [
            {
                "model": ranking.model,
                "cpu": cpu,
                "latency_ms": median,
                "low_ms": low,
                "high_ms": high,
            }
            for ranking in rankings
            for cpu, median, low, high in zip(
                ranking.cpus,
                ranking.latency_ms,
                ranking.latency_low_ms,
                ranking.latency_high_ms,
                strict=True,
            )
        ]
    )
