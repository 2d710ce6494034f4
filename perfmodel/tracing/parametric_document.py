"""The document of a parametric workload, written from its traced cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import sympy

from perfmodel.errors import TraceError
from perfmodel.tracing.size_plan import SizePlan
from perfmodel.tracing.sympy_text import InexpressibleSize, text_of
from perfmodel.tracing.traced_cases import TracedCase, largest
from perfmodel.workload.parametric import storage as parametric_storage


def document_of(
    plan: SizePlan, cases: Sequence[TracedCase], maximum: Mapping[str, int]
) -> dict[str, Any]:
    """What :func:`perfmodel.workload.parametric.storage.from_dict` reads.

    ``maximum`` bounds dimensions further than the cases do. Raises
    :class:`~perfmodel.errors.TraceError` for a size that cannot be written down.
    """
    return {
        "format": parametric_storage.FORMAT,
        "version": parametric_storage.VERSION,
        "name": plan.model,
        "dimensions": [
            {
                "name": name,
                "default": default,
                "minimum": min(case.bounds[name][0] for case in cases),
                "maximum": min(
                    (
                        bound
                        for bound in (
                            largest([case.bounds[name][1] for case in cases]),
                            maximum.get(name),
                        )
                        if bound is not None
                    ),
                    default=None,
                ),
            }
            for name, default in plan.defaults.items()
        ],
        "cases": [
            {
                "where": [" and ".join(sorted(region)) for region in _joined(case.regions)],
                "workload": _texts(plan.model, case.document, {}),
            }
            for case in cases
        ],
    }


def written(model: str, expression: sympy.Basic) -> str:
    """A size or a condition as text.

    Raises :class:`~perfmodel.errors.TraceError`, naming ``model``, for what cannot be written down.
    """
    try:
        return text_of(expression)
    except InexpressibleSize as error:
        raise TraceError(f"{model}: {error}; trace it at each size") from None


def _joined(regions: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """Regions that meet at the border between a size of 1 and more, as one."""
    found = list(regions)
    for one, other in combinations(found, 2):
        only, beyond = sorted(one - other), sorted(other - one)
        for first, second in ((only, beyond), (beyond, only)):
            if len(first) == len(second) == 1 and first[0].endswith(" == 1"):
                name = first[0].removesuffix(" == 1")
                if second[0] == f"{name} >= 2":
                    rest = [region for region in found if region not in (one, other)]
                    return _joined([*rest, (one & other) | {f"{name} >= 1"}])
    return found


def _texts(model: str, value: Any, seen: dict[Any, str]) -> Any:
    if isinstance(value, dict):
        return {key: _texts(model, item, seen) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_texts(model, item, seen) for item in value]
    if isinstance(value, sympy.Expr):
        if value not in seen:
            seen[value] = written(model, value)
        return seen[value]
    return value
