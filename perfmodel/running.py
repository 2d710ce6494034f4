"""What one asks first: a model, on a CPU, in a scenario. All take the same arguments in that order.

A model is whatever :func:`perfmodel.resolve.resolve_model` takes: a name, the path of a saved
workload or program, a factory, or a :class:`~perfmodel.workload.workload.Workload`. A CPU is an id
of the catalogue, the path of a machine file, or a :class:`~perfmodel.machine.Machine`. Names are
traced, once, and kept in the cache.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Unpack, overload

from perfmodel.comparison.chosen import Cpu, cpus_in
from perfmodel.mapping.result import Result, Results
from perfmodel.resolve import Model, models_in, resolve_model
from perfmodel.scenario import Options, Scenario, ScenarioLike, scenario_of

if TYPE_CHECKING:
    import os

    from perfmodel.cost.inputs import Inputs
    from perfmodel.cost.plan import Plans
    from perfmodel.cost.power import PackagePower
    from perfmodel.mapping import Mapper
    from perfmodel.mapping.roofline import FloatArray
    from perfmodel.ranking import Ranking
    from perfmodel.serving import Search
    from perfmodel.serving.fleet import Fleets
    from perfmodel.serving.goal import Goal
    from perfmodel.workload.workload import Workload


@overload
def estimate(  # type: ignore[overload-overlap]
    model: Model, cpu: Cpu | Mapper, scenario: ScenarioLike = None, **options: Unpack[Options]
) -> Result: ...
@overload
def estimate(
    model: Iterable[Model],
    cpu: Cpu | Mapper,
    scenario: ScenarioLike = None,
    **options: Unpack[Options],
) -> Results: ...
def estimate(
    model: Model | Iterable[Model],
    cpu: Cpu | Mapper,
    scenario: ScenarioLike = None,
    **options: Unpack[Options],
) -> Result | Results:
    """Return the latency of a model on a CPU, with its bottleneck and per-kernel table.

    Args:
        model: one, or several: then the results are a list.
        cpu: one CPU; or a mapper, to map in a way of one's own or with figures of one's own.
        scenario: a :class:`~perfmodel.scenario.Scenario`, or a precision alone; ``options`` are
            its fields. With a number of instances, or of cores of each, the result is the
            socket's.

    Raises:
        UnknownName: a model, CPU, precision, state or software that does not exist.
        MachineError, WorkloadFormatError: a file that is wrong.
        TraceError, UnmodelledOperator: a model that cannot be traced.
        PerfmodelError: a batch, phase or length that the model does not have, or instances that
            the socket has no cores for.
    """
    run = scenario_of(scenario, options)
    results = Results(_estimate(each, cpu, run) for each in models_in(model))
    return results[0] if _is_one(model) else results


@overload
def rank(  # type: ignore[overload-overlap]
    model: Model,
    cpus: Iterable[Cpu],
    scenario: ScenarioLike = None,
    *,
    samples: int | None = None,
    seed: int | None = None,
    **options: Unpack[Options],
) -> Ranking: ...
@overload
def rank(
    model: Iterable[Model],
    cpus: Iterable[Cpu],
    scenario: ScenarioLike = None,
    *,
    samples: int | None = None,
    seed: int | None = None,
    **options: Unpack[Options],
) -> list[Ranking]: ...
def rank(
    model: Model | Iterable[Model],
    cpus: Iterable[Cpu],
    scenario: ScenarioLike = None,
    *,
    samples: int | None = None,
    seed: int | None = None,
    **options: Unpack[Options],
) -> Ranking | list[Ranking]:
    """Order CPUs by latency on a model, with the probability of each rank.

    Args:
        model: one, or several: then the rankings are a list.
        cpus: two or more.
        scenario, options: as for :func:`estimate`, on one instance.
        samples, seed: of the uncertain figures; by default as
            :func:`perfmodel.ranking.rank` has them.

    Raises:
        PerfmodelError: fewer than two CPUs, the same twice, or too few samples; else as
            :func:`estimate`.
    """
    from perfmodel.ranking import ranking

    run = scenario_of(scenario, options)
    rankings = [
        ranking.rank(
            _workload(each, run),
            list(cpus_in(cpus)),
            run,
            samples=ranking.SAMPLES if samples is None else samples,
            seed=ranking.SEED if seed is None else seed,
        )
        for each in models_in(model)
    ]
    return rankings[0] if _is_one(model) else rankings


def serve(
    model: Model,
    cpu: Cpu,
    scenario: ScenarioLike = None,
    *,
    max_latency_s: float | None = None,
    batches: Sequence[int] | None = None,
    **options: Unpack[Options],
) -> Search:
    """Find the instances, cores and batch that serve most samples within a latency.

    Args:
        scenario, options: as for :func:`estimate`; a number of instances, or of cores of each,
            leaves those partitions alone.
        max_latency_s: longest time that a batch may be computed, in seconds; None for no limit.
        batches: samples per run to try; by default the scenario's batch, or powers of two.

    Raises:
        PerfmodelError: a limit that is not plausible, or no partition has room for the weights;
            else as :func:`estimate`.
    """
    from perfmodel.comparison.searching import search_each

    run = scenario_of(scenario, options)
    source = resolve_model(model, run)
    (found,) = search_each(source, [cpu], run, max_latency_s=max_latency_s, batches=batches).found
    return found


def fleet(
    model: Model,
    cpus: Cpu | Iterable[Cpu],
    scenario: ScenarioLike = None,
    *,
    goal: Goal,
    output: int | None = None,
    chunk: int | None = None,
    batches: Sequence[int] | None = None,
    tell: Callable[[str], None] | None = None,
    **options: Unpack[Options],
) -> Fleets:
    """Find the fewest sockets of each CPU that serve requests at random within limits of latency.

    A request is a sample, computed together with others that wait; or with ``output``, a prompt
    from which so many tokens are generated, under continuous batching with chunked prefill.

    Args:
        scenario, options: as for :func:`serve`; ``tokens`` is the length of a prompt, and neither
            phase nor context belongs to a service.
        goal: the rate and the limits, waiting included.
        output: tokens that each request generates.
        chunk: tokens of a prompt that one step processes; by default
            :data:`perfmodel.serving.fleet.CHUNK`.
        batches: the most samples, or sequences, at once, to try; by default powers of two.
        tell: told what cannot be traced once for all batches.

    Raises:
        PerfmodelError: no CPU meets the limits at any rate (with the best that each reaches), or
            numbers that do not fit the model; else as :func:`estimate`.
    """
    from perfmodel.comparison.searching import at_batch, batches_to_try
    from perfmodel.serving import fleet as fleets
    from perfmodel.serving import goal as goals
    from perfmodel.serving.searching import BATCHES

    run = scenario_of(scenario, options)
    named = list(cpus_in(cpus))
    if output is None:
        source = resolve_model(model, run)
        goals.check_requests(goal, chunk, source.name)
        wanted = batches_to_try(source, batches or run.batch)
        workload = at_batch(source, wanted, tell)
        goals.check_workload(workload(wanted[0]))
        return fleets.fleets(
            named,
            lambda cpu: fleets.requests_fleet(workload, cpu, goal, run, batches=wanted),
        )
    goals.check_text(goal, run, output)
    wanted = sorted(batches or ([run.batch] if run.batch else BATCHES))

    @functools.cache
    def of(phase: str, length: int) -> Callable[[int], Workload]:
        fresh = replace(run, batch=None, tokens=None)
        if phase == "prefill":
            source = resolve_model(model, replace(fresh, phase="prefill", tokens=length))
            return at_batch(source, [1], tell)
        source = resolve_model(model, replace(fresh, phase="decode", context=length))
        return at_batch(source, wanted, tell)

    prompt = run.tokens or resolve_model(model, replace(run, phase="prefill")).workload(1).tokens
    return fleets.fleets(
        named,
        lambda cpu: fleets.text_fleet(
            lambda tokens: of("prefill", tokens)(1),
            lambda batch, context: of("decode", context)(batch),
            cpu,
            goal,
            run,
            prompt=prompt,
            output=output,
            chunk=min(chunk or fleets.CHUNK, prompt),
            batches=wanted,
        ),
    )


def tco(
    model: Model,
    cpus: Cpu | Iterable[Cpu],
    scenario: ScenarioLike = None,
    *,
    rate: float,
    years: float = 3.0,
    max_latency_s: float | None = None,
    batches: Sequence[int] | None = None,
    inputs: Inputs | str | os.PathLike[str] | None = None,
    prices: Mapping[str, float] | None = None,
    fixed: Mapping[str, float] | None = None,
    region: str | None = None,
    hours_per_month: float | None = None,
    samples: int | None = None,
    **options: Unpack[Options],
) -> Plans:
    """Return what serving ``rate`` samples per second costs, by CPU, cheapest first.

    Args:
        scenario, options, max_latency_s, batches: as for :func:`serve`.
        years: until everything is paid off.
        inputs: prices and rates, or a TOML file of them over the defaults (docs/cost.md).
        prices: of one CPU in USD by id, or of an instance in USD per hour, in place of those that
            are listed.
        fixed: inputs by dotted path in SI units that are exact.
        region: where instances are rented; by default the first that has a price.
        hours_per_month: in which the rate is served; by default all 730.
        samples: of every figure with a range.

    Raises:
        PerfmodelError: no CPU meets the limit, or none has a price; else as :func:`serve`.
    """
    from pathlib import Path

    from perfmodel.comparison.searching import search_each
    from perfmodel.cost import plan
    from perfmodel.cost.inputs import Inputs, load_inputs
    from perfmodel.cost.tco import HOURS_PER_MONTH, Demand

    hours = HOURS_PER_MONTH if hours_per_month is None else hours_per_month
    demand = Demand(rate, years, hours)
    run = scenario_of(scenario, options)
    stated = (
        inputs
        if isinstance(inputs, Inputs)
        else load_inputs(None if inputs is None else Path(inputs))
    )
    searched = search_each(
        resolve_model(model, run),
        cpus_in(cpus),
        run,
        max_latency_s=max_latency_s,
        batches=batches,
    )
    return plan.plans(
        searched.workload,
        searched.machines,
        searched.found,
        demand,
        stated,
        given_prices=prices,
        fixed=fixed,
        region=region,
        samples=plan.SAMPLES if samples is None else samples,
    )


def power(
    model: Model, cpu: Cpu, scenario: ScenarioLike = None, **options: Unpack[Options]
) -> PackagePower:
    """Return the power of a socket while it runs a model, and the energy of a sample.

    Args:
        scenario, options: as for :func:`estimate`.

    Raises as :func:`estimate`.
    """
    from perfmodel.cost.power import package_power

    return package_power(_estimate(model, cpu, scenario_of(scenario, options)))


def variants(
    model: Model,
    cpu: Cpu,
    scenario: ScenarioLike = None,
    *,
    values: Mapping[str, FloatArray],
    every_core_count: bool = True,
    **options: Unpack[Options],
) -> FloatArray:
    """Return latencies in milliseconds, shape (variants,), of one model on variants of one CPU.

    Args:
        scenario, options: as for :func:`estimate`, on one instance.
        values: figures by dotted path, in SI units, each of shape (variants,); see
            :func:`perfmodel.mapping.variants.latency_variants`.
        every_core_count: try every count of active cores for every variant.

    Raises:
        UnknownName: a figure that does not exist; else as :func:`estimate`.
    """
    from perfmodel.mapping.variants import latency_variants

    run = scenario_of(scenario, options)
    return latency_variants(
        _workload(model, run), cpu, values, run, every_core_count=every_core_count
    )


def _is_one(model: Model | Iterable[Model]) -> bool:
    return models_in(model) == (model,)


def _workload(model: Model, run: Scenario) -> Workload:
    return resolve_model(model, run).workload(run.batch)


def _estimate(model: Model, cpu: Cpu | Mapper, run: Scenario) -> Result:
    from perfmodel.comparison.division import best_division
    from perfmodel.errors import PerfmodelError
    from perfmodel.machine import load_machine
    from perfmodel.mapping import Mapper
    from perfmodel.mapping.estimation import estimate

    if isinstance(cpu, Mapper):
        if run.divided:
            raise PerfmodelError("a mapper maps one instance: give a CPU to divide its socket")
        return estimate(_workload(model, run), cpu, run)
    machine = load_machine(cpu)  # Before the model is traced.
    workload = _workload(model, run)
    return (best_division if run.divided else estimate)(workload, machine, run)
