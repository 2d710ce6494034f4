"""What the tests of one session recorded, and what becomes of it at the end; knows no pytest."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from perfmodel.guard.changes import Report, compare
from perfmodel.guard.documents import Document, Figures, digest, entry_sources
from perfmodel.guard.snapshots import Folder, SnapshotError
from perfmodel.guard.tolerance import close


@dataclass
class Recorded:
    """Estimates of one session (or of one worker of it), as a run.

    Attributes:
        models, figures: see :mod:`perfmodel.guard`.
        tests: by model and key, the test that recorded the estimate.
        allowed: by model and key, the relative difference that its test allows.
        kept: by model and key, whether it is held against a snapshot (or against a budget alone).
        spoilt: models that two tests describe differently, which no update may write.
        failures: by test, why it could not estimate.
        problems: what went wrong outside of any test.
        whole: whether every test of the suite ran.
    """

    models: dict[str, Document] = field(default_factory=dict)
    figures: dict[str, Figures] = field(default_factory=dict)
    tests: dict[str, dict[str, str]] = field(default_factory=dict)
    allowed: dict[str, dict[str, float]] = field(default_factory=dict)
    kept: dict[str, dict[str, bool]] = field(default_factory=dict)
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
        allowed: float,
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
        document["figures"] |= {source: digest(values) for source, values in figures.items()}
        self.tests.setdefault(model, {})[key] = test
        limits, held = self.allowed.setdefault(model, {}), self.kept.setdefault(model, {})
        if kept:
            limits[key] = min(allowed, limits.get(key, math.inf))
        held[key] = kept or held.get(key, False)
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
                    allowed=other.allowed.get(model, {}).get(key, math.inf),
                    kept=other.kept[model][key],
                )  # fmt: skip
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
        return {"models": models, "figures": self.figures}

    def everything(self) -> Document:
        """Return all that was recorded, as a run."""
        return {"models": self.models, "figures": self.figures}

    def stored(self, folder: Folder) -> Document:
        """Return what ``folder`` has of the models of this session; an unreadable one is left out.

        The test that met it has failed for it.
        """
        models: list[str] = []
        for name in self.models:
            try:
                if folder.model(name) is not None:
                    models.append(name)
            except SnapshotError:
                continue
        sources = {s for name in models for s in (folder.model(name) or {})["figures"]}
        return folder.run(models, sorted(sources | set(self.figures)))

    def report(self, old: Document) -> Report:
        """Return what this session has different from what was stored."""
        allowed = {(m, k): r for m, limits in self.allowed.items() for k, r in limits.items()}
        return compare(old, self.run(), allowed=allowed, whole=self.whole, problems=self.problems)

    def store(self, folder: Folder) -> list[str]:
        """Accept everything: write what differs from ``folder``; returns what went wrong.

        An estimate within 1e-6 of the stored one stays as it is stored, so that small drifts cannot
        add up unseen. Estimates of the model that no test made this time stay too, unless the
        whole suite ran.
        """
        wrong = []
        accepted: set[str] = set()
        for name, document in self.run()["models"].items():
            if name in self.spoilt:
                continue
            try:
                before = folder.model(name)
                merged = _merged(before, document, self.whole)
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
        return wrong


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
    return {name: value for name, value in entry.items() if name != "with_old_figures_ms"}


def listed(lines: Sequence[str], limit: int = 6) -> str:
    """Return the lines of a failing test's message, cut."""
    shown: Iterable[str] = lines if len(lines) <= limit else lines[: limit - 1]
    more = "" if len(lines) <= limit else f"\n... and {len(lines) - limit + 1} more"
    return "\n".join(shown) + more
