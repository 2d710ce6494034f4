"""Two recorded runs held against each other: what changed, and what moved because of it.

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
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from perfmodel.figures import quantity
from perfmodel.guard.documents import Document, digest, entry_sources
from perfmodel.guard.tolerance import RELATIVE_TOLERANCE, close

FIGURE: Final = "figure"
TRACER: Final = "tracer"
MODEL: Final = "model"
MAPPING: Final = "mapping"
#: In the order in which a reader needs them.
KINDS: Final = (FIGURE, TRACER, MAPPING, MODEL)

#: What the loops of a product count, by operator family; the others' are called m, n and k.
_LOOPS: Final = {
    "linear": ("groups", "rows", "outputs", "inputs"),
    "conv": ("groups", "pixels", "channels", "reduction"),
    "pointwise_conv": ("groups", "pixels", "channels", "inputs"),
    "depthwise_conv": ("channels", "pixels", "outputs", "reduction"),
}
_COUNTS: Final = {"flops": "FLOPs", "vector_ops": "vector operations", "bytes": "bytes"}
#: Modules of one model that are named; a change of width touches all of them.
_MODULES: Final = 6
#: Names in a list before "and N more".
_NAMED: Final = 4


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
        beyond: whether it is beyond what its test allows.
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
class Report:
    """What a run found different from another, sorted for reading.

    Attributes:
        compared: estimates that both have.
        moved: those whose latency differs, the largest shift first.
        causes: by kind, then by how many estimates they may have moved.
        flips: rankings of CPUs that changed.
        added, gone: estimates that only the new or only the old run has, as "MODEL KEY".
        problems: what could not be compared, and why.
    """

    compared: int = 0
    moved: tuple[Move, ...] = ()
    causes: tuple[Cause, ...] = ()
    flips: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.moved or self.added or self.gone or self.problems)

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
                    "ratio": None if math.isnan(move.ratio) else move.ratio,
                }
                for move in self.moved
            ],
            "flips": list(self.flips),
            "added": list(self.added),
            "gone": list(self.gone),
            "problems": list(self.problems),
        }

    @property
    def headline(self) -> str:
        """In one line: how many moved, how far, and whether a ranking flipped."""
        if not self.compared:
            text = "no estimate to compare with"
        elif not self.moved:
            text = f"none of {_count(self.compared, 'estimate')} moved"
        else:
            logs = [math.log(m.ratio) for m in self.moved if not math.isnan(m.ratio)]
            text = f"{len(self.moved)} of {_count(self.compared, 'estimate')} moved"
            if len(logs) == 1:
                text += f": {_percent(logs[0])}"
            elif logs:
                mean = sum(logs) / len(logs)
                text += f": {_percent(min(logs))} to {_percent(max(logs))}"
                text += f", geometric mean {_percent(mean)}"
            text += "; " + (
                f"{_count(len(self.flips), 'ranking')} flipped" if self.flips
                else "no ranking flipped"
            )  # fmt: skip
        if self.added:
            text += f"; {len(self.added)} not recorded yet"
        if self.gone:
            text += f"; {len(self.gone)} no longer estimated"
        return text


def compare(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    *,
    allowed: Mapping[tuple[str, str], float] | None = None,
    whole: bool = True,
    problems: Iterable[str] = (),
) -> Report:
    """Return what ``new`` has different from ``old``, both runs (:mod:`perfmodel.guard`).

    Args:
        allowed: by model and key, the relative difference up to which an estimate has not moved
            beyond what its test allows.
        whole: whether the new run holds all there is, so that what it lacks is gone.
    """
    comparison = _Comparison(old, new, allowed or {})
    names = {name for name in new["models"] if name in old["models"]}
    for name in sorted(names):
        comparison.model(name)
    added = [f"{m} {k}" for m, k in _keys(new) if k not in _estimates(old, m)]
    gone = [f"{m} {k}" for m, k in _keys(old) if k not in _estimates(new, m)] if whole else []
    moved = sorted(comparison.moved, key=lambda m: (-float(f"{m.size:.6g}"), m.model, m.key))
    return Report(
        compared=comparison.compared,
        moved=tuple(moved),
        causes=tuple(comparison.causes()) if moved else (),
        flips=tuple(_flips(old, new)),
        added=tuple(sorted(added)),
        gone=tuple(sorted(gone)),
        problems=tuple(problems),
    )


@dataclass
class _Comparison:
    """Collects what moved, and what may have moved it."""

    old: Mapping[str, Any]
    new: Mapping[str, Any]
    allowed: Mapping[tuple[str, str], float]
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
        allowed = self.allowed.get((name, key), RELATIVE_TOLERANCE)
        return Move(
            name, key, entry["cpu"], key.removeprefix(f"{entry['cpu']} "),
            was["latency_ms"], entry["latency_ms"], part, part_ms, tuple(labels),
            beyond=not close(was["latency_ms"], entry["latency_ms"], allowed),
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
                    alike.setdefault((path, _changed(was, now)), []).append(source)
        for (path, text), named in alike.items():
            weight = sum(self.read[source] for source in named)
            yield Cause(FIGURE, f"{_listed(sorted(named))} {path} {text}", weight)

    def _traces(self) -> Iterable[Cause]:
        counts: dict[str, list[str]] = {}
        for (name, key), weight in self.traced.items():
            old = self.old["models"][name]["asks"][key]
            new = self.new["models"][name]["asks"][key]
            same_module = old["module"] is not None and old["module"] == new["module"]
            same_tracer = old["tracer"] == new["tracer"]
            if same_module or not same_tracer:
                for text in _work(old, new) or ["places or order of kernels"]:
                    counts.setdefault(text, []).append(name)
            if not same_module:
                texts = _shapes(old, new)
                for text in texts[:_MODULES]:
                    yield Cause(MODEL, f"{name}: {text}", weight)
                if len(texts) > _MODULES:
                    more = len(texts) - _MODULES
                    yield Cause(MODEL, f"{name}: and {_count(more, 'more change')}", 0)
                if not texts and same_tracer:
                    yield Cause(MODEL, f"{name}: {'; '.join(_work(old, new)) or 'order'}", weight)
        for text, models in counts.items():
            names = sorted(set(models))
            where = _count(len(names), "model")
            yield Cause(TRACER, f"{text} in {where} ({_listed(names)})", len(names))

    def _mappings(self) -> Iterable[Cause]:
        for (family, old, new), places in self.engines.items():
            models = {model for model, _, _ in places}
            cpus, precisions = ({p[i] for p in places} for i in (1, 2))
            yield Cause(
                MAPPING,
                f"{family} moved from {old} to {new} on {_listed(sorted(cpus))} in "
                f"{_listed(sorted(precisions))} ({_listed(sorted(models))})",
                len(places),
            )
        if self.formula:
            families = sorted({move.part for move in self.formula})
            yield Cause(
                MAPPING,
                f"the formula changed, or a rule that is no figure: same trace, figures and "
                f"engines, other times of {_listed(families)} in "
                f"{_count(len(self.formula), 'estimate')}",
                len(self.formula),
            )
        if self.unexplained:
            logs = [math.log(ratio) for _, ratio in self.unexplained if ratio > 0]
            span = f"{_percent(min(logs))} to {_percent(max(logs))}" if logs else "not a number"
            yield Cause(
                MAPPING,
                f"the formula changed as well: with the old figures put back, "
                f"{_count(len(self.unexplained), 'estimate')} would still be off by {span}",
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


def _work(old: Document, new: Document) -> list[str]:
    """What a model asks for more or less, by operator family: "attention FLOPs -50 %"."""
    found = []
    for family in sorted({*old["families"], *new["families"]}):
        was, now = old["families"].get(family), new["families"].get(family)
        if was is None or now is None:
            found.append(f"{family}: {'new' if was is None else 'gone'}")
            continue
        for count, words in _COUNTS.items():
            if was[count] != now[count]:
                change = f"{(now[count] / was[count] - 1) * 100:+.3g} %" if was[count] else "new"
                found.append(f"{family} {words} {change}")
        if was["kernels"] != now["kernels"]:
            found.append(f"{family} kernels {was['kernels']} -> {now['kernels']}")
    return found


def _shapes(old: Document, new: Document) -> list[str]:
    """Which modules ask for other products, those with most arithmetic first; then operators."""
    found: list[tuple[float, str]] = []
    for name in {*old["modules"], *new["modules"]}:
        was, now = old["modules"].get(name), new["modules"].get(name)
        if was == now:
            continue
        size = max(_flops(was), _flops(now))
        if was is None or now is None:
            shapes = _shown(was or now or {})
            found.append((size, f"{name} {'new' if was is None else 'gone'}: {shapes}"))
        else:
            found.append((size, f"{name} {_reshaped(was, now)}"))
    texts = [text for _, text in sorted(found, key=lambda item: (-item[0], item[1]))]
    for operator in sorted({*old["operators"], *new["operators"]}):
        before, after = old["operators"].get(operator, 0), new["operators"].get(operator, 0)
        if before != after:
            texts.append(f"{operator} {before} -> {after} kernels")
    for argument in sorted({*old["inputs"], *new["inputs"]}):
        first, second = (o["inputs"].get(argument, "none") for o in (old, new))
        if first != second:
            texts.append(f"input {argument} {first} -> {second}")
    return texts


def _flops(module: Mapping[str, Any] | None) -> float:
    return 0.0 if module is None else float(sum(math.prod(shape) for shape in module["shapes"]))


def _reshaped(old: Document, new: Document) -> str:
    """One shape against one: only what differs; else all of both."""
    if len(old["shapes"]) == len(new["shapes"]) == 1 and old["family"] == new["family"]:
        words = ("kernels", *_LOOPS.get(new["family"], ("batch", "m", "n", "k")))
        pairs = zip(words, old["shapes"][0], new["shapes"][0], strict=True)
        return ", ".join(f"{word} {was} -> {now}" for word, was, now in pairs if was != now)
    return f"{_shown(old)} -> {_shown(new)}"


def _shown(module: Document) -> str:
    words = _LOOPS.get(module["family"], ("batch", "m", "n", "k"))
    shapes = []
    for kernels, *loops in module["shapes"]:
        times = f"{kernels} x " if kernels > 1 else ""
        said = [f"{word} {loop}" for word, loop in zip(words, loops, strict=True)]
        said = said[1:] if loops[0] == 1 else said
        shapes.append(f"{times}{module['family']} of {', '.join(said)}")
    return " and ".join(shapes)


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
                yield f"{name} {setting}: {_listed(flipped)}"


def _changed(old: object, new: object) -> str:
    """A figure's old and new value with its unit, and the change in percent."""
    text = f"{_value(old)} -> {_value(new)}"
    numbers = [v[0] if isinstance(v, list) else v for v in (old, new)]
    a, b = numbers
    if isinstance(a, int | float) and isinstance(b, int | float) and a:
        text += f" ({(b / a - 1) * 100:+.3g} %)"
    return text


def _value(value: object) -> str:
    if value is None:
        return "(none)"
    if isinstance(value, list):
        return quantity.render(*value)
    return f"{value:.6g}" if isinstance(value, int | float) else str(value) or "(none)"


def _percent(log: float) -> str:
    return f"{(math.exp(log) - 1) * 100:+.2g} %"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _NAMED:
        return ", ".join(names)
    return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more"
