"""What a report holds: how models rank, why, and what serving them costs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Unpack

from perfmodel import charts
from perfmodel._text import significant
from perfmodel._version import __version__
from perfmodel.comparison.chosen import Cpu, cpus_in
from perfmodel.comparison.searching import Searched, search_each
from perfmodel.errors import PerfmodelError
from perfmodel.exploration import open_results
from perfmodel.mapping.drawn import module_rows, ranking_rows, roofline_rows, serving_rows
from perfmodel.mapping.result import Result
from perfmodel.reporting.page import Section, page
from perfmodel.resolve import Model, models_in, resolve_model
from perfmodel.running import estimate
from perfmodel.scenario import Options, Scenario, ScenarioLike, scenario_of

#: Rows of a front that a chart shows.
_FRONT: Final = 2_000


def report(
    models: Model | Iterable[Model],
    cpus: Cpu | Iterable[Cpu],
    scenario: ScenarioLike = None,
    *,
    explored: str | os.PathLike[str] | None = None,
    rate: float | None = None,
    title: str | None = None,
    tell: Callable[[str], None] | None = None,
    **options: Unpack[Options],
) -> str:
    """Return a page of charts, each with its data as a table beside it.

    Args:
        models, cpus, scenario, options: as for :func:`perfmodel.compare`.
        explored: a folder of :func:`perfmodel.explore`, whose Pareto front is drawn too.
        rate: samples per second whose cost is drawn too.
        tell: told what is under way.

    Raises:
        PerfmodelError: as :func:`perfmodel.estimate`, and a folder that holds no results.
        NotInstalled: without ``perfmodel[report]``.
    """
    charts.altair()
    run, named = scenario_of(scenario, options), list(cpus_in(cpus))
    by_model: dict[str, list[Result]] = {}
    for model in models_in(models):
        for cpu in named:
            result = estimate(model, cpu, run)
            by_model.setdefault(result.model, []).append(result)
            if tell is not None:
                tell(result.model)
    if not by_model and explored is None:
        raise PerfmodelError("nothing to report: name models, or a folder of results")
    results = [result for of_model in by_model.values() for result in of_model]
    order = list(dict.fromkeys(result.cpu for result in results))
    sections = [] if not results else [_ranking(results, order)]
    sections += [_roofline(result) for result in results if result.kernel_table.flops_by_engine()]
    sections += [_modules(of_model, order) for of_model in by_model.values()]
    if not run.divided:
        for model in models_in(models):
            searched = search_each(resolve_model(model, run), named, run)
            sections += _serving(searched, order)
            if rate is not None:
                sections.append(_cost(searched, rate, order))
    if explored is not None:
        sections.append(_front(explored, order))
    what = ", ".join(by_model) or str(explored)
    return page(title or f"perfmodel: {what}", list(_facts(run, results)), sections)


def _facts(run: Scenario, results: Sequence[Result]) -> Iterator[str]:
    yield (
        f"{run.policy.name.upper()}, batch {run.batch or 1}, {run.state} state, "
        f"{run.loaded.id} software; perfmodel {__version__}. Estimates of an analytical model: "
        "nothing was run. A multiply-accumulate is 2 FLOPs."
    )
    yield from dict.fromkeys(note for result in results for note in result.notes)


def _ranking(results: Sequence[Result], order: Sequence[str]) -> Section:
    rows = ranking_rows(results)
    firsts: dict[str, Mapping[str, Any]] = {}
    for row in rows:
        firsts.setdefault(row["model"], row)
    about = "; ".join(
        f"{model}: {row['cpu']} is first with {significant(row['latency_ms'])} ms"
        for model, row in firsts.items()
    )
    return Section("Ranking", f"Latency by CPU. {about}.", charts.ranking(rows, order), rows, {})


def _roofline(result: Result) -> Section:
    kernels, ceilings = roofline_rows(result)
    first = kernels[0]
    about = (
        f"Kernels below the ceilings of {result.cpu}. {first['kernel']} takes most, "
        f"{significant(first['share'])} % of the time, bound by {first['bound']}."
    )
    of = {"model": result.model, "cpu": result.cpu}
    title = f"Roofline: {result.model} on {result.cpu}"
    return Section(title, about, charts.roofline(kernels, ceilings), [*kernels], of)


def _modules(results: Sequence[Result], order: Sequence[str]) -> Section:
    rows = module_rows(results)
    first = max(rows, key=lambda row: row["share"])
    about = (
        f"Where the time goes. Most: {first['module']} on {first['cpu']}, "
        f"{significant(first['share'])} % of its time."
    )
    model = results[0].model
    return Section(f"Modules: {model}", about, charts.modules(rows, order), rows, {"model": model})


def _serving(searched: Searched, order: Sequence[str]) -> Iterator[Section]:
    found = [served for each in searched.found for served in each.frontier]
    rows = serving_rows(found)
    if rows:
        name = found[0].model
        best = max(rows, key=lambda row: row["throughput_fps"])
        about = (
            f"What latency buys on a socket divided into instances. {best['cpu']} serves most, "
            f"{significant(best['throughput_fps'])} samples/s."
        )
        yield Section(f"Serving: {name}", about, charts.serving(rows, order), rows, {"model": name})


def _cost(searched: Searched, rate: float, order: Sequence[str]) -> Section:
    from perfmodel.cost.inputs import load_inputs
    from perfmodel.cost.plan import plans
    from perfmodel.cost.tco import Demand

    found = plans(searched.workload, searched.machines, searched.found, Demand(rate), load_inputs())
    rows = [
        {
            "cpu": plan.cpu,
            "usd_per_million": float(plan.cost.per_million),
            "low_usd": plan.per_million_low,
            "high_usd": plan.per_million_high,
            "sockets": int(plan.cost.sockets),
        }
        for plan in found.plans
    ]
    least = found.plans[0]
    about = (
        f"Cost of serving {rate:,g} samples/s, bought. {least.cpu} costs least, "
        f"{significant(float(least.cost.per_million))} USD per million."
    )
    return Section(
        f"Cost: {found.model}", about, charts.cost(rows, order), rows, {"model": found.model}
    )


def _front(explored: str | os.PathLike[str], order: Sequence[str]) -> Section:
    found = open_results(explored)
    objectives = [*found.minimise, *found.maximise]
    rows = [dict(row) for row in found.front()[:_FRONT]]
    if not rows:
        raise PerfmodelError(f"{explored}: no row is within the constraints")
    x, y = objectives[0], objectives[1] if len(objectives) > 1 else "throughput_fps"
    about = f"Pareto front of {', '.join(objectives)}: {len(rows)} of {found.rows:,} points."
    return Section("Pareto front", about, charts.front(rows, x, y, order), rows, {})
