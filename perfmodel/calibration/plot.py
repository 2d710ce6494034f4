"""Predicted against measured as a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from perfmodel.errors import MeasurementError, NotInstalled
from perfmodel.evidence.validation import Compared, grouped


def scatter(compared: Sequence[Compared], path: Path) -> None:
    """Write a log-log scatter plot; the format is that of the file's name.

    One panel per unit, a colour per regime, the diagonal, and lines at 25 % either way.

    Raises:
        NotInstalled: without matplotlib.
        MeasurementError: the file cannot be written, or its name has no known ending.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise NotInstalled("matplotlib", "plot") from None

    panels = grouped(compared, lambda point: point.unit)
    figure = Figure(figsize=(5 * len(panels), 5), layout="constrained")
    for number, (unit, points) in enumerate(panels.items(), start=1):
        axes = figure.add_subplot(1, len(panels), number)
        for regime, own in sorted(grouped(points, lambda point: point.regime).items()):
            axes.scatter(
                [p.measured for p in own], [p.predicted for p in own], s=18, alpha=0.7, label=regime
            )
        values = [value for p in points for value in (p.measured, p.predicted)]
        ends = [min(values) / 1.5, max(values) * 1.5]
        for factor, style in ((1.0, "-"), (1.25, ":"), (0.75, ":")):
            axes.plot(ends, [end * factor for end in ends], style, color="0.5", linewidth=1)
        axes.set(
            xscale="log",
            yscale="log",
            xlim=ends,
            ylim=ends,
            xlabel=f"measured, {unit}",
            ylabel=f"predicted, {unit}",
        )
        axes.legend(title="predicted to be bound by", fontsize="small")
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise MeasurementError(f"{path}: cannot be written: {error.strerror}") from None
    except ValueError as error:
        raise MeasurementError(f"{path}: {error}") from None
