"""Predicted beside measured: point by point, and by software and kind of run.

The second is of whole networks under the figures that come with perfmodel, in three columns: as
shipped, which is how well a fit to the points describes them; and by fits that saw no point of the
machine, or of the model (:meth:`perfmodel.evidence.fit.Fit.left_out`), which is how well it
predicts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Final, Literal, TypeAlias, TypeVar

import numpy as np

from perfmodel.errors import PerfmodelError
from perfmodel.evidence.cases import Case, cases
from perfmodel.evidence.fit import fit
from perfmodel.evidence.groups import is_fitted, machine_group, model_group, on_desktop
from perfmodel.evidence.measurements import SHIPPED, folder_of, load_measurements
from perfmodel.evidence.parameters import software_factors
from perfmodel.evidence.prediction import Setting, kind_of, setting
from perfmodel.evidence.scores import RatioScores, Scores, ratio_scores, scores
from perfmodel.machine import Machine
from perfmodel.machine.parts import with_cores
from perfmodel.mapping.roofline import FloatArray
from perfmodel.vocabulary.kinds import KINDS, Kind

K = TypeVar("K")

#: What a fit has seen of the points that it is judged by.
Column: TypeAlias = Literal["shipped", "machine", "model"]
#: Each column in words.
COLUMNS: Final[Mapping[Column, str]] = {
    "shipped": "shipped figures",
    "machine": "machine left out",
    "model": "model left out",
}


@dataclass(frozen=True)
class Compared:
    """One point, or one part of a model's time, predicted and measured.

    Attributes:
        name: what ran.
        subject: what it belongs to: a model, or a kind of kernel.
        predicted, measured: in ``unit``.
        unit: "ms", "samples/s" or "tokens/s".
        regime: what most of the predicted time goes to: "compute", "L2", "L3", "DRAM", "overhead".
        detail: how the prediction was made, where there was a choice.
    """

    name: str
    subject: str
    set: str
    machine: str
    split: str
    unit: str
    predicted: float
    measured: float
    regime: str
    detail: str = ""

    @property
    def ratio(self) -> float:
        """Predicted over measured."""
        return self.predicted / self.measured

    def to_dict(self) -> dict[str, Any]:
        """Plain Python objects."""
        return {
            "name": self.name,
            "set": self.set,
            "machine": self.machine,
            "split": self.split,
            "unit": self.unit,
            "predicted": self.predicted,
            "measured": self.measured,
            "ratio": self.ratio,
            "regime": self.regime,
            "detail": self.detail,
        }


def predict(case: Case, machine: Machine | None = None) -> Compared:
    """Return ``case`` as the model has it on ``machine``, by default the one its file names.

    A throughput is that of all sockets, divided as the row states or, where it does not, as
    :func:`perfmodel.evidence.prediction.setting` finds best.

    Raises:
        PerfmodelError: conditions that the machine cannot meet.
    """
    if machine is not None:
        case = replace(case, machine=with_cores(machine, case.row.all_cores))
    found = setting(case)
    value = float(found.value()[0])
    scale, unit = {
        "latency": (1e3, "ms"),
        "throughput": (1.0, "samples/s"),
        "token_rate": (1.0, "tokens/s"),
    }[case.group.quantity]
    divided = found.partition is not None and case.group.quantity == "throughput"
    sockets = f"{case.group.sockets} socket{'s' if case.group.sockets > 1 else ''}"
    return Compared(
        name=case.name,
        subject=case.row.subject,
        set=case.group.name,
        machine=case.machine.id,
        split=case.split,
        unit=unit,
        predicted=value * scale,
        measured=case.measured * scale,
        regime=found.bottleneck(),
        detail=f"{found.partition} at batch {found.batch}, {sockets}" if divided else "",
    )


def score(compared: Sequence[Compared]) -> Scores:
    """Return the scores of these points."""
    return scores([c.predicted for c in compared], [c.measured for c in compared])


def grouped(compared: Iterable[Compared], key: Callable[[Compared], K]) -> dict[K, list[Compared]]:
    """Return the points by ``key``, in the order of their first ones."""
    groups: dict[K, list[Compared]] = {}
    for point in compared:
        groups.setdefault(key(point), []).append(point)
    return groups


@dataclass(frozen=True)
class Part:
    """Points of one software and kind, or of one kind under all software.

    Attributes:
        software: its id; "" for all.
        kind: "single server", "single desktop", "throughput", "prefill" or "decode"; "" for all.
        scores: by column, of ratios of times.
    """

    software: str
    kind: str
    machines: int
    scores: Mapping[Column, RatioScores]

    @property
    def name(self) -> str:
        """Software and kind."""
        return f"{self.software or 'all'} {self.kind}".strip()

    def to_dict(self) -> dict[str, Any]:
        """Plain Python objects."""
        return {
            "software": self.software,
            "kind": self.kind,
            "machines": self.machines,
            **{column: found.to_dict() for column, found in self.scores.items()},
        }


@dataclass(frozen=True, eq=False)
class Validation:
    """N points under the shipped figures, and under fits that did not see them.

    Attributes:
        log_ratio: by column, natural logarithms of predicted over measured time, shape (N,).
        refused: points that cannot be predicted, and why.
    """

    settings: tuple[Setting, ...]
    log_ratio: Mapping[Column, FloatArray]
    refused: tuple[tuple[Case, str], ...] = ()

    def parts(self) -> list[Part]:
        """Return all points, those of each kind, and those of each software and kind."""
        keys = [(s.case.group.software, shown_kind(s.case)) for s in self.settings]
        kinds = sorted({kind for _, kind in keys}, key=_KINDS.index)
        each = sorted(set(keys), key=lambda key: (key[0], _KINDS.index(key[1])))
        return [
            self._part("", "", [True] * len(keys)),
            *(self._part("", kind, [own == kind for _, own in keys]) for kind in kinds),
            *(self._part(*key, [own == key for own in keys]) for key in each),
        ]

    def _part(self, software: str, kind: str, chosen: Sequence[bool]) -> Part:
        rows = np.flatnonzero(chosen)
        machines = {machine_group(self.settings[row].case) for row in rows}
        found = {column: ratio_scores(ratio[rows]) for column, ratio in self.log_ratio.items()}
        return Part(software, kind, len(machines), found)


#: Kinds as tables have them, in their order.
_KINDS: Final = ("single server", "single desktop", "throughput", "prefill", "decode")


def shown_kind(case: Case) -> str:
    """Return the kind of a point's run; single runs on desktops are a kind of their own."""
    kind = kind_of(case.group, case.row)
    return kind if kind != "single" else "single desktop" if on_desktop(case) else "single server"


