"""What the tests of one session recorded, and what becomes of it at the end; knows no pytest."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perfmodel.guard.changes import compare
from perfmodel.guard.documents import SCRATCH, Document, Figures, digest, entry_sources
from perfmodel.guard.plain import differences
from perfmodel.guard.report import Report
from perfmodel.guard.snapshots import Folder, SnapshotError
from perfmodel.guard.tolerance import close


@dataclass
class Recorded:
    """Estimates of one session (or of one worker of it), as a run.

    Attributes:
        models, figures: see :mod:`perfmodel.guard`.
        tests: by model and key, the test that recorded the estimate.
        allowed: by model and key, the relative decrease and increase that its test allows.
        kept: by model and key, whether it is held against a snapshot (or against a budget alone).
        records: plain documents that follow from estimates, by name (FOLDER/NAME).
        record_tests: by name, the test that made it.
        spoilt: models and records that two tests describe differently, which no update may write.
        failures: by test, why it could not estimate.
        problems: what went wrong outside of any test.
        whole: whether every test of the suite ran.
    """

    models: dict[str, Document] = field(default_factory=dict)
    figures: dict[str, Figures] = field(default_factory=dict)
    tests: dict[str, dict[str, str]] = field(default_factory=dict)
    allowed: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    kept: dict[str, dict[str, bool]] = field(default_factory=dict)
    records: dict[str, Document] = field(default_factory=dict)
    record_tests: dict[str, str] = field(default_factory=dict)
    spoilt: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    whole: bool = False

    def add(
        self,
        model: str,
        key: str,
        *,
        entry: Document,
        asks: Document,
        figures: Mapping[str, Figures],
        test: str,
        allowed: Sequence[float],
        kept: bool,
    ) -> str:
        """Record an estimate; returns what contradicts another test's, or an empty text."""
        document = self.models.setdefault(
            model, {"model": model, "asks": {}, "estimates": {}, "figures": {}}
        )
        other = next(iter(self.tests.get(model, {}).values()), test)
        known = document["asks"].get(entry["asks"])
        if known is not None and known["workload"] != asks["workload"]:
            first = self._test_of(model, entry["asks"], other)
            return self._spoil(
                model,
                f"two different models are called {model!r}, in {first} and {test}: give one of "
                "them another name=",
            )
        for source, values in figures.items():
            if self.figures.setdefault(source, dict(values)) != values:
                return self._spoil(
                    model,
                    f"{source!r} is the id of two descriptions that differ: give one another id",
                )
        before = document["estimates"].get(key)
        if before is not None and not close(before["latency_ms"], entry["latency_ms"]):
            return self._spoil(
                model,
                f"{model} {key} has two latencies, {before['latency_ms']:.6g} ms in "
                f"{self.tests[model][key]} and {entry['latency_ms']:.6g} ms in {test}",
            )
        document["asks"][entry["asks"]] = asks
        document["estimates"][key] = entry
        for source, values in figures.items():
            if source not in document["figures"]:
                document["figures"][source] = digest(values)
        self.tests.setdefault(model, {})[key] = test
        limits, held = self.allowed.setdefault(model, {}), self.kept.setdefault(model, {})
        if kept:
            known_limits = limits.get(key, (math.inf, math.inf))
            limits[key] = [min(a, b) for a, b in zip(allowed, known_limits, strict=True)]
        held[key] = kept or held.get(key, False)
        return ""

    def add_record(self, name: str, document: Document, test: str) -> str:
        """Record a document; returns what contradicts another test's, or an empty text."""
        if self.records.setdefault(name, document) != document:
            return self._spoil(
                name,
                f"two different documents are called {name!r}, in {self.record_tests[name]} and "
                f"{test}: give one of them another name",
            )
        self.record_tests.setdefault(name, test)
        return ""

    def _test_of(self, model: str, asks: str, other: str) -> str:
        estimates = self.models[model]["estimates"]
        return next(
            (t for key, t in self.tests[model].items() if estimates[key]["asks"] == asks), other
        )

    def _spoil(self, model: str, text: str) -> str:
        self.spoilt.setdefault(model, text)
        return text

    def merge(self, other: Recorded) -> None:
        """Add what another worker recorded; contradictions become problems."""
        for model, document in other.models.items():
            for key, entry in document["estimates"].items():
                sources = {s: other.figures[s] for s in entry_sources(entry)}
                wrong = self.add(
                    model, key, entry=entry, asks=document["asks"][entry["asks"]], figures=sources,
                    test=other.tests[model][key],
                    allowed=other.allowed.get(model, {}).get(key, (math.inf, math.inf)),
                    kept=other.kept[model][key],
                )  # fmt: skip
                if wrong and wrong not in self.problems:
                    self.problems.append(wrong)
        for name, document in other.records.items():
            wrong = self.add_record(name, document, other.record_tests[name])
            if wrong and wrong not in self.problems:
                self.problems.append(wrong)
        self.spoilt |= {m: t for m, t in other.spoilt.items() if m not in self.spoilt}
        self.failures |= other.failures
        self.problems += [text for text in other.problems if text not in self.problems]
        self.whole = self.whole and other.whole

    def to_text(self) -> str:
        """Return everything as JSON text, for a worker to send."""
        return json.dumps(vars(self))

    @staticmethod
    def from_text(text: str) -> Recorded:
        """Return what :meth:`to_text` wrote."""
        return Recorded(**json.loads(text))

    # -- the end of a session ----------------------------------------------------------------------

    def run(self) -> Document:
        """Return what is held against snapshots, as a run."""
        models = {}
        for name, document in self.models.items():
            held = {k: e for k, e in document["estimates"].items() if self.kept[name][k]}
            if held:
                models[name] = {**document, "estimates": held}
        return {"models": models, "figures": self.figures, "records": self.records}

    def everything(self) -> Document:
        """Return all that was recorded, as a run."""
        return {"models": self.models, "figures": self.figures}

    def stored(self, folder: Folder) -> Document:
        """Return what ``folder`` has of the models and records of this session.

        Where the whole suite ran, it is all models that are stored. An unreadable one is left out:
        the test that met it has failed for it.
        """
        models = [
            name for name in dict.fromkeys([*self.models, *(folder.models() if self.whole else [])])
            if _readable(folder.model, name) is not None
        ]  # fmt: skip
        records = {
            name: found for name in self.records
            if (found := _readable(folder.record, name)) is not None
        }  # fmt: skip
        sources = {s for name in models for s in (folder.model(name) or {})["figures"]}
        return {**folder.run(models, sorted(sources | set(self.figures))), "records": records}

    def report(self, old: Document) -> Report:
        """Return what this session has different from what was stored."""
        allowed = {(m, k): r for m, limits in self.allowed.items() for k, r in limits.items()}
        return compare(old, self.run(), allowed=allowed, whole=self.whole, problems=self.problems)

    def store(self, folder: Folder) -> list[str]:
        """Accept everything: write what differs from ``folder``; returns what went wrong.

        An estimate within 1e-6 of the stored one stays as it is stored, so that small drifts cannot
        add up unseen. Estimates that no test made this time stay too, unless the whole suite ran;
        then models that no test guards any more go, with the figures that only they read.
        """
        wrong = []
        accepted: set[str] = set()
        replaced: set[str] = set()
        for name, document in self.run()["models"].items():
            if name in self.spoilt:
                continue
            try:
                before = folder.model(name)
                merged = _merged(before, document, self.whole)
                replaced |= set((before or {"figures": ()})["figures"])
                if merged != before:
                    folder.store_model(name, merged)
                accepted |= set(document["figures"])
            except SnapshotError as error:
                wrong.append(str(error))
        for source in sorted(accepted):
            try:
                if folder.figures(source) != self.figures[source]:
                    folder.store_figures(source, self.figures[source])
            except SnapshotError as error:
                wrong.append(str(error))
        for name, made in self.records.items():
            try:
                before = folder.record(name)
                if name not in self.spoilt and (before is None or any(differences(before, made))):
                    folder.store_record(name, made)
            except SnapshotError as error:
                wrong.append(str(error))
        if self.whole:
            wrong += self._remove(folder, replaced)
        return wrong

    def _remove(self, folder: Folder, replaced: set[str]) -> list[str]:
        """Remove models that nothing guards, and of their and ``replaced`` figures the unread."""
        wrong: list[str] = []
        kept = {name for name, document in self.run()["models"].items() if document}
        for name in folder.models():
            if name not in kept and name not in self.models:
                replaced = replaced | set((folder.model(name) or {"figures": ()})["figures"])
                wrong += folder.remove(folder.model_file(name))
        read = {s for name in folder.models() for s in (folder.model(name) or {})["figures"]}
        for source in sorted(replaced - read):
            wrong += folder.remove(folder.figures_file(source))
        return wrong


