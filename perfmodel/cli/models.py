"""``perfmodel models``: the models that have a name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from perfmodel.cli import options
from perfmodel.cli.rendering import Column, Table, note, optional, progress, show
from perfmodel.errors import PerfmodelError, WorkloadFormatError

if TYPE_CHECKING:
    from perfmodel.models.spec import ModelSpec
    from perfmodel.workload.workload import Workload


def models(
    flops: Annotated[
        bool,
        typer.Option("--flops", help="Trace what was not traced before, to know its counts."),
    ] = False,
    format: options.OutputFormat = "table",
) -> None:
    """List the named models with their input, FLOPs (a multiply-accumulate is 2) and parameters."""
    from perfmodel.models import zoo

    records: list[dict[str, Any]] = []
    with progress() as loading:
        for name in zoo.names():
            spec = zoo.spec(name)
            loading(name)
            workload = zoo.workload(name) if flops else _cached(spec)
            records.append(
                {
                    "name": name,
                    "title": spec.title,
                    "task": spec.task,
                    "inputs": spec.describe_inputs(),
                    "input_shapes": spec.input_shapes(),
                    "library": spec.library,
                    "gflop": None if workload is None else workload.flops / 1e9,
                    "parameters": None if workload is None else workload.parameters,
                    "kernels": None if workload is None else len(workload),
                    "notes": spec.notes,
                }
            )
    show(format, lambda: records, lambda: [_table(records)])
    note("any other name of torchvision.models.list_models() works, too")
    if any(record["gflop"] is None for record in records):
        note("a dash: not traced yet; perfmodel models --flops traces it")


def _cached(spec: ModelSpec) -> Workload | None:
    """The workload if it was traced before by this release and these libraries."""
    from perfmodel import cache
    from perfmodel.models import zoo
    from perfmodel.workload.workload import Workload

    try:
        stored = cache.load(zoo.cache_key(spec))
        return None if stored is None else Workload.from_dict(stored)
    except WorkloadFormatError:
        return None
    except PerfmodelError:
        return None  # The model's library is not installed.


def _table(records: list[dict[str, Any]]) -> Table:
    table = Table(
        [
            Column("name", "left"),
            Column("model", "left"),
            Column("task", "left", wraps=True),
            Column("input", "left"),
            Column("GFLOP"),
            Column("parameters\nM"),
            Column("kernels"),
        ]
    )
    for record in records:
        table.add(
            record["name"],
            record["title"],
            record["task"],
            ", ".join("x".join(map(str, shape)) for shape in record["input_shapes"]),
            optional(record["gflop"], lambda gflop: f"{gflop:,.2f}"),
            optional(record["parameters"], lambda count: f"{count / 1e6:,.2f}"),
            optional(record["kernels"], lambda count: str(count)),
        )
    return table
