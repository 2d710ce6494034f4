"""Charts from plain rows, by Altair: Vega-Lite specifications that a notebook or a page draws.

A row is a mapping of plain values, so that the table beside a chart holds what the chart shows.
This room needs ``perfmodel[report]``.
"""

from __future__ import annotations

from perfmodel.charts.charts import (
    altair,
    cost,
    front,
    modules,
    ranking,
    roofline,
    serving,
)
from perfmodel.charts.saving import save

__all__ = ["altair", "cost", "front", "modules", "ranking", "roofline", "save", "serving"]
