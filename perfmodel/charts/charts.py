"""One function for each chart: rows in, an Altair chart out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from perfmodel.errors import NotInstalled

Rows = Sequence[Mapping[str, Any]]

#: Colours that people with any colour vision tell apart (Okabe and Ito, Color Universal Design,
#: 2008), in an order that has contrast on white and on black.
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_WIDTH: Final = 560


def altair() -> Any:
    """Return Altair.

    Raises:
        NotInstalled: without it.
    """
    try:
        import altair as found
    except ImportError:
        raise NotInstalled("altair", "report") from None
    return found


def _data(rows: Rows) -> Any:
    return altair().Data(values=[dict(row) for row in rows])


def _scale(rows: Rows, name: str, order: Sequence[str] = ()) -> Any:
    """One colour for each value: those of ``order`` first, others as the rows have them."""
    values = list(dict.fromkeys([*order, *(row[name] for row in rows)]))
    colours = [COLOURS[i % len(COLOURS)] for i in range(len(values))]
    return altair().Scale(domain=values, range=colours)


def _log() -> Any:
    """A logarithmic scale that ends where the data does."""
    return altair().Scale(type="log", nice=False, padding=12)


def ranking(rows: Rows, cpus: Sequence[str] = ()) -> Any:
    """Return latency by CPU with its interval, one panel for each model.

    Args:
        rows: ``model``, ``cpu``, ``latency_ms``, and ``low_ms`` and ``high_ms`` or None.
        cpus: in whose order colours are given, so that charts of one page agree.
    """
    alt = altair()
    y = alt.Y("cpu:N", title=None, sort=None)
    base = alt.Chart()
    tips = [
        alt.Tooltip(f"{name}:{kind}")
        for name, kind in (
            ("model", "N"),
            ("cpu", "N"),
            ("latency_ms", "Q"),
            ("low_ms", "Q"),
            ("high_ms", "Q"),
        )
    ]
    x = alt.X(
        "latency_ms:Q",
        title="latency in ms, with its 80 % interval",
        scale=_log(),
    )
    colour = alt.Color("cpu:N", scale=_scale(rows, "cpu", cpus), legend=None)
    points = base.mark_point(filled=True, size=90).encode(x=x, y=y, color=colour, tooltip=tips)
    spans = base.mark_rule(strokeWidth=3, opacity=0.5).encode(
        x=alt.X("low_ms:Q"), x2="high_ms:Q", y=y, color=colour
    )
    layered = alt.layer(spans, points, data=_data(rows)).properties(width=_WIDTH)
    return layered.facet(
        row=alt.Row(
            "model:N", title=None, sort=None, header=alt.Header(labelAngle=0, labelAlign="left")
        )
    ).resolve_scale(x="independent")


def roofline(kernels: Rows, ceilings: Rows) -> Any:
    """Return the kernels of one model below the ceilings of one CPU.

    Args:
        kernels: ``kernel``, ``bound``, ``intensity`` in FLOP/B, ``tflops``, ``share`` in percent.
        ceilings: ``ceiling``, ``kind`` ("compute" or "memory"), ``intensity`` and ``tflops``: two
            rows, the ends of the line, for each.
    """
    alt = altair()
    x = alt.X("intensity:Q", title="operational intensity in FLOP/B", scale=_log())
    y = alt.Y("tflops:Q", title="TFLOP/s", scale=_log())
    lines = (
        alt.Chart(_data(ceilings))
        .mark_line(strokeWidth=1.5, opacity=0.8)
        .encode(
            x=x,
            y=y,
            detail="ceiling:N",
            strokeDash=alt.StrokeDash("kind:N", title="ceiling"),
            tooltip=["ceiling:N"],
        )
    )
    rates, slopes = (
        alt.Chart(_data([row for row in ceilings[end::2] if row["kind"] == kind]))
        .mark_text(align=align, dx=dx, dy=dy, fontSize=10)
        .encode(x=x, y=y, text="ceiling:N")
        for kind, end, align, dx, dy in (
            ("compute", 1, "right", 0, -6),
            ("memory", 0, "left", 8, 8),
        )
    )
    points = (
        alt.Chart(_data(kernels))
        .mark_circle(opacity=0.75)
        .encode(
            x=x,
            y=y,
            size=alt.Size("share:Q", title="% of time", scale=alt.Scale(range=[20, 500])),
            color=alt.Color("bound:N", scale=_scale(kernels, "bound")),
            tooltip=["kernel:N", "bound:N", "intensity:Q", "tflops:Q", "share:Q"],
        )
    )
    return alt.layer(lines, rates, points, slopes).properties(width=_WIDTH, height=340)


def modules(rows: Rows, cpus: Sequence[str] = ()) -> Any:
    """Return the time of each module of one model, by CPU.

    Args:
        rows: ``module``, ``cpu``, ``latency_ms``.
        cpus: in whose order colours are given, so that charts of one page agree.
    """
    alt = altair()
    return (
        alt.Chart(_data(rows))
        .mark_bar()
        .encode(
            x=alt.X("latency_ms:Q", title="ms"),
            y=alt.Y("module:N", title=None, sort=None, axis=alt.Axis(labelLimit=_WIDTH)),
            yOffset=alt.YOffset("cpu:N", sort=None),
            color=alt.Color("cpu:N", scale=_scale(rows, "cpu", cpus), title="CPU"),
            tooltip=["module:N", "cpu:N", "latency_ms:Q"],
        )
        .properties(width=_WIDTH)
    )


def serving(rows: Rows, cpus: Sequence[str] = ()) -> Any:
    """Return the most throughput within a latency, one line for each CPU.

    Args:
        rows: ``cpu``, ``latency_ms``, ``throughput_fps``, ``division``.
        cpus: in whose order colours are given, so that charts of one page agree.
    """
    alt = altair()
    return (
        alt.Chart(_data(rows))
        .mark_line(point=True, interpolate="step-after")
        .encode(
            x=alt.X("latency_ms:Q", title="latency of a batch in ms", scale=_log()),
            y=alt.Y("throughput_fps:Q", title="samples/s of a socket"),
            color=alt.Color("cpu:N", scale=_scale(rows, "cpu", cpus), title="CPU"),
            tooltip=["cpu:N", "latency_ms:Q", "throughput_fps:Q", "division:N"],
        )
        .properties(width=_WIDTH, height=280)
    )


def cost(rows: Rows, cpus: Sequence[str] = ()) -> Any:
    """Return what a million samples cost by CPU, with the interval.

    Args:
        rows: ``cpu``, ``usd_per_million``, and ``low_usd`` and ``high_usd`` or None.
        cpus: in whose order colours are given, so that charts of one page agree.
    """
    alt = altair()
    base = alt.Chart(_data(rows)).encode(y=alt.Y("cpu:N", title=None, sort=None))
    bars = base.mark_bar(height=14).encode(
        x=alt.X("usd_per_million:Q", title="USD per million"),
        color=alt.Color("cpu:N", scale=_scale(rows, "cpu", cpus), legend=None),
        tooltip=["cpu:N", "usd_per_million:Q", "low_usd:Q", "high_usd:Q"],
    )
    spans = base.mark_rule(strokeWidth=2).encode(x="low_usd:Q", x2="high_usd:Q")
    return (bars + spans).properties(width=_WIDTH)


def front(rows: Rows, x: str, y: str, cpus: Sequence[str] = ()) -> Any:
    """Return the Pareto front of two columns.

    Args:
        rows: ``cpu`` and both columns.
        cpus: in whose order colours are given, so that charts of one page agree.
    """
    alt = altair()
    return (
        alt.Chart(_data(rows))
        .mark_point(filled=True, size=60)
        .encode(
            x=alt.X(f"{_field(x)}:Q", title=x, scale=alt.Scale(zero=False)),
            y=alt.Y(f"{_field(y)}:Q", title=y, scale=alt.Scale(zero=False)),
            color=alt.Color("cpu:N", scale=_scale(rows, "cpu", cpus), title="CPU"),
            shape=alt.Shape("cpu:N", legend=None),
            tooltip=["cpu:N", f"{_field(x)}:Q", f"{_field(y)}:Q"],
        )
        .properties(width=_WIDTH, height=320)
    )


def _field(column: str) -> str:
    """A column's name as Vega-Lite reads it: dots would be steps into an object."""
    return column.replace(".", "\\.").replace("[", "\\[")
