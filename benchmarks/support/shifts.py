"""Differences as a reviewer reads them: what shifted, by how much, and what changed it.

Snapshots are named ``workloads/MODEL`` and ``estimates/MODEL/CPU``; an estimate's document holds
its figures under ``precisions/PRECISION``. A workload that shifted says that the tracer changed. An
estimate that shifted while its workload did not says that the mapping or a machine's figures did.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.support.tolerance import ABSENT, Difference, differences

WORKLOADS: Final = "workloads"
ESTIMATES: Final = "estimates"
PRECISIONS: Final = "precisions"
TOP_KERNELS: Final = "top_kernels"
LATENCY: Final = "latency_ms"

#: Figures of a whole estimate, in the order in which they are listed at equal percentages.
HEADLINE: Final = (LATENCY, "throughput_fps", "fps_per_watt", "utilization")
#: Labels whose change is named in the table.
LABELS: Final = ("bottleneck", "bound", "engine", "level")


@dataclass(frozen=True)
class Record:
    """One snapshot that a test compared: its name, the stored document and the new one.

    ``old`` is None where none is stored, or none that could be read (``problem`` says why).
    """

    name: str
    old: Mapping[str, Any] | None
    new: Mapping[str, Any]
    problem: str = ""

    @property
    def kind(self) -> str:
        """The folder: ``workloads`` or ``estimates``."""
        return self.name.partition("/")[0]

    @property
    def model(self) -> str:
        """The model's name."""
        return self.name.split("/")[1] if "/" in self.name else self.name

    @property
    def cpu(self) -> str:
        """The CPU's id; empty for a workload."""
        return "/".join(self.name.split("/")[2:])

    @property
    def shifted(self) -> bool:
        """Whether a stored document differs from the new one."""
        return self.old is not None and any(differences(self.old, self.new))


