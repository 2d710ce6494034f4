"""``python -m perfmodel.evidence.refit`` fits the figures of software to the measurements.

What it finds is written into factors.toml and the software's own files.

A figure is written with the central 90 % of its uncertainty after the fit: that of all factors that
move it, as if they were independent. Where the points say nothing that is what was known before,
and the figure an analogy with other software.
"""

from __future__ import annotations

import math
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from perfmodel.evidence.fit import Fit, fit
from perfmodel.evidence.parameters import Factor, software_factors
from perfmodel.evidence.prediction import setting
from perfmodel.evidence.validation import networks
from perfmodel.software.catalog import catalogue

_PACKAGE: Final = Path(__file__).parents[1]
_FACTORS: Final = _PACKAGE / "evidence" / "factors.toml"
_SOFTWARE: Final = _PACKAGE / "software" / "catalog"
#: Quantile of a normal distribution at the upper end of its central 90 %.
_NINETY: Final = 1.6448536269514722
#: A spread that the points narrowed by less was not measured.
_NARROWED: Final = 0.9
_FIGURE: Final = re.compile(
    r'(?P<key>\w+) = \{ low = .*?, typical = (?P<typical>"[^"]*"|[^,]+), high = .*?, '
    r'confidence = "\w", source = "(?P<source>fit|analogy)" \}'
)


def refitted() -> Fit:
    """Return the fit of all figures to all points, from where the files have them."""
    settings = []
    for case in networks():
        settings.append(setting(case))
        print(f"\r{len(settings)} points", end="", file=sys.stderr)
    return fit(settings, software_factors(), lambda off: print(f" {off:.4f}", file=sys.stderr))


def write(found: Fit) -> None:
    """Write factors and figures into their files."""
    logs = dict(zip(found.factors, found.log_value.tolist(), strict=True))
    spreads = dict(zip(found.factors, found.log_spread.tolist(), strict=True))
    text = _FACTORS.read_text(encoding="utf-8")
    for factor, log in logs.items():
        text = _with_value(text, factor, math.exp(log))
    made = {_FACTORS: text}
    for file, figures in _stated(found.factors).items():
        made[file] = _rewritten(file, figures, logs, spreads)
    for file, text in made.items():
        file.write_text(text, encoding="utf-8")


def _with_value(text: str, factor: Factor, by: float) -> str:
    """The text of factors.toml with one value moved."""
    pattern = re.compile(rf'(name = "{re.escape(factor.name)}"\n.*\nvalue = )([0-9.e+-]+)')
    return pattern.sub(lambda match: f"{match[1]}{float(match[2]) * by:.4g}", text)


def _stated(factors: tuple[Factor, ...]) -> dict[Path, dict[str, tuple[Factor, ...]]]:
    """By file of software, what moves the figures it states itself, by path in the file.

    Raises:
        ValueError: two that rest on one file do not have a figure of it in common any more.
    """
    found: dict[Path, dict[str, tuple[Factor, ...]]] = {}
    for software in catalogue():
        inherited: set[str] = set()
        file: Path | None = _SOFTWARE / f"{software}.toml"
        while file is not None:
            own, file_below = _paths(file)
            for path in own - inherited:
                by = tuple(f for f in factors if f.moves(f"software.{software}.{path}"))
                if by != found.setdefault(file, {}).setdefault(path, by):
                    raise ValueError(f"{file.name}: {path} is moved otherwise for {software}")
            inherited |= own
            file = file_below
    return found


def _paths(file: Path) -> tuple[set[str], Path | None]:
    """Figures that a file states, by path, and the file that it rests on."""
    tree = tomllib.loads(file.read_text(encoding="utf-8"))
    base, found = tree.get("base"), set()
    stack = [("", tree)]
    while stack:
        prefix, table = stack.pop()
        for name, value in table.items():
            if isinstance(value, dict):
                stack.append((f"{prefix}{name}.", value))
        if "typical" in table:
            found.add(prefix[:-1])
    if base is None:
        return found, None
    named = base.endswith(".toml")
    return found, file.parent / base if named else _SOFTWARE / f"{base}.toml"


def _rewritten(
    file: Path,
    figures: Mapping[str, tuple[Factor, ...]],
    logs: Mapping[Factor, float],
    spreads: Mapping[Factor, float],
) -> str:
    """The text of a file with its figures moved; those of other sources than a fit must not be."""
    table, lines = "", []
    for line in file.read_text(encoding="utf-8").splitlines():
        if line.startswith("["):
            table = line.strip("[]") + "."
        path = f"{table}{line.partition(' = ')[0]}"
        by = figures.get(path, ())
        if by:
            match = _FIGURE.fullmatch(line)
            if match is None:
                raise ValueError(f"{file.name}: {path}: no figure of a fit")
            line = _moved(match, path, by, logs, spreads)
        lines.append(line)
    return "\n".join(lines) + "\n"


def _moved(
    match: re.Match[str],
    path: str,
    by: tuple[Factor, ...],
    logs: Mapping[Factor, float],
    spreads: Mapping[Factor, float],
) -> str:
    """One line with a figure as found, and its range."""
    number, _, unit = match["typical"].strip('"').partition(" ")
    typical = float(number) * math.exp(sum(logs[f] for f in by))
    spread = math.hypot(*(spreads[f] for f in by))
    away = math.exp(_NINETY * spread)
    most = 1.0 if path.startswith("efficiency.") else math.inf

    def text(value: float) -> str:
        rounded = f"{float(f'{min(value, most):.3g}'):g}"
        return f'"{rounded} {unit}"' if unit else rounded

    ends = [text(value) for value in (typical / away, typical, typical * away)]
    measured = spread < _NARROWED * math.hypot(*(f.spread for f in by))
    of = ("M", "fit") if measured else ("R", "analogy")
    low, middle, high = ends
    return (
        f"{match['key']} = {{ low = {low}, typical = {middle}, high = {high}, "
        f'confidence = "{of[0]}", source = "{of[1]}" }}'
    )


if __name__ == "__main__":
    write(refitted())
