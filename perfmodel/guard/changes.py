"""Two recorded runs held against each other: what changed, and what moved because of it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from perfmodel.guard.asked import shape_changes, work_changes
from perfmodel.guard.documents import Document, digest, entry_sources
from perfmodel.guard.plain import differences
from perfmodel.guard.report import (
    FIGURE,
    KINDS,
    MAPPING,
    MODEL,
    TRACER,
    Cause,
    Move,
    Report,
    record_shift,
)
from perfmodel.guard.tolerance import RELATIVE_TOLERANCE, close
from perfmodel.guard.words import counted, figure_change, listed, percent

#: Modules of one model that are named; a change of width touches all of them.
_MODULES: Final = 6


def compare(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    allowed: Mapping[tuple[str, str], Sequence[float]] | None = None,
    whole: bool = True,
    problems: Iterable[str] = (),
) -> Report:
    """Return what ``new`` has different from ``old``, both runs (:mod:`perfmodel.guard`).

    Args:
        allowed: by model and key, the relative decrease and increase up to which it has not moved
            beyond what its test allows.
        whole: whether the new run holds all there is, so that what it lacks is gone.
    """
    comparison = _Comparison(old, new, allowed or {})
    names = {name for name in new["models"] if name in old["models"]}
    for name in sorted(names):
        comparison.model(name)
    added = [f"{m} {k}" for m, k in _keys(new) if k not in _estimates(old, m)]
    gone = [f"{m} {k}" for m, k in _keys(old) if k not in _estimates(new, m)] if whole else []
    before, after = old.get("records", {}), new.get("records", {})
    both = [name for name in after if name in before]
    followed = [
        record_shift(name, before[name], after[name])
        for name in both
        if any(differences(before[name], after[name]))
    ]
    added += [name for name in after if name not in before]
    moved = sorted(comparison.moved, key=lambda m: (-float(f"{m.size:.6g}"), m.model, m.key))
    return Report(
        compared=comparison.compared,
        moved=tuple(moved),
        causes=tuple(comparison.causes()) if moved else (),
        flips=tuple(_flips(old, new)),
        added=tuple(sorted(added)),
        gone=tuple(sorted(gone)),
        problems=tuple(problems),
        records=len(both),
        followed=tuple(sorted(followed, key=lambda shift: (-shift.size, shift.name))),
    )


@dataclass
class _Comparison:
    """Collects what moved, and what may have moved it."""

    old: Mapping[str, Any]
    new: Mapping[str, Any]
    allowed: Mapping[tuple[str, str], Sequence[float]]
    compared: int = 0
    moved: list[Move] = field(default_factory=list)
    #: Sources whose figures differ, with how many moved estimates read them.
    read: dict[str, int] = field(default_factory=dict)
    #: Engines that changed: (family, old, new) -> the (model, CPU, precision) it happened to.
    engines: dict[tuple[str, str, str], list[tuple[str, str, str]]] = field(default_factory=dict)
    #: Traced shapes that differ: (model, asks key) -> how many moved estimates have them.
    traced: dict[tuple[str, str], int] = field(default_factory=dict)
    #: Moved estimates that nothing else explains: family -> logarithms of its new over old time.
    formula: list[Move] = field(default_factory=list)
    #: Moved estimates that are not where they were with the figures of old put back.
    unexplained: list[tuple[Move, float]] = field(default_factory=list)

    def model(self, name: str) -> None:
        before, after = self.old["models"][name], self.new["models"][name]
        for key, entry in after["estimates"].items():
            was = before["estimates"].get(key)
            if was is None:
                continue
            self.compared += 1
            if close(was["latency_ms"], entry["latency_ms"]):
                continue
            move = self._move(name, key, was, entry)
            self.moved.append(move)
            changed = [source for source in entry_sources(entry) if self._figures_differ(
                source, before, after)]  # fmt: skip
            for source in changed:
                self.read[source] = self.read.get(source, 0) + 1
            asked, asks = before["asks"].get(was["asks"]), after["asks"].get(entry["asks"])
            traced = asked is not None and asks is not None and (
                asked["workload"] != asks["workload"]
            )  # fmt: skip
            if traced:
                place = (name, entry["asks"])
                self.traced[place] = self.traced.get(place, 0) + 1
            engines = _engines(was["parts"], entry["parts"])
            for change in engines:
                self.engines.setdefault(change, []).append((name, entry["cpu"], entry["precision"]))
            back = entry.get("with_old_figures_ms")
            if not changed and not traced and not engines:
                self.formula.append(move)
            elif traced or engines or back is None:
                continue
            elif not close(was["latency_ms"], back):
                self.unexplained.append((move, back / was["latency_ms"]))

    def _move(self, name: str, key: str, was: Document, entry: Document) -> Move:
        part, part_ms = _part(was["parts"], entry["parts"])
        labels = [f"{f} {a} -> {b}" for f, a, b in _engines(was["parts"], entry["parts"])]
        if was["bottleneck"] != entry["bottleneck"]:
            labels.append(f"bottleneck {was['bottleneck']} -> {entry['bottleneck']}")
        down, up = self.allowed.get((name, key), (RELATIVE_TOLERANCE, RELATIVE_TOLERANCE))
        allowed = up if entry["latency_ms"] > was["latency_ms"] else down
        return Move(
            name, key, entry["cpu"], key.removeprefix(f"{entry['cpu']} "),
            was["latency_ms"], entry["latency_ms"], part, part_ms, tuple(labels),
            allowed=allowed, beyond=not close(was["latency_ms"], entry["latency_ms"], allowed),
        )  # fmt: skip

    def _figures_differ(self, source: str, before: Document, after: Document) -> bool:
        was, now = before["figures"].get(source), after["figures"].get(source)
        return was is not None and now is not None and was != now

    # -- causes ------------------------------------------------------------------------------------

    def causes(self) -> list[Cause]:
        found = [*self._figures(), *self._traces(), *self._mappings()]
        return sorted(found, key=lambda cause: (KINDS.index(cause.kind), -cause.weight))

    def _figures(self) -> Iterable[Cause]:
        """One cause for each figure; CPUs that share it (a core's, say) are named together."""
        alike: dict[tuple[str, str], list[str]] = {}
        for source in self.read:
            old, new = self.old["figures"].get(source), self.new["figures"].get(source)
            recorded = {
                document["figures"][source]
                for document in self.old["models"].values()
                if source in document["figures"]
            }
            if old is None or new is None or recorded != {digest(old)}:
                why = "the old ones are no longer stored" if old != new else "unknown"
                alike.setdefault(("figures changed", f"which ones: {why}"), []).append(source)
            for path in sorted({*(old or {}), *(new or {})}):
                was, now = (old or {}).get(path), (new or {}).get(path)
                if was != now and old is not None and new is not None:
                    alike.setdefault((path, figure_change(was, now)), []).append(source)
        for (path, text), named in alike.items():
            weight = sum(self.read[source] for source in named)
            yield Cause(FIGURE, f"{listed(sorted(named))} {path} {text}", weight)

    def _traces(self) -> Iterable[Cause]:
        counts: dict[str, list[str]] = {}
        for (name, key), weight in self.traced.items():
            old = self.old["models"][name]["asks"][key]
            new = self.new["models"][name]["asks"][key]
            same_module = old["module"] is not None and old["module"] == new["module"]
            same_tracer = old["tracer"] == new["tracer"]
            if same_module or not same_tracer:
                for text in work_changes(old, new) or ["places or order of kernels"]:
                    counts.setdefault(text, []).append(name)
            if not same_module:
                texts = shape_changes(old, new)
                for text in texts[:_MODULES]:
                    yield Cause(MODEL, f"{name}: {text}", weight)
                if len(texts) > _MODULES:
                    more = len(texts) - _MODULES
                    yield Cause(MODEL, f"{name}: and {counted(more, 'more change')}", 0)
                if not texts and same_tracer:
                    yield Cause(
                        MODEL, f"{name}: {'; '.join(work_changes(old, new)) or 'order'}", weight
                    )
        for text, models in counts.items():
            names = sorted(set(models))
            where = counted(len(names), "model")
            yield Cause(TRACER, f"{text} in {where} ({listed(names)})", len(names))

    def _mappings(self) -> Iterable[Cause]:
        for (family, old, new), places in self.engines.items():
            models = {model for model, _, _ in places}
            cpus, precisions = ({p[i] for p in places} for i in (1, 2))
            yield Cause(
                MAPPING,
                f"{family} moved from {old} to {new} on {listed(sorted(cpus))} in "
                f"{listed(sorted(precisions))} ({listed(sorted(models))})",
                len(places),
            )
        if self.formula:
            families = sorted({move.part for move in self.formula})
            yield Cause(
                MAPPING,
                f"the formula changed, or a rule that is no figure: same trace, figures and "
                f"engines, other times of {listed(families)} in "
                f"{counted(len(self.formula), 'estimate')}",
                len(self.formula),
            )
        if self.unexplained:
            logs = [math.log(ratio) for _, ratio in self.unexplained if ratio > 0]
            span = f"{percent(min(logs))} to {percent(max(logs))}" if logs else "not a number"
            yield Cause(
                MAPPING,
                f"the formula changed as well: with the old figures put back, "
                f"{counted(len(self.unexplained), 'estimate')} would still be off by {span}",
                len(self.unexplained),
            )


# -- details ---------------------------------------------------------------------------------------


def _keys(run: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    for name, document in run["models"].items():
        for key in document["estimates"]:
            yield name, key


def _estimates(run: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    found: Mapping[str, Any] = run["models"].get(model, {}).get("estimates", {})
    return found


def _part(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[str, float]:
    """The operator family whose time changed most, and by how much."""
    change = {
        family: sum(new.get(family, {}).values()) - sum(old.get(family, {}).values())
        for family in {*old, *new}
    }
    if not change:
        return "", 0.0
    part = max(sorted(change), key=lambda family: abs(change[family]))
    return part, change[part]


def _engines(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Families whose time is on another engine now: (family, old engine, new engine)."""
    found = []
    for family in sorted({*old} & {*new}):
        was, now = (max(sorted(p[family]), key=p[family].__getitem__) for p in (old, new))
        if was != now:
            found.append((family, was, now))
    return found


def _flips(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
    """Orders of CPUs that changed, among those that both runs have; a tie is no order."""
    for name in sorted({*old["models"]} & {*new["models"]}):
        tables: dict[str, dict[str, tuple[float, float]]] = {}
        for key, entry in new["models"][name]["estimates"].items():
            was = old["models"][name]["estimates"].get(key)
            if was is not None:
                setting = key.removeprefix(f"{entry['cpu']} ")
                pair = (was["latency_ms"], entry["latency_ms"])
                tables.setdefault(setting, {})[entry["cpu"]] = pair
        for setting in sorted(tables):
            table = tables[setting]
            before, after = (sorted(table, key=lambda cpu: (table[cpu][i], cpu)) for i in (0, 1))
            place = {cpu: rank for rank, cpu in enumerate(after)}
            flipped = [
                f"{a} < {b} -> {b} < {a}"
                for rank, a in enumerate(before)
                for b in before[rank + 1 :]
                if place[a] > place[b]
                and not close(table[a][0], table[b][0])
                and not close(table[a][1], table[b][1])
            ]
            if flipped:
                yield f"{name} {setting}: {listed(flipped)}"
