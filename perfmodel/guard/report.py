"""What two recorded runs have different, sorted for reading: causes, moves, and one line of both.

Causes come in four kinds, told apart by what is recorded beside each estimate:

======= ==========================================================================================
figure  a figure of a CPU, a software or a precision policy that the estimate reads
tracer  the same module is traced to another workload
model   the module itself changed: its shapes, its operators, its parts
mapping the same workload and figures give another latency: another engine, or another formula
======= ==========================================================================================
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from perfmodel.guard.plain import ABSENT, differences
from perfmodel.guard.tolerance import RELATIVE_TOLERANCE
from perfmodel.guard.words import counted, figure_change, percent

FIGURE: Final = "figure"
TRACER: Final = "tracer"
MODEL: Final = "model"
MAPPING: Final = "mapping"
#: In the order in which a reader needs them.
KINDS: Final = (FIGURE, TRACER, MAPPING, MODEL)


@dataclass(frozen=True)
class Cause:
    """Something that changed, in words.

    Attributes:
        kind: one of :data:`KINDS`.
        text: what, from what to what.
        weight: estimates that it may have moved.
    """

    kind: str
    text: str
    weight: int = 1


@dataclass(frozen=True)
class Move:
    """One estimate that moved.

    Attributes:
        model, key: which; ``key`` has CPU, precision and what else is not the default.
        cpu, setting: the two parts of ``key``.
        old, new: latency in ms.
        part: the operator family whose time changed most, and by how many ms.
        labels: bottleneck and engines, where they changed: "attention amx -> avx512".
        allowed: the relative difference in this direction that its test allows.
        beyond: whether it is beyond that.
    """

    model: str
    key: str
    cpu: str
    setting: str
    old: float
    new: float
    part: str
    part_ms: float
    labels: tuple[str, ...] = ()
    allowed: float = RELATIVE_TOLERANCE
    beyond: bool = True

    @property
    def ratio(self) -> float:
        """New over old; NaN where one of them is no positive number."""
        usable = math.isfinite(self.old) and math.isfinite(self.new) and min(self.old, self.new) > 0
        return self.new / self.old if usable else math.nan

    @property
    def size(self) -> float:
        """How large it is, in either direction; what is no number is largest."""
        return math.inf if math.isnan(self.ratio) else abs(math.log(self.ratio))


@dataclass(frozen=True)
class RecordShift:
    """A record that differs from the stored one.

    Attributes:
        name: FOLDER/NAME.
        places: how many of its values differ.
        most: the largest difference, in words; one of a label is larger than one of a number.
        size: how large that is.
    """

    name: str
    places: int
    most: str
    size: float


def record_shift(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> RecordShift:
    """Return how a record differs, in words; it must."""
    found = sorted(differences(dict(old), dict(new)), key=lambda difference: -difference.size)
    first = found[0]
    most = f"{first.place} {figure_change(*map(_shown, (first.old, first.new)))}"
    return RecordShift(name, len(found), most, first.size)


def _shown(value: object) -> object:
    if value is ABSENT:
        return None
    return f"({len(value)} entries)" if isinstance(value, dict | list) else value


@dataclass(frozen=True)
class Report:
    """What a run found different from another, sorted for reading.

    Attributes:
        compared: estimates that both have.
        moved: those whose latency differs, the largest shift first.
        causes: by kind, then by how many estimates they may have moved.
        flips: rankings of CPUs that changed.
        added, gone: estimates that only the new or only the old run has, as "MODEL KEY"; records
            that only the new one has, by name.
        records: records that both have; ``followed`` are those that differ.
        problems: what could not be compared, and why.
    """

    compared: int = 0
    moved: tuple[Move, ...] = ()
    causes: tuple[Cause, ...] = ()
    flips: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    records: int = 0
    followed: tuple[RecordShift, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.moved or self.added or self.gone or self.problems or self.followed)

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain Python objects for JSON; a ratio that is none is None."""
        return {
            "headline": self.headline,
            "compared": self.compared,
            "causes": [asdict(cause) for cause in self.causes],
            "moved": [
                {
                    **asdict(move),
                    "labels": list(move.labels),
                    "allowed": move.allowed if math.isfinite(move.allowed) else None,
                    "ratio": None if math.isnan(move.ratio) else move.ratio,
                }
                for move in self.moved
            ],
            "flips": list(self.flips),
            "added": list(self.added),
            "gone": list(self.gone),
            "problems": list(self.problems),
            "records": self.records,
            "followed": [
                {"name": shift.name, "places": shift.places, "most": shift.most}
                for shift in self.followed
            ],
        }

    @property
    def headline(self) -> str:
        """In one line: how many moved, how far, and whether a ranking flipped."""
        if not self.compared and self.records:
            text = "no estimate moved"
        elif not self.compared:
            text = "no estimate to compare with"
        elif not self.moved:
            text = f"none of {counted(self.compared, 'estimate')} moved"
        else:
            logs = [math.log(m.ratio) for m in self.moved if not math.isnan(m.ratio)]
            text = f"{len(self.moved)} of {counted(self.compared, 'estimate')} moved"
            if len(logs) == 1:
                text += f": {percent(logs[0])}"
            elif logs:
                mean = sum(logs) / len(logs)
                text += f": {percent(min(logs))} to {percent(max(logs))}"
                text += f", geometric mean {percent(mean)}"
            text += "; " + (
                f"{counted(len(self.flips), 'ranking')} flipped" if self.flips
                else "no ranking flipped"
            )  # fmt: skip
        if self.followed:
            text += f"; {len(self.followed)} of {counted(self.records, 'record')} moved"
        if self.added:
            text += f"; {len(self.added)} not recorded yet"
        if self.gone:
            text += f"; {len(self.gone)} no longer estimated"
        return text
