"""Measured points: those that come with perfmodel, and files that say the same of other machines.

A file is TOML: ``[sources]`` with full citations, and ``[[set]]`` tables, each with one machine,
one software and one unit. ``docs/calibration.md`` describes every field.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from perfmodel._files import read_toml
from perfmodel.errors import MachineError, MeasurementError, UnknownName
from perfmodel.figures import quantity
from perfmodel.figures.checking import validated
from perfmodel.figures.faults import fault_at
from perfmodel.figures.figure import Origin
from perfmodel.figures.held import Held, Natural, Positive
from perfmodel.figures.record import Record
from perfmodel.machine import Machine, load_machine
from perfmodel.scenario import Scenario
from perfmodel.vocabulary.words import Phase, State

_FOLDER: Final = Path(__file__).parent
#: Files of measured points that come with perfmodel.
SHIPPED: Final = tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))

Quantity = Literal["latency", "throughput", "token_rate"]
Split = Literal["fit", "validation"]
FIT: Final = "fit"
VALIDATION: Final = "validation"
#: What a value of each quantity that is not a duration is counted in.
_RATES: Final = {"throughput": "samples/s", "token_rate": "tokens/s"}


#: FLOPs of a product at most: hours of any CPU's time, and well inside 64 bits.
MOST_FLOPS: Final = 10**18


class Matmul(Record):
    """One matrix product: a of m x k by b of k x n."""

    m: Natural
    n: Natural
    k: Natural

    def consistent(self) -> None:
        """Raise a Fault where fields do not fit each other."""
        if 2 * self.m * self.n * self.k > MOST_FLOPS:
            raise fault_at(
                (), f"{self}", f"a product of at most {MOST_FLOPS:.0e} FLOPs (2 x m x n x k)"
            )

    def __str__(self) -> str:
        return f"matmul {self.m}x{self.n}x{self.k}"


class Row(Record):
    """One measured point: exactly one of ``model``, ``matmul`` and ``probe``.

    Attributes:
        model: a name that ``perfmodel models`` lists, or the path of a saved workload, from the
            folder of the file on.
        probe: a microbenchmark of :mod:`perfmodel.evidence.probes`, in its own words.
        batch: samples per run, 1 where absent; for a throughput without it, as many as are best.
        phase, tokens, context: of a model that has them, as on the command line.
        cores: cores that ran it, or one of its instances; all of the machine's where absent.
        threads: of one instance, where they are not as many as its cores.
        instances: processes or streams that ran at once, each on cores of its own; for a throughput
            without it, as many as are best.
        percentile: of the runs, such as "p50"; a mean or a single figure where absent.
        value: what was measured, in the unit of the set; of all instances together for a rate.
        spread: (median - minimum) / minimum over the repeats, where it was recorded.
        split: "fit", or "validation" for a point that no calibration of a machine may
            see.
        repeat: the same thing measured again: it shows the spread, and is for no fit and no score.
        notes: what else its source says.
        doubt: what is not certain of its conditions.
    """

    model: str | None = None
    matmul: Matmul | None = None
    probe: str | None = None
    batch: Natural | None = None
    phase: Phase | None = None
    tokens: Natural | None = None
    context: Natural | None = None
    cores: Natural | None = None
    threads: Natural | None = None
    instances: Natural | None = None
    percentile: Annotated[str | None, Held(pattern=r"^p\d{1,2}(\.\d+)?$")] = None
    value: Positive
    spread: Annotated[float | None, Held(ge=0, allow_inf_nan=False)] = None
    split: Split = "fit"
    repeat: Annotated[bool, Held(strict=True)] = False
    notes: str = ""
    doubt: str = ""

    def consistent(self) -> None:
        """Raise a Fault where fields do not fit each other."""
        given = [n for n in ("model", "matmul", "probe") if getattr(self, n) is not None]
        if len(given) != 1:
            raise fault_at(
                (), " and ".join(given) or "no subject", "one of model, matmul and probe in a row"
            )

    @property
    def is_saved(self) -> bool:
        """Whether the model is a saved workload rather than one that is known by name."""
        return self.model is not None and is_workload(self.model)

    @property
    def subject(self) -> str:
        """What was run, without its batch: rows of one subject are left out of a fit together."""
        if self.model and self.is_saved:
            return Path(self.model).name.removesuffix(".gz").removesuffix(".json")
        return self.model or self.probe or str(self.matmul)

    @property
    def samples(self) -> int:
        """Samples per run where as many as are best are not meant."""
        return self.batch or 1

    @property
    def all_cores(self) -> int | None:
        """Cores of all instances together; None for all of the machine's."""
        return None if self.cores is None else self.cores * (self.instances or 1)

    def __str__(self) -> str:
        parts = [self.subject]
        if self.model:
            parts += [f"batch {self.samples}"]
            parts += [self.phase] if self.phase else []
            parts += [f"{self.tokens} tokens"] if self.tokens else []
            parts += [f"context {self.context}"] if self.context else []
        if self.instances and self.instances > 1:
            parts.append(f"{self.instances} instances")
        if self.cores:
            parts.append(f"{self.cores} core{'s' if self.cores > 1 else ''}")
        if self.threads:
            parts.append(f"{self.threads} threads")
        return ", ".join(parts)


