"""docs/fidelity.md: predicted beside measured, with the bad cells in it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

from docs.generators import certainty
from perfmodel._text import markdown_table, percent, significant
from perfmodel.calibration.crossvalidation import left_out
from perfmodel.calibration.fitting import Fit, fit, predicted
from perfmodel.calibration.parameters import parameters_for
from perfmodel.cli.scores import parts_table, ratios_cell
from perfmodel.evidence.cases import Case, load_cases
from perfmodel.evidence.groups import machine_group
from perfmodel.evidence.measurements import FIT
from perfmodel.evidence.scores import Scores, ratio_scores, scores
from perfmodel.evidence.validation import (
    COLUMNS,
    Compared,
    Part,
    Validation,
    networks,
    noise,
    predict,
    score,
    validated,
)

TEXT: Final = Path(__file__).with_name("fidelity.md")

#: What each kind is to reach on machines and models that no fit saw: within 1.25x and 1.5x.
BARS = {
    "single server": (0.55, 0.80),
    "single desktop": (0.55, 0.80),
    "throughput": (0.60, 0.85),
    "prefill": (0.50, 0.75),
    "decode": (0.65, 0.90),
}
#: After a fit, of eager FP32 networks on desktops with the model left out: MAPE.
DESKTOP_BAR = 0.12


@cache
def points(file: str) -> tuple[Case, ...]:
    """The points of one file that comes with perfmodel."""
    return tuple(load_cases([file]))


def training(*files: str) -> list[Case]:
    """The points of some files that are for fitting."""
    return [case for file in files for case in points(file) if case.split == FIT]


@cache
def vendor(file: str) -> tuple[Compared, ...]:
    """Predictions from the shipped figures."""
    return tuple(predict(case) for case in points(file))


@cache
def fitted(*files: str) -> Fit:
    """One fit to all points for fitting in these files."""
    used = training(*files)
    return fit(used, parameters_for(used))


def by_fit(cases: Sequence[Case], found: Fit) -> list[float]:
    """Predicted over measured at the values of a fit."""
    return [
        float(predicted(case, found.parameters, found.value[None])[0] / case.measured)
        for case in cases
    ]


@cache
def unseen_models() -> tuple[float, ...]:
    """Of each desktop network, by a fit that saw no point of it; products in the fit as split."""
    used = [*points("desktops"), *(c for c in points("matmul") if c.split == FIT)]
    near = fitted("desktops", "matmul")
    subjects = list(dict.fromkeys(case.row.subject for case in points("desktops")))
    ratio = left_out(used, near.parameters, near, subjects)
    return tuple(ratio[index] for index in range(len(points("desktops"))))


def of_ratios(cases: Sequence[Case], ratios: Sequence[float]) -> Scores:
    """Scores of predictions given as ratios."""
    measured = [case.measured for case in cases]
    return scores([m * r for m, r in zip(measured, ratios, strict=True)], measured)


def factor(ratio: float) -> float:
    """How many times off, either way."""
    return max(ratio, 1 / ratio)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table of cells in Markdown; the first column is text, the rest figures."""
    return markdown_table(header, rows, [True] + [False] * (len(header) - 1), escape=str)


@cache
def judged() -> Validation:
    """Every point of a network under the shipped figures, and left out."""
    return validated(networks())


@cache
def parts() -> tuple[Part, ...]:
    """The same by software and kind."""
    return tuple(judged().parts())


def _targets() -> str:
    rows = []
    for part in parts():
        if part.software or part.kind not in BARS:
            continue
        near, far = BARS[part.kind]
        cells = []
        for column in ("machine", "model"):
            found = part.scores[column]
            met = found.within_1_25 >= near and found.within_1_5 >= far
            shares = f"{percent(found.within_1_25)}, {percent(found.within_1_5)}"
            cells.append(shares if met else f"**{shares}**")
        bar = f"{percent(near)}, {percent(far)}"
        rows.append((part.kind, str(part.scores["shipped"].count), bar, *cells))
    desktop = of_ratios(points("desktops"), unseen_models())
    head = ("kind", "points", "bar", *(COLUMNS[column] for column in ("machine", "model")))
    met = percent(desktop.mape)
    return (
        "## In short\n\nPoints within 1.25x and within 1.5x; bold where one is below its bar.\n\n"
        + table(head, rows)
        + f"\nDesktops after a fit, eager FP32, model left out: MAPE "
        f"{met if desktop.mape <= DESKTOP_BAR else f'**{met}**'} (bar {percent(DESKTOP_BAR)}).\n"
    )


def _parts() -> str:
    return (
        "## By software and kind\n\n" + parts_table(parts()).markdown().partition("\n\n")[0] + "\n"
    )


def _noise() -> str:
    rows = [(f"{n.software} {n.kind}", str(n.repeats), percent(n.log_spread)) for n in noise()]
    return (
        "## Noise floor\n\nStandard deviation of the logarithm of a measurement, where a source "
        "measured the same again.\n\n" + table(("what", "repeats", "spread"), rows)
    )