def networks(
    files: Iterable[str] = SHIPPED,
    kinds: Sequence[Kind] = KINDS,
) -> list[Case]:
    """Return the points of whole networks that figures of software were fitted to, of these kinds.

    Those of language models come last: they are traced, which takes seconds each.
    """
    found = [
        case
        for file in files
        for case in cases(load_measurements(file), folder_of(file))
        if is_fitted(case) and kind_of(case.group, case.row) in kinds
    ]
    return sorted(found, key=lambda case: case.row.phase is not None)


def validated(
    points: Sequence[Case], progress: Callable[[str], None] = lambda text: None
) -> Validation:
    """Return how far off predictions of ``points`` are, which all take part in the fits.

    Args:
        progress: told what is being made ready.
    """
    ready, refused = [], []
    for case in points:
        progress(case.row.subject)
        try:
            ready.append(setting(case))
        except PerfmodelError as error:
            refused.append((case, str(error)))
    progress("fit")
    found = fit(ready, software_factors(), steps=0)
    machine_out, model_out = found.left_out(
        [machine_group(s.case) for s in ready], [model_group(s.case) for s in ready]
    )
    ratios: dict[Column, FloatArray] = {
        "shipped": found.log_ratio,
        "machine": machine_out,
        "model": model_out,
    }
    return Validation(tuple(ready), ratios, tuple(refused))


def selected(found: Validation, kinds: Sequence[str], software: Sequence[str]) -> Validation:
    """Return the points of these kinds and this software, judged by fits to all."""
    keep = [
        index
        for index, s in enumerate(found.settings)
        if (not kinds or kind_of(s.case.group, s.case.row) in kinds)
        and (not software or s.case.group.software in software)
    ]
    return replace(
        found,
        settings=tuple(found.settings[index] for index in keep),
        log_ratio={column: ratio[keep] for column, ratio in found.log_ratio.items()},
    )


@dataclass(frozen=True)
class Noise:
    """How far measurements of the same thing are from each other.

    Attributes:
        repeats: measurements beyond the first of each point.
        log_spread: standard deviation of the logarithm of one measurement, pooled over the points.
    """

    software: str
    kind: str
    repeats: int
    log_spread: float

    def to_dict(self) -> dict[str, Any]:
        """Plain Python objects."""
        return asdict(self)


def noise(files: Iterable[str] = SHIPPED) -> list[Noise]:
    """Return the noise floor by software and kind, of all points that were measured again."""
    same: dict[tuple[str, ...], list[Case]] = {}
    for file in files:
        for case in cases(load_measurements(file), folder_of(file), repeats=True):
            same.setdefault(case.key, []).append(case)
    squares: dict[tuple[str, str], list[tuple[float, int]]] = {}
    for group in same.values():
        if len(group) > 1:
            logs = np.log([case.measured for case in group])
            key = group[0].group.software, shown_kind(group[0])
            off = float(np.sum((logs - logs.mean()) ** 2))
            squares.setdefault(key, []).append((off, len(group) - 1))
    return [
        Noise(software, kind, repeats, float(np.sqrt(sum(off for off, _ in found) / repeats)))
        for (software, kind), found in sorted(squares.items())
        for repeats in [sum(count for _, count in found)]
    ]