def _readable(read: Callable[[str], Document | None], name: str) -> Document | None:
    try:
        return read(name)
    except SnapshotError:
        return None


def _merged(before: Document | None, now: Mapping[str, Any], whole: bool) -> Document:
    if before is None:
        estimates = now["estimates"]
        asks, figures = now["asks"], now["figures"]
    else:
        estimates = {} if whole else dict(before["estimates"])
        for key, entry in now["estimates"].items():
            was = before["estimates"].get(key)
            estimates[key] = was if was is not None and _same(was, entry) else entry
        asks = {**before["asks"], **now["asks"]}
        figures = {**before["figures"], **now["figures"]}
    entries = [_without_scratch(entry) for entry in estimates.values()]
    used = {source for entry in entries for source in entry_sources(entry)}
    return {
        "model": now["model"],
        "asks": {k: asks[k] for k in {entry["asks"] for entry in entries}},
        "estimates": dict(zip(estimates, entries, strict=True)),
        "figures": {source: figures[source] for source in used},
    }


def _same(was: Document, entry: Document) -> bool:
    """Whether an estimate is as it was: its latency, its labels, and the engines of its parts."""
    return (
        close(was["latency_ms"], entry["latency_ms"])
        and was["bottleneck"] == entry["bottleneck"]
        and {f: set(e) for f, e in was["parts"].items()}
        == {f: set(e) for f, e in entry["parts"].items()}
    )


def _without_scratch(entry: Document) -> Document:
    return {name: value for name, value in entry.items() if name not in SCRATCH}
