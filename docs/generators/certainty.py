"""The part of docs/fidelity.md about stated certainty: intervals and orders that were left out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from perfmodel.certainty.error_model import ENOUGH, error_model
from perfmodel.evidence.reliability import (
    Covered,
    Order,
    bins,
    brier,
    coverage,
    expected_brier,
    orders,
)
from perfmodel.vocabulary.kinds import KINDS

HEADER = """\
## Does stated certainty come true?

{points} measured points (`{file}`), each predicted by fits that saw nothing of its
machine, or of its model, and judged by an error model of its software without them. An interval
should hold 80 % of the points. One factor on all intervals, {scale:.2f} as shipped, makes them do
so: a machine is judged at the factor that all others' points ask for. Terms of the formula were
chosen by such errors, too: expect some percent less on new data.

An estimate's interval also holds the ranges of the figures that it rests on: each goes to either
end by itself, and their effects on the latency add up as squares (JCGM 100:2008, 5.1.2). Errors
were measured with figures as uncertain as the catalogue's, so the two are not added: whichever
reaches farther is the interval's end. A file of vague figures states a wide interval, and a wider
range never a narrower one. The shares below are of the error alone.
"""

PAIRS = """\
Orders: all pairs of machines that someone measured on the same model, software, precision and
batch, by fits that saw neither machine as their own. Pairs of few machines are not independent.
"""


def _share(found: Sequence[Covered]) -> str:
    return f"{np.mean([one.inside for one in found]):.0%}" if found else "-"


def _intervals() -> list[tuple[str, ...]]:
    machine, model = coverage(), coverage(models=True)
    groups = [("all", "all", list(range(len(machine))))]
    for kind in KINDS:
        mine = [i for i, one in enumerate(machine) if one.point.kind == kind]
        groups.append(("all", kind, mine))
        for software in sorted({machine[i].point.software for i in mine}):
            own = [i for i in mine if machine[i].point.software == software]
            groups.append((software, kind, own))
    rows = []
    for software, kind, index in groups:
        first, second = [machine[i] for i in index], [model[i] for i in index]
        machines = len({one.point.machine for one in first})
        if software == "all" or machines >= ENOUGH:
            factor = f"{np.median([one.factor for one in first]):.2f}"
            shares = _share(first), _share(second)
            rows.append((f"{software}, {kind}", str(len(index)), str(machines), factor, *shares))
    return rows


def _orders(found: Sequence[Order]) -> list[tuple[str, ...]]:
    return [
        (
            f"{one.low:.0%} to {one.high:.0%}",
            str(one.count),
            f"{one.stated:.0%}",
            f"{one.observed:.0%}",
        )
        for one in bins(found)
    ]


def render(table: Callable[[Sequence[str], Sequence[Sequence[str]]], str]) -> str:
    """Return the section; ``table`` makes a Markdown table of a header and rows."""
    found = orders()
    made = table(
        ("software, kind", "points", "machines", "median factor", "machine out", "model out"),
        _intervals(),
    )
    pairs = table(("stated", "pairs", "mean stated", "came true"), _orders(found))
    kinds = [
        (kind, str(len(own)), f"{brier(own):.3f}", f"{expected_brier(own):.3f}")
        for kind in ("all", *KINDS)
        if (own := [o for o in found if kind in ("all", o.faster.kind)])
    ]
    sure = [order.right for order in found if order.verdict == "established"]
    head = HEADER.format(
        points=len(coverage()), file="perfmodel/evidence/left_out.json", scale=error_model().scale
    )
    return (
        f"{head}\n{made}\n{PAIRS}\n{pairs}\n"
        f"Of {len(sure)} orders called established {np.mean(sure):.0%} came true.\n\n"
        "The Brier score is the mean squared difference of stated probability and outcome; beside\n"
        "it what it is if the stated probabilities are right: near 0.25 where machines are close."
        "\n\n" + table(("orders", "pairs", "Brier score", "if stated right"), kinds)
    )
