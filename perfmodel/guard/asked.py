"""What a model asks for, then and now, in words: work by operator family, shapes by module."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from perfmodel.guard.documents import Document

#: What the loops of a product count, by operator family; the others' are called m, n and k.
_LOOPS: Final = {
    "linear": ("groups", "rows", "outputs", "inputs"),
    "conv": ("groups", "pixels", "channels", "reduction"),
    "pointwise_conv": ("groups", "pixels", "channels", "inputs"),
    "depthwise_conv": ("channels", "pixels", "outputs", "reduction"),
}
_COUNTS: Final = {"flops": "FLOPs", "vector_ops": "vector operations", "bytes": "bytes"}


def work_changes(old: Document, new: Document) -> list[str]:
    """Return what a model asks for more or less, by operator family: "attention FLOPs -50 %"."""
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


def shape_changes(old: Document, new: Document) -> list[str]:
    """Return which modules ask for other products, most arithmetic first; then operators."""
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
