"""Tables of ``perfmodel validate``: points, and the scores of many."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel._text import percent, significant
from perfmodel.cli.rendering import Column, Table

if TYPE_CHECKING:
    from perfmodel.evidence.scores import RatioScores, Scores
    from perfmodel.evidence.validation import Compared, Noise, Part


def parts_table(parts: Sequence[Part]) -> Table:
    """Return one line per software and kind."""
    from perfmodel.evidence.validation import COLUMNS

    titles = [title.replace(" ", "\n", 1) for title in COLUMNS.values()]
    table = Table(
        [
            Column("software and kind", "left", wraps=True),
            Column("points"),
            Column("machines"),
            *(Column(title) for title in titles),
        ],
        caption="MAPE % (within 1.25x/1.35x/1.5x, %) median, mean factor; of predicted over "
        "measured time.",
    )
    last = None
    for part in parts:
        table.add(
            part.name,
            str(part.scores["shipped"].count),
            str(part.machines),
            *(ratios_cell(part.scores[column]) for column in COLUMNS),
            section=part.software != last,
        )
        last = part.software
    return table


def ratios_cell(found: RatioScores) -> str:
    """Return the scores of ratios in one cell."""
    within = "/".join(
        f"{share * 100:.0f}" for share in (found.within_1_25, found.within_1_35, found.within_1_5)
    )
    factors = f"{found.median_ratio:.2f}, {found.mean_factor:.2f}x"
    return f"{found.mape * 100:.0f} ({within}) {factors}"


def noise_table(floor: Sequence[Noise]) -> Table:
    """Return one line per software and kind that was measured again."""
    table = Table(
        [Column("measured again", "left"), Column("repeats"), Column("spread")],
        caption="Spread: standard deviation of the logarithm of one measurement, the noise floor.",
    )
    for entry in floor:
        name = f"{entry.software} {entry.kind}"
        table.add(name, str(entry.repeats), percent(entry.log_spread))
    return table


def points_table(found: Sequence[Compared], title: str = "") -> Table:
    """One line per point."""
    detailed = any(point.detail for point in found)
    table = Table(
        [
            Column("machine", "left"),
            Column("what", "left"),
            Column("predicted"),
            Column("measured"),
            Column("", "left"),
            Column("ratio"),
            Column("regime", "left"),
            Column("split", "left"),
            *([Column("how", "left", wraps=True)] if detailed else []),
        ],
        title=title,
    )
    last = None
    for point in found:
        table.add(
            point.machine if point.machine != last else "",
            point.name,
            significant(point.predicted),
            significant(point.measured),
            point.unit,
            f"{point.ratio:.2f}",
            point.regime,
            point.split,
            *([point.detail] if detailed else []),
            section=point.machine != last,
        )
        last = point.machine
    return table


def summaries(
    found: Sequence[Compared], kernels: Sequence[Compared] = ()
) -> list[tuple[str, Scores]]:
    """Scores of all points, by set, and by regime; and of kernel families."""
    from perfmodel.evidence.validation import grouped, score

    parts = [("all", list(found))]
    by_set = grouped(found, lambda point: point.set)
    if len(by_set) > 1:
        parts += by_set.items()
    by_regime = grouped(found, lambda point: point.regime)
    if len(by_regime) > 1:
        parts += [(f"regime: {regime}", points) for regime, points in by_regime.items()]
    if kernels:
        parts.append(("kernel families", list(kernels)))
    return [(name, score(points)) for name, points in parts]


def scores_table(parts: Sequence[tuple[str, Scores]]) -> Table:
    """One line per group of points."""
    table = Table(
        [
            Column("points", "left"),
            Column("count"),
            Column("MAPE"),
            Column("median\nratio"),
            Column("within\n10 %"),
            Column("within\n25 %"),
            Column("worst\nfactor"),
            Column("Spearman"),
            Column("Kendall"),
        ],
        caption="MAPE: mean absolute relative error of the predictions; ratios are predicted over "
        "measured.",
    )
    for name, found in parts:
        table.add(
            name,
            str(found.count),
            percent(found.mape),
            f"{found.median_ratio:.2f}",
            percent(found.within_10),
            percent(found.within_25),
            f"{found.worst:.2f}",
            "-" if found.spearman is None else f"{found.spearman:.2f}",
            "-" if found.kendall is None else f"{found.kendall:.2f}",
        )
    return table
