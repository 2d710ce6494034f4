"""docs/gallery.md: what charts show, as pictures, and the rows each was drawn from."""

from __future__ import annotations

import functools
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from docs.generators import serving
from perfmodel import charts
from perfmodel._text import significant
from perfmodel.comparison import DEFAULT_CPUS
from perfmodel.exploration import explore
from perfmodel.guard.tolerance import close
from perfmodel.mapping.drawn import module_rows, ranking_rows, serving_rows
from perfmodel.running import estimate

FOLDER: Final = Path(__file__).resolve().parents[1] / "gallery"
MODELS: Final = ("resnet50", "vit_l_16")
#: The model that is looked into, and on which CPU.
MODEL: Final = "vit_l_16"
CPU: Final = "xeon_8490h"
#: What a latency costs: a space of a few points.
SPACE: Final[Mapping[str, Any]] = {
    "models": ["resnet50"],
    "cpus": list(DEFAULT_CPUS),
    "precisions": ["fp32"],
    "batches": [1, 2, 4, 8, 16, 32],
    "derived": {"usd_per_fps": "price.launch / throughput_fps"},
    "minimise": ["latency_ms", "usd_per_fps"],
}
TEXT: Final = Path(__file__).with_name("gallery.md")


@dataclass(frozen=True)
class Picture:
    """A chart, and what it shows in a sentence."""

    chart: Any
    about: str

    @property
    def rows(self) -> list[list[dict[str, Any]]]:
        """The rows of its specification, data set by data set."""
        spec = self.chart.to_dict()
        named = spec.get("datasets", {})
        return [*named.values(), *_inline(spec)]


def _inline(node: Any) -> Iterator[list[dict[str, Any]]]:
    if isinstance(node, Mapping):
        values = (
            node.get("data", {}).get("values") if isinstance(node.get("data"), Mapping) else None
        )
        if values is not None:
            yield values
        for name, child in node.items():
            if name not in ("data", "datasets"):
                yield from _inline(child)
    elif isinstance(node, list):
        for child in node:
            yield from _inline(child)


@functools.cache
def pictures() -> dict[str, Picture]:
    """Every picture by the name of its files."""
    return {
        "ranking": _ranking(),
        "roofline": _roofline(),
        "modules": _modules(),
        "serving": _serving(),
        "front": _front(),
    }


def _ranking() -> Picture:
    rows = ranking_rows([estimate(model, cpu) for model in MODELS for cpu in DEFAULT_CPUS])
    first = {row["model"]: row for row in reversed(rows)}
    said = "; ".join(
        f"{model}: {row['cpu']} is first with {significant(row['latency_ms'])} ms"
        for model, row in sorted(first.items())
    )
    return Picture(charts.ranking(rows), f"Latency by CPU with its interval. {said}.")


def _roofline() -> Picture:
    result = estimate(MODEL, CPU)
    return Picture(
        result.roofline(),
        f"Kernels of {MODEL} below the ceilings of {CPU}: {significant(result.latency_ms)} ms, "
        f"most of it bound by {result.bottleneck}.",
    )


def _modules() -> Picture:
    rows = module_rows([estimate(MODEL, cpu) for cpu in DEFAULT_CPUS])
    most = max(rows, key=lambda row: float(row["share"]))
    return Picture(
        charts.modules(rows),
        f"Time by module of {MODEL}. Most: {most['module']} on {most['cpu']}, "
        f"{significant(most['share'])} % of its time.",
    )


def _serving() -> Picture:
    rows = serving_rows([served for search in serving.found() for served in search.frontier])
    best = max(rows, key=lambda row: float(row["throughput_fps"]))
    return Picture(
        charts.serving(rows),
        f"Throughput of {serving.MODEL} against latency. {best['cpu']} serves most, "
        f"{significant(best['throughput_fps'])} samples/s.",
    )


def _front() -> Picture:
    with tempfile.TemporaryDirectory() as folder:
        results = explore(SPACE, folder)
        rows = [dict(row) for row in results.front()]
        points = results.rows
    x, y = SPACE["minimise"]
    return Picture(
        charts.front(rows, x, y, DEFAULT_CPUS),
        f"What a latency costs: {len(rows)} of {points} points that no other beats, from "
        f"{rows[0]['cpu']} at batch {rows[0]['batch']} to {rows[-1]['cpu']} at "
        f"{rows[-1]['batch']}.",
    )


def render() -> str:
    """The whole document."""
    return TEXT.read_text(encoding="utf-8").format(
        **{
            name: f"![{picture.about}](gallery/{name}.svg)\n\n{picture.about}\n"
            for name, picture in pictures().items()
        }
    )


def stale(name: str) -> list[str]:
    """What a stored picture was not drawn from: a line for each difference; none where current."""
    file = FOLDER / f"{name}.json"
    if not (file.exists() and file.with_suffix(".svg").exists()):
        return ["it was never drawn"]
    stored = json.loads(file.read_text(encoding="utf-8"))
    return list(_differences(stored, pictures()[name].rows, name))


def write() -> Iterator[str]:
    """Draw every picture, keep rows that have not moved, and yield the files that are new."""
    FOLDER.mkdir(exist_ok=True)
    for name, picture in pictures().items():
        file = FOLDER / f"{name}.svg"
        before = file.read_bytes() if file.exists() else b""
        moved = stale(name)
        charts.save(picture.chart, file)
        if moved:
            text = json.dumps(picture.rows, indent=1, allow_nan=False)
            file.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
        if moved or file.read_bytes() != before:
            yield f"docs/gallery/{name}.svg"


def _differences(old: Any, new: Any, at: str) -> Iterator[str]:
    if isinstance(old, Mapping) and isinstance(new, Mapping) and old.keys() == new.keys():
        for key in old:
            yield from _differences(old[key], new[key], f"{at}.{key}")
    elif isinstance(old, Sequence) and isinstance(new, Sequence) and not isinstance(old, str):
        if len(old) != len(new):
            yield f"{at}: {len(old)} rows are now {len(new)}"
        for number, (before, after) in enumerate(zip(old, new, strict=False)):
            yield from _differences(before, after, f"{at}[{number}]")
    elif isinstance(old, float) and isinstance(new, float):
        if not close(old, new):
            yield f"{at}: {old:g} is now {new:g}"
    elif old != new:
        yield f"{at}: {old!r} is now {new!r}"
