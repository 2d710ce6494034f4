"""Results in the formats that other services of benchmarking read.

=================== ==============================================================================
github-action       ``customSmallerIsBetter`` of benchmark-action/github-action-benchmark
bencher             Bencher Metric Format of bencher.dev, ``--adapter json``: nanoseconds
pytest-benchmark    the JSON of pytest-benchmark, for its ``compare`` and histograms: seconds
=================== ==============================================================================

::

    python -m perfmodel.guard.exporters bencher perfmodel-results.json > bencher.json
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.guard import results as saved


def github_action(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return an array of ``{name, unit, value}``, with ``range`` and ``extra`` where there are."""
    found = []
    for result in _estimates(results):
        latency = result["latency_ms"]
        record = {"name": _name(result), "unit": "ms", "value": latency["value"]}
        if latency["low"] is not None and latency["high"] is not None:
            record["range"] = f"{latency['low']:.6g} to {latency['high']:.6g}"
        record["extra"] = f"bottleneck: {result['bottleneck']}"
        found.append(record)
    return found


def bencher(results: Mapping[str, Any]) -> dict[str, dict[str, dict[str, float]]]:
    """Return ``{NAME: {"latency": {"value", "lower_value", "upper_value"}}}`` in nanoseconds."""
    found = {}
    for result in _estimates(results):
        latency = result["latency_ms"]
        metric = {"value": latency["value"] * 1e6}
        for ours, theirs in (("low", "lower_value"), ("high", "upper_value")):
            if latency[ours] is not None:
                metric[theirs] = latency[ours] * 1e6
        found[_name(result)] = {"latency": metric}
    return found


def pytest_benchmark(results: Mapping[str, Any]) -> dict[str, Any]:
    """Return what ``pytest-benchmark compare`` reads, in seconds; an estimate has no spread."""
    benchmarks = []
    for result in _estimates(results):
        seconds = result["latency_ms"]["value"] / 1e3
        stats = {
            **dict.fromkeys(("min", "max", "mean", "median", "q1", "q3", "ld15iqr", "hd15iqr"),
                            seconds),
            **dict.fromkeys(("stddev", "iqr"), 0.0),
            "iqr_outliers": 0, "stddev_outliers": 0, "outliers": "0;0", "rounds": 1,
            "iterations": 1, "total": seconds, "ops": 1 / seconds, "data": [seconds],
        }  # fmt: skip
        benchmarks.append(
            {
                "group": result["model"], "name": _name(result),
                "fullname": f"perfmodel::{_name(result)}", "params": None, "param": None,
                "extra_info": {"bottleneck": result["bottleneck"], "estimated": True},
                "options": {"timer": "perfmodel"}, "stats": stats,
            }
        )  # fmt: skip
    return {
        "machine_info": {"node": "estimated", "cpu": {"brand_raw": "estimated by perfmodel"}},
        "commit_info": {"id": "unversioned", "time": None, "dirty": False, "project": "perfmodel"},
        "benchmarks": benchmarks,
        "datetime": "1970-01-01T00:00:00+00:00",
        "version": f"perfmodel {results['provenance']['perfmodel']}",
    }


EXPORTERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Any]]] = {
    "github-action": github_action,
    "bencher": bencher,
    "pytest-benchmark": pytest_benchmark,
}


def _estimates(results: Mapping[str, Any]) -> list[Any]:
    found: list[Any] = results["results"]
    if not found:
        raise PerfmodelError("the results hold no estimate: there is nothing to export")
    return found


def _name(result: Mapping[str, Any]) -> str:
    return f"{result['model']} {result['key']}"


def main(*arguments: str) -> int:
    """Write the results of a file in a format to stdout; 2 and a line on stderr for bad input."""
    try:
        if len(arguments) != 2:
            raise PerfmodelError(f"expected FORMAT RESULTS.json; formats: {', '.join(EXPORTERS)}")
        name, path = arguments
        if name not in EXPORTERS:
            raise UnknownName("format", name, EXPORTERS)
        print(json.dumps(EXPORTERS[name](saved.load(Path(path))), indent=1, allow_nan=False))
    except PerfmodelError as error:
        print(f"perfmodel: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