@dataclass(frozen=True)
class Shift:
    """One row of the table. ``percent`` is None where old and new are not both numbers."""

    model: str
    cpu: str
    precision: str
    figure: str
    old: object
    new: object
    percent: float | None = None
    note: str = ""
    #: Lower is listed earlier: rankings, labels of a whole estimate, its figures, details.
    tier: int = 3

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key: by tier, then large shifts first.

        Size is the logarithm of new over old, so that a latency and the throughput it determines
        are equally large and stand side by side.
        """
        place = HEADLINE.index(self.figure) if self.figure in HEADLINE else len(HEADLINE)
        size = -float(f"{self._size():.6g}")
        return (self.tier, size, place, self.model, self.cpu, self.precision, self.figure)

    def _size(self) -> float:
        if self.percent is None:
            return math.inf
        ratio = 1 + self.percent / 100
        return abs(math.log(ratio)) if 0 < ratio < math.inf else math.inf


@dataclass(frozen=True)
class ShiftReport:
    """Everything a run found different from what is stored, sorted for reading.

    Attributes:
        tracer: shifts of workloads.
        follows: shifts of estimates whose model's workload shifted too.
        mapping: shifts of estimates whose workload is as recorded.
        untold: shifts of estimates whose workload was not compared in this run.
        missing: names of snapshots that are not stored, or not readable (with the reason).
        orphans: stored names that nothing records.
    """

    tracer: tuple[Shift, ...] = ()
    follows: tuple[Shift, ...] = ()
    mapping: tuple[Shift, ...] = ()
    untold: tuple[Shift, ...] = ()
    missing: tuple[str, ...] = ()
    orphans: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return any(
            (self.tracer, self.follows, self.mapping, self.untold, self.missing, self.orphans)
        )

    @property
    def verdict(self) -> str:
        """In one line, what changed."""
        said = []
        if self.tracer:
            said.append(f"the tracer changed ({_models(self.tracer)})")
        if self.mapping:
            also = "the model changed too" if self.tracer else "the model changed, the tracer not"
            said.append(f"{also}: mapping or machine figures ({_models(self.mapping)})")
        if self.untold:
            said.append("estimates shifted; run the workload snapshots too to learn whether the "
                        f"tracer or the model changed ({_models(self.untold)})")  # fmt: skip
        if self.missing:
            said.append(f"not stored: {len(self.missing)}")
        if self.orphans:
            said.append(f"stored, but recorded by nothing: {len(self.orphans)}")
        return "; ".join(said)


def _models(shifts: Iterable[Shift]) -> str:
    return ", ".join(sorted({shift.model for shift in shifts}))


@dataclass
class Findings:
    """What the tests of one run found, collected by the plugin.

    ``stored`` holds the stored estimates of CPUs that this run may not have compared; rankings
    need all CPUs of a model.
    """

    records: list[Record] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    stored: dict[str, Mapping[str, Any]] = field(default_factory=dict)

    def report(self) -> ShiftReport:
        """The sorted report of this run."""
        workloads = [r for r in self.records if r.kind == WORKLOADS]
        changed = {r.model for r in workloads if r.shifted}
        same = {r.model for r in workloads if r.old is not None} - changed
        tracer = [shift for r in workloads for shift in shifts(r)]
        others = [shift for r in self.records if r.kind != WORKLOADS for shift in shifts(r)]
        others += ranking_shifts(self.records, self.stored)

        def ordered(chosen: Iterable[Shift]) -> tuple[Shift, ...]:
            return tuple(sorted(chosen, key=lambda shift: shift.order))

        return ShiftReport(
            tracer=ordered(tracer),
            follows=ordered(s for s in others if s.model in changed),
            mapping=ordered(s for s in others if s.model in same),
            untold=ordered(s for s in others if s.model not in changed | same),
            missing=tuple(
                sorted(
                    f"{r.name} ({r.problem})" if r.problem else r.name
                    for r in self.records
                    if r.old is None
                )
            ),
            orphans=tuple(sorted(self.orphans)),
        )


def shifts(record: Record) -> list[Shift]:
    """The rows of one snapshot; none where nothing is stored."""
    if record.old is None:
        return []
    return [_shift(record, d) for d in differences(record.old, record.new)]


def _shift(record: Record, difference: Difference) -> Shift:
    path = difference.path
    precision = ""
    if record.kind == ESTIMATES and len(path) > 1 and path[0] == PRECISIONS:
        precision, path = str(path[1]), path[2:]
    last = path[-1] if path else ""
    detail = len(path) > 1
    if path and path[0] == TOP_KERNELS and detail:
        figure = f"{path[1]}: {' '.join(map(str, path[2:]))}" if path[2:] else str(path[1])
    else:
        figure = ".".join(map(str, path)) or "(all)"
    percent = percentage(difference.old, difference.new)
    note = _note(str(last), difference, percent)
    numeric = percent is not None
    return Shift(
        record.model, record.cpu, precision, figure, difference.old, difference.new,
        percent, note, tier=(4 if numeric else 3) if detail else (2 if numeric else 1),
    )  # fmt: skip


def _note(figure: str, difference: Difference, percent: float | None) -> str:
    if difference.old is ABSENT:
        return "new"
    if difference.new is ABSENT:
        return "gone"
    if isinstance(difference.new, float) and math.isnan(difference.new):
        return "not a number"
    if figure in LABELS:
        return f"{figure} changed"
    return "" if percent is not None else "changed"


def percentage(old: object, new: object) -> float | None:
    """The change in percent of ``old``; None unless both are numbers and ``old`` is not zero."""
    if not (_is_number(old) and _is_number(new)):
        return None
    before, after = float(old), float(new)  # type: ignore[arg-type]
    if before == 0 or math.isinf(before) or math.isnan(before) or math.isnan(after):
        return None
    return (after - before) / abs(before) * 100


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def ranking_shifts(
    records: Sequence[Record], stored: Mapping[str, Mapping[str, Any]]
) -> list[Shift]:
    """One row for each model and precision whose CPUs changed their order of latency.

    The stored order is compared with the order in which this run's figures replace the stored
    ones; CPUs that only one of the two has are left out.
    """
    rows = []
    for model in sorted({r.model for r in records if r.kind == ESTIMATES}):
        old: dict[str, Mapping[str, Any]] = {}
        for name, document in stored.items():
            parts = name.split("/")
            if parts[0] == ESTIMATES and parts[1] == model:
                old["/".join(parts[2:])] = document
        mine = [r for r in records if r.kind == ESTIMATES and r.model == model]
        old |= {r.cpu: r.old for r in mine if r.old is not None}
        new = old | {r.cpu: r.new for r in mine}
        before, after = _latencies(old), _latencies(new)
        for precision in sorted(before.keys() & after.keys()):
            both = before[precision].keys() & after[precision].keys()
            was = _order({cpu: before[precision][cpu] for cpu in both})
            now = _order({cpu: after[precision][cpu] for cpu in both})
            if was != now:
                rows.append(
                    Shift(model, "", precision, "ranking", " < ".join(was), " < ".join(now),
                          note="ranking flipped", tier=0)
                )  # fmt: skip
    return rows


def _order(latencies: Mapping[str, float]) -> list[str]:
    return sorted(latencies, key=lambda cpu: (latencies[cpu], cpu))


def _latencies(documents: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Latency by precision and CPU; what is not a number has no place in an order."""
    table: dict[str, dict[str, float]] = {}
    for cpu, document in documents.items():
        for precision, figures in document.get(PRECISIONS, {}).items():
            latency = figures.get(LATENCY) if isinstance(figures, dict) else None
            if isinstance(latency, float) and not math.isnan(latency):
                table.setdefault(precision, {})[cpu] = latency
    return table
