"""The function that the fixture ``perfmodel_guard`` gives to a test."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import pytest

from perfmodel.errors import PerfmodelError
from perfmodel.guard import documents
from perfmodel.guard.changes import compare
from perfmodel.guard.outcomes import NotAsRecorded
from perfmodel.guard.plain import differences, require_plain
from perfmodel.guard.put_back import put_back
from perfmodel.guard.report import record_shift
from perfmodel.guard.session import Recorded
from perfmodel.guard.snapshots import Folder, check_record_name
from perfmodel.guard.subjects import Subject, subject
from perfmodel.guard.tolerance import close, milliseconds, share
from perfmodel.guard.words import cut
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping import estimate
from perfmodel.scenario import Options, Scenario, scenario_of
from perfmodel.software import Software
from perfmodel.vocabulary.precision import Precision

#: Lines of a failing test's message.
_LINES: Final = 6
#: What is wrong, and whether the report at the end says it too.
_Fault: TypeAlias = tuple[str, bool]


@dataclass(frozen=True)
class _Limits:
    """What a call allows.

    Attributes:
        rtol: relative difference from the snapshot, in either direction.
        max_latency_ms: of every estimate, or None.
        max_increase: over the snapshot, or None; a decrease is allowed then.
    """

    rtol: float
    max_latency_ms: float | None
    max_increase: float | None

    @property
    def kept(self) -> bool:
        """Whether it is held against a snapshot: always, but for a latency budget alone."""
        return self.max_latency_ms is None or self.max_increase is not None


@dataclass(frozen=True)
class Guard:
    """Holds the estimated latency of a model on CPUs; made by the fixture, for one test."""

    recorded: Recorded
    folder: Folder
    test: str
    updating: bool
    accept: str
    rtol: str
    cpus: Sequence[str]
    limits: Mapping[str, Any]

    def __call__(
        self,
        model: object,
        *,
        cpus: Sequence[str | Path | Machine] | str | Path | Machine = (),
        precision: str | Precision | Sequence[str | Precision] = "int8",
        inputs: object = None,
        kwargs: Mapping[str, Any] | None = None,
        name: str | None = None,
        rtol: float | str | None = None,
        max_latency: float | str | None = None,
        max_increase: float | str | None = None,
        software: str | Path | Software | None = None,
        state: str = "steady",
        batch: int | None = None,
        phase: str | None = None,
        tokens: int | None = None,
        context: int | None = None,
    ) -> None:
        """Fail the test where an estimate is not as recorded, or not within its budget.

        Args:
            model: a function that returns (module, inputs), a module (with ``inputs``), a name of
                the zoo, the path of a saved workload or program, FILE.py:FUNCTION, or a workload.
            cpus: ids of the catalogue, machine files or machines; by default those of the ini
                option ``perfmodel_cpus``.
            precision: one or several.
            inputs, kwargs: example inputs of a module.
            name: of the model in snapshots and reports.
            rtol: relative difference from the snapshot that is allowed, "5 %" or 0.05; by default
                the marker's, else the option's, which is 1e-6.
            max_latency: budget of each estimate, "12 ms" or a number of ms. Alone, it needs no
                snapshot.
            max_increase: over the snapshot; what is faster passes.
            software, state, batch, phase, tokens, context: see
                :class:`~perfmodel.scenario.Scenario`.

        Every error of perfmodel fails the test with its one line.
        """
        try:
            limits = self._limits(rtol, max_latency, max_increase)
            options: Options = {
                "state": state, "batch": batch, "phase": phase, "tokens": tokens,
                "context": context,
            }  # fmt: skip
            if software is not None:
                options["software"] = software
            scenarios = _scenarios(precision, options)
            machines = [load_machine(cpu) for cpu in _several(cpus) or self.cpus]
            if not machines:
                raise PerfmodelError(
                    "no CPU is named: pass cpus=[...], or set the ini option perfmodel_cpus"
                )
            made = subject(model, scenarios[0], inputs=inputs, kwargs=kwargs, name=name)
        except PerfmodelError as error:
            self.recorded.failures[self.test] = str(error)
            # The line says it all; what led to it is PyTorch's.
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        asks = documents.asks(made.workload, made.module, made.tracer)
        faults: list[_Fault] = []
        for machine in machines:
            read = {machine.id: documents.machine_figures(machine)}
            for scenario in scenarios:
                figures = read | documents.scenario_figures(scenario)
                try:
                    faults += self._estimate(made, asks, machine, scenario, figures, limits)
                except PerfmodelError as error:
                    self.recorded.failures[self.test] = str(error)
                    faults.append((f"{made.name}: {error}", False))
        _fail(faults)

    def record(
        self, name: str, document: Mapping[str, Any], *, rtol: float | str | None = None
    ) -> None:
        """Fail the test where a document that follows from estimates is not as recorded.

        It is for what is made of latencies, such as a cost or the probability of a ranking: the
        report names it behind the estimates that moved it.

        Args:
            name: FOLDER/NAME, of its file among the snapshots.
            document: plain JSON. Floats are equal within ``rtol``, everything else exactly.
            rtol: by default the marker's, else the option's, which is 1e-6.
        """
        try:
            check_record_name(name)
            require_plain(dict(document))
            tolerance = self._limits(rtol, None, None).rtol
            stored = self.folder.record(name)
        except PerfmodelError as error:
            raise pytest.fail.Exception(f"{name}: {error}", pytrace=False) from None
        if wrong := self.recorded.add_record(name, dict(document), self.test):
            pytest.fail(wrong, pytrace=False)
        if self.updating:
            return
        if stored is None:
            _fail([(f"{name}: no snapshot is stored. To store it: {self.accept}", True)])
        elif any(differences(stored, dict(document), tolerance)):
            _fail([(f"{name}: {record_shift(name, stored, document).most}", True)])

    def _limits(
        self,
        rtol: float | str | None,
        max_latency: float | str | None,
        max_increase: float | str | None,
    ) -> _Limits:
        said = dict(self.limits)
        given = {"rtol": rtol, "max_latency": max_latency, "max_increase": max_increase}
        said |= {name: value for name, value in given.items() if value is not None}
        latency, increase = said.get("max_latency"), said.get("max_increase")
        return _Limits(
            rtol=share(said.get("rtol", self.rtol), "rtol"),
            max_latency_ms=None if latency is None else milliseconds(latency, "max_latency"),
            max_increase=None if increase is None else share(increase, "max_increase"),
        )

    def _estimate(
        self,
        made: Subject,
        asks: documents.Document,
        machine: Machine,
        scenario: Scenario,
        figures: Mapping[str, documents.Figures],
        limits: _Limits,
    ) -> Iterable[_Fault]:
        """Record one estimate; returns what is wrong with it."""
        result = estimate(made.workload, machine, scenario)
        entry = documents.entry(machine.id, result, scenario, made.workload)
        key = documents.estimate_key(machine.id, scenario, made.workload)
        place = f"{made.name} {key}"
        latency = entry["latency_ms"]
        if not (math.isfinite(latency) and latency > 0):
            return [(f"{place}: the latency is {latency}, which is never recorded", False)]
        rtol, increase = limits.rtol, limits.max_increase
        allowed = (rtol, rtol) if increase is None else (math.inf, increase)
        wrong = self.recorded.add(
            made.name, key, entry=entry, asks=asks, figures=figures, test=self.test,
            allowed=allowed, kept=limits.kept,
        )  # fmt: skip
        if wrong:
            return [(wrong, False)]
        faults: list[_Fault] = []
        budget = limits.max_latency_ms
        if budget is not None and latency > budget:
            said = f"{place}: {latency:.4g} ms, above its budget of {budget:.4g} ms"
            faults.append((said, False))
        if not limits.kept:
            return faults
        stored = self.folder.model(made.name)
        was = None if stored is None else stored["estimates"].get(key)
        if was is None:
            if not self.updating:
                said = f"{place}: no snapshot is stored. To store it: {self.accept}"
                faults.append((said, True))
            return faults
        if not close(was["latency_ms"], latency):
            self._put_back(made, machine, scenario, entry, stored or {})
        if not self.updating and not _allows(limits, was["latency_ms"], latency):
            faults.append((self._moved(made.name, key, limits), True))
        return faults

    def _moved(self, name: str, key: str, limits: _Limits) -> str:
        stored, now = self.folder.model(name) or {}, self.recorded.models[name]
        run = {"models": {name: {**now, "estimates": {key: now["estimates"][key]}}}, "figures": {}}
        move = compare({"models": {name: stored}, "figures": {}}, run).moved[0]
        limit = limits.max_increase
        bound = "" if limit is None else f", above the {limit * 100:.3g} % that are allowed"
        labels = f" ({'; '.join(move.labels)})" if move.labels else ""
        return (
            f"{name} {key}: {move.old:.6g} -> {move.new:.6g} ms, "
            f"{(move.ratio - 1) * 100:+.3g} %{bound}{labels}. Causes are below, under perfmodel"
        )

    def _put_back(
        self,
        made: Subject,
        machine: Machine,
        scenario: Scenario,
        entry: documents.Document,
        stored: Mapping[str, Any],
    ) -> None:
        """Estimate once more with the stored figures: the formula explains what they do not."""
        names = documents.entry_sources(entry)
        olds = [self.folder.figures(source) for source in names]
        for source, figures in zip(names, olds, strict=True):
            if figures is None or stored["figures"].get(source) != documents.digest(figures):
                return
        assert olds[0] is not None
        assert olds[1] is not None
        try:
            before, with_old = put_back(machine, scenario, olds[0], olds[1])
            again = estimate(made.workload, before, with_old).latency_ms
        except PerfmodelError:
            return  # A figure that came or went: the report names it, and says no more.
        entry["with_old_figures_ms"] = float(again)


def _fail(faults: Sequence[_Fault]) -> None:
    """Fail the test for what is wrong, if anything is."""
    if faults:
        text = "\n".join(cut(list(dict.fromkeys(text for text, _ in faults)), _LINES))
        if all(reported for _, reported in faults):
            raise NotAsRecorded(text)
        pytest.fail(text, pytrace=False)


def _allows(limits: _Limits, was: float, now: float) -> bool:
    if limits.max_increase is not None:
        return now <= was * (1 + limits.max_increase)
    return close(was, now, limits.rtol)


def _several(value: Any) -> list[Any]:
    return [value] if isinstance(value, str | Path | Machine | Precision) else list(value)


def _scenarios(precision: Any, options: Options) -> list[Scenario]:
    found = [scenario_of(one, options) for one in _several(precision)]
    if not found:
        raise PerfmodelError("no precision is named")
    return found
