"""``perfmodel validate``: predicted beside measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from perfmodel._text import percent, significant
from perfmodel.cli import options
from perfmodel.cli.rendering import Column, Facts, Table, note, progress, show
from perfmodel.errors import PerfmodelError

if TYPE_CHECKING:
    from perfmodel.calibration.validation import Compared
    from perfmodel.evidence.cases import Case
    from perfmodel.evidence.scores import Scores


#: What --host can run a model with.
HostSoftware: TypeAlias = Literal["eager", "compiled"]


def validate(
    models: Annotated[
        list[str] | None,
        typer.Argument(metavar="[MODELS]", help="With --host: models to run and compare."),
    ] = None,
    measurements: Annotated[
        list[str] | None,
        typer.Option(
            "--measurements",
            "-m",
            metavar="FILE",
            help="Measurements in TOML, or the name of a set that comes with perfmodel; repeat it "
            "for several. [default: all that come with perfmodel]",
        ),
    ] = None,
    host: Annotated[
        bool, typer.Option("--host", help="Run models under PyTorch on this computer instead.")
    ] = False,
    cpu: Annotated[
        list[str] | None,
        typer.Option(
            "--cpu",
            "-c",
            metavar="ID|FILE",
            help="Predict with this machine file the points of the CPU it rests on; with --host, "
            "this computer's.",
        ),
    ] = None,
    precision: Annotated[
        str, typer.Option("--precision", "-p", metavar="P", help="With --host: fp32 or bf16.")
    ] = "fp32",
    batch: Annotated[
        int, typer.Option("--batch", "-b", metavar="N", min=1, help="With --host.")
    ] = 1,
    runtime: Annotated[
        HostSoftware,
        typer.Option(
            "--software",
            "--runtime",
            help="With --host: eager, or compiled by torch.compile.",
        ),
    ] = "eager",
    threads: Annotated[
        list[int] | None,
        typer.Option(
            "--threads",
            metavar="N",
            min=1,
            help="With --host; repeat it for several. [default: 1, and all cores]",
        ),
    ] = None,
    power: Annotated[
        bool,
        typer.Option("--power", help="With --host: joules, by the counters of the CPU (RAPL)."),
    ] = False,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="Write a log-log scatter plot."),
    ] = None,
    format: options.OutputFormat = "table",
) -> None:
    """Compare predictions with measurements: point by point, and in summary.

    A file's points are those of its machines; rows marked validation were not used in any fit.
    """
    if host:
        if measurements:
            raise PerfmodelError("validate takes either --measurements or --host")
        if not models:
            raise PerfmodelError("--host needs models to run, such as resnet50")
        if cpu and len(cpu) > 1:
            raise PerfmodelError("--host runs on one computer: give one --cpu")
        if power:
            from perfmodel.cli.host_power import show_power, validate_power

            first = cpu[0] if cpu else None
            points = validate_power(models, first, precision, batch, runtime, threads)
            show_power(points, format)
            return
        from perfmodel.cli.host import validate_host

        found, kernels = validate_host(
            models, cpu[0] if cpu else None, precision, batch, runtime, threads
        )
    else:
        if power:
            raise PerfmodelError("--power measures this computer: it goes with --host")
        if models:
            raise PerfmodelError("models go with --host; a file of measurements names its own")
        found, kernels = _from_files(measurements or [], cpu or []), []
    if plot is not None:
        from perfmodel.calibration.plot import scatter

        scatter([*found, *kernels], plot)
        note(f"wrote {plot}")

    def records() -> Any:
        points = [point.to_dict() for point in (*found, *kernels)]
        if format == "csv":
            return points
        parts = {name: part.to_dict() for name, part in summaries(found, kernels)}
        return {"points": points, "scores": parts}

    def blocks() -> list[Table | Facts]:
        tables: list[Table | Facts] = [points_table(found)]
        if kernels:
            tables.append(points_table(kernels, "By kernel family"))
        return [*tables, scores_table(summaries(found, kernels))]

    show(format, records, blocks)


def _from_files(files: Sequence[str], cpus: Sequence[str]) -> list[Compared]:
    from perfmodel.calibration.validation import predict
    from perfmodel.evidence.cases import load_cases
    from perfmodel.evidence.measurements import SHIPPED
    from perfmodel.machine import load_machine

    points = load_cases(files or SHIPPED)
    machines = {_owner(cpu, points): load_machine(cpu) for cpu in cpus}
    if machines:
        points = [case for case in points if case.machine.id in machines]
    found = []
    with progress() as loading:
        for case in points:
            loading(case.row.subject)
            found.append(predict(case, machines.get(case.machine.id)))
    return found


def _owner(cpu: str, points: Sequence[Case]) -> str:
    """The machine of the measurements that the file ``cpu`` describes: itself, or its base."""
    import tomllib

    from perfmodel.errors import MeasurementError
    from perfmodel.machine import load_machine

    known = sorted({case.machine.id for case in points})
    path, named = Path(cpu), cpu
    while named:
        if load_machine(named).id in known:
            return load_machine(named).id
        if not path.is_file():
            break
        base = tomllib.loads(path.read_text(encoding="utf-8-sig")).get("base", "")
        path = path.parent / base
        named = str(path) if path.is_file() else base
    raise MeasurementError(f"{cpu}: no points of it; there are points of {', '.join(known)}")


def points_table(found: Sequence[Compared], title: str = "") -> Table:
    """One line per point."""
    detailed = any(point.detail for point in found)
    table = Table(
        [
            Column("machine", "left"),
            Column("what", "left"),
            Column("predicted"),
            Column("measured"),
            Column("", "left"),
            Column("ratio"),
            Column("regime", "left"),
            Column("split", "left"),
            *([Column("how", "left", wraps=True)] if detailed else []),
        ],
        title=title,
    )
    last = None
    for point in found:
        table.add(
            point.machine if point.machine != last else "",
            point.name,
            significant(point.predicted),
            significant(point.measured),
            point.unit,
            f"{point.ratio:.2f}",
            point.regime,
            point.split,
            *([point.detail] if detailed else []),
            section=point.machine != last,
        )
        last = point.machine
    return table


def summaries(
    found: Sequence[Compared], kernels: Sequence[Compared] = ()
) -> list[tuple[str, Scores]]:
    """Scores of all points, by set, and by regime; and of kernel families."""
    from perfmodel.calibration.validation import grouped, score

    parts = [("all", list(found))]
    by_set = grouped(found, lambda point: point.set)
    if len(by_set) > 1:
        parts += by_set.items()
    by_regime = grouped(found, lambda point: point.regime)
    if len(by_regime) > 1:
        parts += [(f"regime: {regime}", points) for regime, points in by_regime.items()]
    if kernels:
        parts.append(("kernel families", list(kernels)))
    return [(name, score(points)) for name, points in parts]


def scores_table(parts: Sequence[tuple[str, Scores]]) -> Table:
    """One line per group of points."""
    table = Table(
        [
            Column("points", "left"),
            Column("count"),
            Column("MAPE"),
            Column("median\nratio"),
            Column("within\n10 %"),
            Column("within\n25 %"),
            Column("worst\nfactor"),
            Column("Spearman"),
            Column("Kendall"),
        ],
        caption="MAPE: mean absolute relative error of the predictions; ratios are predicted over "
        "measured.",
    )
    for name, found in parts:
        table.add(
            name,
            str(found.count),
            percent(found.mape),
            f"{found.median_ratio:.2f}",
            percent(found.within_10),
            percent(found.within_25),
            f"{found.worst:.2f}",
            "-" if found.spearman is None else f"{found.spearman:.2f}",
            "-" if found.kendall is None else f"{found.kendall:.2f}",
        )
    return table