def _decode() -> str:
    found = judged()
    rows = []
    keys = [
        (machine_group(s.case), s.case.group.software) if s.case.row.phase == "decode" else None
        for s in found.settings
    ]
    for key in sorted({key for key in keys if key is not None}):
        chosen = [index for index, own in enumerate(keys) if own == key]
        cells = [ratios_cell(ratio_scores(ratio[chosen])) for ratio in found.log_ratio.values()]
        rows.append((" under ".join(key), str(len(chosen)), *cells))
    return "## Decode, by machine\n\n" + table(("machine", "points", *COLUMNS.values()), rows)


def _desktops() -> str:
    cases, own = points("desktops"), vendor("desktops")
    found = by_fit(cases, fitted("desktops", "matmul"))
    rows = [
        (
            f"{case.machine.id}: {case.name}",
            significant(case.measured * 1e3),
            f"{before.ratio:.2f}",
            f"{after:.2f}" + ("" if case.split == FIT else " (validation)"),
            f"{unseen:.2f}",
            before.regime,
        )
        for case, before, after, unseen in zip(cases, own, found, unseen_models(), strict=True)
    ]
    every = [
        ("shipped", score(own)),
        ("fitted, points of the fit", _part(cases, found, True)),
        ("fitted, validation points", _part(cases, found, False)),
        ("unseen", of_ratios(cases, unseen_models())),
    ]
    parameters = fitted("desktops", "matmul")
    values = [
        (p.name, p.meaning, f"{v * 1e6:.1f} us" if p.added else f"{v:.2f}", f"{s:.0%}")
        for p, v, s in zip(parameters.parameters, parameters.value, parameters.spread, strict=True)
    ]
    return (
        "## Desktops: FP32 networks under eager PyTorch\n\n"
        + table(("point", "measured ms", "shipped", "fitted", "unseen", "mostly"), rows)
        + "\n"
        + _scores(every)
        + "\nParameters, shared by both machines and all points; factors are on the shipped "
        "figures.\n\n" + table(("parameter", "what", "value", "standard error"), values)
    )


def _part(cases: Sequence[Case], ratios: Sequence[float], seen: bool) -> Scores:
    chosen = [(c, r) for c, r in zip(cases, ratios, strict=True) if (c.split == FIT) == seen]
    return of_ratios([c for c, _ in chosen], [r for _, r in chosen])


def _matmul() -> str:
    cases, own = points("matmul"), vendor("matmul")
    found = by_fit(cases, fitted("desktops", "matmul"))
    every = [
        ("shipped", score(own)),
        ("fitted, points of the fit", _part(cases, found, True)),
        ("fitted, validation points", _part(cases, found, False)),
        ("all", of_ratios(cases, found)),
    ]
    for regime in dict.fromkeys(c.regime for c in own):
        index = [i for i, c in enumerate(own) if c.regime == regime]
        part = of_ratios([cases[i] for i in index], [found[i] for i in index])
        every.append((f"all, mostly {regime}", part))
    worst = sorted(range(len(cases)), key=lambda i: -factor(found[i]))[:10]
    rows = [
        (
            cases[i].name,
            significant(cases[i].measured * 1e6),
            f"{own[i].ratio:.2f}",
            f"{found[i]:.2f}",
        )
        for i in worst
    ]
    return (
        "## i7-12700K: single FP32 products\n\nShapes are m x n x k. "
        f"{len(cases)} points, half of them in the fit.\n\n"
        + _scores(every)
        + "\nThe ten worst:\n\n"
        + table(("product", "measured us", "shipped", "fitted"), rows)
    )


def _scores(parts: Sequence[tuple[str, Scores]]) -> str:
    header = ("", "points", "MAPE", "median ratio", "within 10 %", "within 25 %", "Spearman")
    header = (*header, "Kendall")
    return table(
        header,
        [
            (
                name,
                str(s.count),
                percent(s.mape),
                f"{s.median_ratio:.2f}",
                percent(s.within_10),
                percent(s.within_25),
                "-" if s.spearman is None else f"{s.spearman:.2f}",
                "-" if s.kendall is None else f"{s.kendall:.2f}",
            )
            for name, s in parts
        ],
    )


def _servers() -> str:
    rows = [
        (
            f"{c.machine}: {c.name}",
            significant(c.measured),
            significant(c.predicted),
            f"{c.ratio:.2f}",
            c.detail,
        )
        for c in vendor("servers")
    ]
    return (
        "## Servers: offline throughput\n\nRatios here are of rates: above 1 is too fast.\n\n"
        + table(("point", "measured samples/s", "predicted", "ratio", "how"), rows)
    )


def render() -> str:
    """The whole document."""
    return TEXT.read_text(encoding="utf-8").format(
        targets=_targets(),
        parts=_parts(),
        noise=_noise(),
        desktops=_desktops(),
        products=_matmul(),
        servers=_servers(),
        decode=_decode(),
        certainty=certainty.render(table),
    )