class MeasuredSet(Record):
    """Points of one machine, run in one way.

    Attributes:
        machine: catalogue id, or path of a machine file.
        family: sets with the same one share what a fit changes.
        sockets: of the system; throughputs are of all of them.
        software: what ran it, an id of :func:`perfmodel.software.catalogue` or a file, and
            ``software_version`` which release.
        quantity: "latency" of one run, "throughput" at the best partition and batch, or
            "token_rate" of one run.
        unit: of the values: of time for a latency, "samples/s", or "tokens/s".
        source: key of the file's ``[sources]``.
        notes: what its source says of all rows.
    """

    name: str
    machine: str
    family: str
    sockets: Natural = 1
    precision: str
    software: str
    software_version: str = ""
    state: State = "steady"
    quantity: Quantity
    unit: str
    source: str
    notes: str = ""
    rows: Annotated[tuple[Row, ...], Held(min_length=1)]

    def consistent(self) -> None:
        """Raise a Fault where fields do not fit each other."""
        try:
            self.factor()
        except quantity.QuantityError as error:
            example = '"ms"' if self.quantity == "latency" else f'"{_RATES[self.quantity]}"'
            raise fault_at(("unit",), f"{self.unit!r} {error}", f"such as {example}") from None

    @property
    def scenario(self) -> Scenario:
        """How the points were run; each row has its own batch and phase."""
        return Scenario(self.precision, self.software, self.state)

    def factor(self) -> float:
        """What a value is multiplied by to be in seconds, samples or tokens per second."""
        if self.quantity == "latency":
            return quantity.factor(self.unit, "s")
        wanted = _RATES[self.quantity]
        if self.unit != wanted:
            raise quantity.QuantityError(f"is not the unit of a {self.quantity}")
        return 1.0


class Measurements(Record):
    """A file of measured points."""

    sources: Mapping[str, str]
    set: Annotated[tuple[MeasuredSet, ...], Held(min_length=1)]

    def rows(self) -> Iterator[tuple[MeasuredSet, Row]]:
        """Every row with its set."""
        return ((group, row) for group in self.set for row in group.rows)


def load_measurements(file: str | Path) -> Measurements:
    """The measured points in a TOML file, or those that come with perfmodel under that name.

    Raises:
        MeasurementError: the file cannot be read, is malformed, or names a machine, model,
            precision, software or unit that does not exist, or more cores than there are.
    """
    shown = str(file)
    path = folder_of(file) / f"{file}.toml" if shown in SHIPPED else Path(file)
    expected = f"measurements in TOML, or one of {', '.join(SHIPPED)}"
    tree = read_toml(path, shown, MeasurementError, expected)
    return parsed(tree, shown, path.parent)


def folder_of(file: str | Path) -> Path:
    """The folder that paths in a file of measurements, or a shipped one's name, start from."""
    return _FOLDER if str(file) in SHIPPED else Path(file).parent


def parsed(tree: Any, shown: str, folder: Path = Path()) -> Measurements:
    """``tree`` validated, with every name in it looked up; ``folder`` is what paths start from."""
    try:
        found = validated(Measurements, tree, Origin(shown, {}))
    except MachineError as error:
        raise MeasurementError(str(error)) from None
    for index, group in enumerate(found.set):
        where = f"{shown}: set.{index} ({group.name})"
        if group.source not in found.sources:
            raise MeasurementError(
                f"{where}: source {group.source!r}; expected a key of [sources] in this file"
            )
        try:
            machine = load_machine(machine_of(group, folder))
            group.scenario  # noqa: B018 - raises for words that do not exist
            for row in group.rows:
                _check_subject(row, folder)
                _check_cores(group, row, machine)
        except (UnknownName, MachineError, MeasurementError) as error:
            raise MeasurementError(f"{where}: {error}") from None
    return found


def machine_of(group: MeasuredSet, folder: Path = Path()) -> str:
    """What :func:`load_machine` takes for this set: paths are relative to its file."""
    return str(folder / group.machine) if group.machine.endswith(".toml") else group.machine


def _check_cores(group: MeasuredSet, row: Row, machine: Machine) -> None:
    if row.cores is None:
        if row.threads is not None:
            raise MeasurementError(f"{row}: threads without cores; expected the cores they ran on")
        return
    counts, threads = [machine.cores.count], [machine.cores.threads_per_core]
    if machine.efficiency_cores is not None:
        counts.append(machine.efficiency_cores.count)
        threads.append(machine.efficiency_cores.threads_per_core)
    available = group.sockets * int(sum(count.typical for count in counts))
    if row.all_cores is not None and row.all_cores > available:
        raise MeasurementError(
            f"{row}: {row.all_cores} cores in all; expected at most the {available} of "
            f"{machine.id} on {group.sockets} socket{'s' if group.sockets > 1 else ''}"
        )
    most = row.cores * int(max(count.typical for count in threads))
    if row.threads is not None and row.threads > most:
        raise MeasurementError(
            f"{row}: expected at most the {most} threads of {row.cores} cores of {machine.id}"
        )


def is_workload(model: str) -> bool:
    """Whether ``model`` is the path of a saved workload."""
    return model.endswith((".json", ".json.gz"))


def _check_subject(row: Row, folder: Path) -> None:
    if row.model is not None and row.is_saved:
        if not (folder / row.model).is_file():
            raise MeasurementError(
                f"{row.model}: no such file; expected a saved workload, by its path from the "
                "folder of this file on"
            )
    elif row.model is not None:
        from perfmodel.models import zoo

        if not zoo.knows(row.model):
            raise UnknownName("model", row.model, zoo.names())
    if row.probe is not None:
        from perfmodel.evidence.probes import probe

        probe(row.probe)
