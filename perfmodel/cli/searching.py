"""The search over partitions and batches that ``serve`` and ``tco`` share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from perfmodel.cli import run_options
from perfmodel.cli.rendering import note, progress

if TYPE_CHECKING:
    from perfmodel.comparison.searching import Searched
    from perfmodel.machine import Machine
    from perfmodel.resolve import ModelSource


def search_all(
    source: ModelSource,
    machines: Sequence[Machine],
    limit_s: float | None,
    run: run_options.Run,
) -> Searched:
    """What each machine serves within ``limit_s``, and the model by batch, each traced once."""
    from perfmodel.comparison.searching import search_each

    with progress() as loading:
        loading(source.name)
        return search_each(
            source,
            machines,
            run.scenario,
            max_latency_s=limit_s,
            batches=run.batches,
            tell=note,
        )
