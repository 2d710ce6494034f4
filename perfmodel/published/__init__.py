"""The datacenter CPU comparison published on 2025-10-24, reproduced exactly.

``estimate("vit_l_16", "epyc_9654")`` gives the cell that was printed, for the eight CPUs of the
comparison and any torchvision classification or segmentation model that ``torch.fx`` can trace
(INT8, batch 1). Several of its counts are known to be wrong: it is kept as a labelled record to
compare with, apart from the rest of perfmodel. See docs/published-comparison.md.

Credit: branes-ai/graphs (MIT licence), commits 4df08ad and 2341065.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from perfmodel import _installed, cache
from perfmodel.errors import PerfmodelError, WorkloadFormatError
from perfmodel.published import tracing
from perfmodel.published.catalog import PublishedCpu, cpus, get_cpu
from perfmodel.published.chains import ChainTable, tabulate
from perfmodel.published.model import (
    BATCH,
    PRECISION,
    ChainRow,
    NotPublished,
    PublishedEstimate,
    evaluate,
)
from perfmodel.published.nodes import FORMAT, Graph

if TYPE_CHECKING:
    import torch

__all__ = [
    "CPUS",
    "ChainRow",
    "Graph",
    "NotPublished",
    "PublishedCpu",
    "PublishedEstimate",
    "cpus",
    "estimate",
    "graph",
    "trace",
]

#: The eight CPUs by id.
CPUS: Final = cpus()


def estimate(
    model: str | Graph,
    cpu: str | PublishedCpu,
    *,
    precision: str = PRECISION,
    batch: int = BATCH,
) -> PublishedEstimate:
    """Latency, throughput, efficiency and utilisation of ``model`` on ``cpu`` as published.

    Args:
        model: a torchvision name (see :func:`graph`) or a graph.
        cpu: an id from :data:`CPUS`.
        precision, batch: accepted so that a caller can pass on what it was asked for.

    Raises:
        UnknownName: no such model or CPU.
        TraceError: ``torch.fx`` cannot trace the model.
        NotPublished: a precision other than INT8, a batch other than 1, or a model without work.
    """
    if precision != PRECISION or batch != BATCH:
        raise NotPublished(
            f"the published method defines {PRECISION} at batch {BATCH} only, not {precision} at "
            f"batch {batch}; the roofline method covers those"
        )
    chosen = get_cpu(cpu)  # Before tracing: a wrong name should not cost seconds.
    chains = tabulate(model) if isinstance(model, Graph) else _chains(model)
    return evaluate(chains, chosen)


def graph(model: str, input_shape: Sequence[int] | None = None) -> Graph:
    """The graph of a torchvision classification or segmentation model, cached on disk.

    Args:
        model: torchvision's name, for example "vit_l_16".
        input_shape: channels, height and width; by default 3x224x224, and 3x512x512 for
            segmentation, as in the comparison.

    Raises:
        UnknownName: torchvision has no such model.
        TraceError: ``torch.fx`` cannot trace it, or not with this input.
        PerfmodelError: ``input_shape`` is no image, or torch or torchvision is not installed.
    """
    shape = (BATCH, *(input_shape or tracing.default_input_shape(model)))
    if len(shape) != 4 or min(shape) < 1:
        raise PerfmodelError(f"an image is channels, height and width above 0, not {input_shape}")
    key = {
        "kind": "published-graph",
        "name": model,
        "input_shape": list(shape),
        "torch": _version("torch"),
        "torchvision": _version("torchvision"),
        "format": FORMAT,
    }
    stored = cache.load(key)
    if stored is not None:
        try:
            return Graph.from_dict(stored)
        except WorkloadFormatError:
            pass  # Not what this release writes: trace again and replace it.
    module = tracing.build(model)
    import torch

    traced = tracing.trace(module, torch.empty(shape, device="meta"), model)
    cache.store(key, traced.to_dict())
    return traced


def trace(
    module: torch.nn.Module,
    example_inputs: torch.Tensor | tuple[torch.Tensor, ...],
    name: str | None = None,
) -> Graph:
    """The graph of your own module (:func:`perfmodel.published.tracing.trace`), not cached."""
    return tracing.trace(module, example_inputs, name)


@lru_cache(maxsize=64)
def _chains(model: str) -> ChainTable:
    return tabulate(graph(model))


def _version(package: str) -> str:
    try:
        return _installed.version(package)
    except ModuleNotFoundError:
        raise PerfmodelError(
            f"this needs {package}, which is not installed: pip install 'perfmodel[torch]'"
        ) from None
