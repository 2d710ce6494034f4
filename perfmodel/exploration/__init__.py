"""Exploring: models, CPUs, software and any figures by the million, with what is best among them.

::

    space = read_space("space.toml")
    results = explore(space, "results")
    results.front(minimise=["latency_ms"], maximise=["fps_per_watt"])

This room needs ``perfmodel[explore]`` (Parquet); only a scheduler needs ``perfmodel[dask]``.
"""

from __future__ import annotations

from perfmodel.exploration.exploring import explore
from perfmodel.exploration.results import Results, open_results
from perfmodel.exploration.space import Space, read_space

__all__ = ["Results", "Space", "explore", "open_results", "read_space"]
