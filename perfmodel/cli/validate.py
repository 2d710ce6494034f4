"""``perfmodel validate``: predicted beside measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from perfmodel.cli import options
from perfmodel.cli.rendering import Facts, Table, note, progress, show
from perfmodel.cli.scores import noise_table, parts_table, points_table, scores_table, summaries
from perfmodel.errors import PerfmodelError

if TYPE_CHECKING:
    from perfmodel.evidence.cases import Case
    from perfmodel.evidence.validation import Compared


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
            "for several.",
        ),
    ] = None,
    host: Annotated[
        bool, typer.Option("--host", help="Run models on this computer instead.")
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
        str, typer.Option("--precision", "-p", metavar="P", help="With --host: fp32, bf16 or int8.")
    ] = "fp32",
    batch: Annotated[
        int, typer.Option("--batch", "-b", metavar="N", min=1, help="With --host.")
    ] = 1,
    software: Annotated[
        list[str] | None,
        typer.Option(
            "--software",
            "--runtime",
            metavar="S",
            help="With --host: eager (default), inductor, inductor_frozen, openvino or "
            "onnxruntime. Else: show points of this software only; repeat it for several.",
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            "--kind",
            metavar="single|throughput|prefill|decode",
            help="Without files: show points of this kind only; repeat it for several. Without "
            "prefill and decode, no language model is traced, and no fit sees one.",
        ),
    ] = None,
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
    keep: Annotated[
        Path | None,
        typer.Option(
            "--keep",
            metavar="FILE.toml",
            help="With --host: write what was measured, for --measurements.",
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", metavar="FILE.png", help="Write a log-log scatter plot."),
    ] = None,
    format: options.OutputFormat = "table",
) -> None:
    """Compare predictions with measurements.

    Without files: how far off the shipped figures are, by software and kind, and how far fits that
    saw no point of the machine or of the model. With a file or a CPU: point by point. With --host:
    models that run here, with --cpu beside what vendors' figures alone say.
    """
    if kind and (host or measurements or cpu):
        raise PerfmodelError(
            "--kind selects among the points that come with perfmodel, without "
            "--measurements, --cpu and --host"
        )
    if host:
        if measurements:
            raise PerfmodelError("validate takes either --measurements or --host")
        if not models:
            raise PerfmodelError("--host needs models to run, such as resnet50")
        if cpu and len(cpu) > 1:
            raise PerfmodelError("--host runs on one computer: give one --cpu")
        runtime = _host_software(software or [])
        if power:
            if keep is not None:
                raise PerfmodelError("--keep writes times, which --power does not measure")
            from perfmodel.cli.host_power import show_power, validate_power

            first = cpu[0] if cpu else None
            points = validate_power(models, first, precision, batch, runtime, threads)
            show_power(points, format)
            return
        from perfmodel.cli.host import validate_host

        found, kernels = validate_host(
            models, cpu[0] if cpu else None, precision, batch, runtime, threads, keep
        )
    else:
        if keep is not None:
            raise PerfmodelError("--keep writes what --host measures")
        if power:
            raise PerfmodelError("--power measures this computer: it goes with --host")
        if models:
            raise PerfmodelError("models go with --host; a file of measurements names its own")
        if not measurements and not cpu:
            if plot is not None:
                raise PerfmodelError("--plot is of points: give --measurements, --cpu or --host")
            _judge(kind or [], software or [], format)
            return
        found, kernels = _from_files(measurements or [], cpu or [], software or []), []
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


def _host_software(given: Sequence[str]) -> str:
    if len(given) > 1:
        raise PerfmodelError("--host runs models in one way: give one --software")
    return given[0] if given else "eager"


def _judge(kinds: Sequence[str], software: Sequence[str], format: str) -> None:
    """Show how far off the shipped figures are."""
    from perfmodel.errors import MeasurementError, UnknownName
    from perfmodel.evidence.validation import networks, noise, selected, validated
    from perfmodel.software import load_software
    from perfmodel.vocabulary.kinds import KINDS

    for name in software:
        load_software(name)
    for kind in kinds:
        if kind not in KINDS:
            raise UnknownName("kind of run", kind, KINDS)
    generating = [kind for kind in KINDS if kind in ("prefill", "decode")]
    texts = not kinds or any(kind in generating for kind in kinds)
    wanted = [kind for kind in KINDS if texts or kind not in generating]
    points = networks(kinds=wanted)
    with progress() as loading:
        done = 0

        def told(subject: str) -> None:
            nonlocal done
            done += 1
            loading(f"{subject}, {min(done, len(points))} of {len(points)} points")

        every = validated(points, told)
    found = selected(every, kinds, software)
    if not found.settings:
        known = ", ".join(sorted({s.case.group.software for s in every.settings}))
        raise MeasurementError(f"no points of that software and kind; there are points of {known}")
    for case, reason in found.refused:
        note(f"{case.group.machine}: {case.name} is left out: {reason}")
    floor = noise()

    def records() -> Any:
        parts = [part.to_dict() for part in found.parts()]
        if format == "csv":
            return [_flat(part) for part in parts]
        return {"scores": parts, "noise": [entry.to_dict() for entry in floor]}

    show(format, records, lambda: [parts_table(found.parts()), noise_table(floor)])


def _flat(part: Mapping[str, Any]) -> dict[str, Any]:
    """The same without nesting."""
    flat: dict[str, Any] = {}
    for name, value in part.items():
        if isinstance(value, Mapping):
            flat.update({f"{name}_{score}": figure for score, figure in value.items()})
        else:
            flat[name] = value
    return flat


def _from_files(
    files: Sequence[str], cpus: Sequence[str], software: Sequence[str]
) -> list[Compared]:
    from perfmodel.errors import MeasurementError
    from perfmodel.evidence.cases import load_cases
    from perfmodel.evidence.measurements import SHIPPED
    from perfmodel.evidence.validation import predict
    from perfmodel.machine import load_machine

    points = load_cases(files or SHIPPED)
    machines = {_owner(cpu, points): load_machine(cpu) for cpu in cpus}
    if machines:
        points = [case for case in points if case.machine.id in machines]
    if software:
        known = ", ".join(sorted({case.group.software for case in points}))
        points = [case for case in points if case.group.software in software]
        if not points:
            raise MeasurementError(f"no points of that software; there are points of {known}")
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
