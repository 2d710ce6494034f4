"""The cheapest CPU for a demand, and how sure that is."""

from __future__ import annotations

import functools
import json
from dataclasses import replace
from unittest import mock

import numpy as np
import pytest

from perfmodel.cost import plan as plan_module
from perfmodel.cost.inputs import load_inputs
from perfmodel.cost.plan import CHOICES, NEAR, Plans, choices, plans
from perfmodel.cost.prices import prices
from perfmodel.cost.tco import Demand
from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.machine import Machine, load_machine
from perfmodel.serving import search
from perfmodel.workload.workload import Workload
from tests.builder import Builder

#: A seed with which two samples are both slower than typical figures.
MISSING = 1
INTEL, AMD, AMPERE = "xeon_8490h", "epyc_9654", "ampereone_192"


@functools.cache
def layers(batch: int = 1) -> Workload:
    b = Builder("layers", batch=batch)
    x = b.input(batch * 64 * 1024)
    for _ in range(4):
        x = b.linear(x, batch * 64, 1024, 1024)
    return b.workload()


def planned(
    cpus: list[str | Machine],
    limit_s: float | None = 1e-3,
    rate: float = 1e6,
    samples: int = 64,
    **options: object,
) -> Plans:
    machines = [load_machine(cpu) for cpu in cpus]
    found = [search(layers, machine, max_latency_s=limit_s, batches=(1, 4)) for machine in machines]
    demand = Demand(rate, 3)
    return plans(layers, machines, found, demand, load_inputs(), samples=samples, **options)


def test_cpus_come_cheapest_first_and_one_is_cheapest_in_each_sample() -> None:
    found = planned([INTEL, AMD, AMPERE])
    totals = [plan.cost.total for plan in found.plans]
    assert totals == sorted(totals)
    assert sum(plan.cheapest for plan in found.plans) == pytest.approx(1)
    for plan in found.plans:
        assert plan.meets == 1
        low, high = plan.per_million_low, plan.per_million_high
        assert low < high
        # Typical figures are within their ranges, so this is within reach of the interval.
        assert low / 2 < plan.cost.per_million < high * 2
        assert plan.served is not None
        served = 1e6 * 3 * 8760 * 3600
        assert plan.cost.per_million == pytest.approx(plan.cost.total / served * 1e6)
    # The same seed, the same answer.
    assert planned([INTEL, AMD, AMPERE]) == found
    assert (found.unit, found.rate, found.to_dict()["tokens_per_sample"]) == ("samples", 1e6, None)
    first = found.plans[0]
    assert repr(found).splitlines()[:2] == [
        "layers: int8, 1e+06 samples/s over 3 years".replace("1e+06", f"{1e6:,g}"),
        f"  {first.cpu}: {float(first.cost.per_million):.3g} USD per million samples, "
        f"{int(first.cost.sockets)} sockets, cheapest in {first.cheapest:.0%}",
    ]
    assert f"<td>{first.cpu}</td>" in found._repr_html_()


def test_a_model_that_generates_is_counted_in_tokens() -> None:
    def text(batch: int) -> Workload:
        return replace(layers(batch), phase="prefill", tokens=16)

    machine = load_machine(AMD)
    found = [search(text, machine, batches=(1,))]
    made = plans(text, [machine], found, Demand(1e5, 3), load_inputs(), samples=8)
    assert (made.unit, made.rate, made.to_dict()["tokens_per_sample"]) == ("tokens", 1.6e6, 16)
    (plan,) = made.plans
    tokens = 1.6e6 * 3 * 8760 * 3600
    assert plan.cost.per_million == pytest.approx(plan.cost.total / tokens * 1e6)
    assert plan.per_million_low < plan.cost.per_million < plan.per_million_high


def test_two_names_for_one_cpu_are_equally_cheap() -> None:
    """What they share is drawn once, so that neither wins by luck."""
    twin = load_machine(AMD).model_copy(update={"id": "twin"})
    found = planned([AMD, twin])
    first, second = found.plans
    assert first.cost == second.cost
    assert first.per_million_low == pytest.approx(second.per_million_low)
    assert {first.cheapest, second.cheapest} == {0.0, 1.0}


def test_a_lower_price_is_never_less_likely_cheapest() -> None:
    shares = []
    for price in (40_000.0, 12_000.0, 1_000.0):
        found = planned([INTEL, AMD], given_prices={AMD: price})
        plan = next(plan for plan in found.plans if plan.cpu == AMD)
        assert plan.price == price
        shares.append(plan.cheapest)
    assert shares == sorted(shares)
    assert shares[0] < shares[-1]


def test_an_input_that_is_stated_is_exact() -> None:
    found = planned([INTEL, AMD], fixed={"energy.price": 1e-7, "energy.pue": 1.2})
    drawn = {unknown.path for unknown in found.drawn.unknowns}
    assert not {"cost.energy.price", "cost.energy.pue"} & drawn
    assert {"cost.server.price", "energy.byte.DRAM", "power.idle"} <= drawn
    dearer = planned([INTEL, AMD], fixed={"cost.energy.price": 2e-7, "energy.pue": 1.2})
    for before, after in zip(found.plans, dearer.plans, strict=True):
        assert after.cost.electricity == pytest.approx(2 * before.cost.electricity)


def test_a_latency_on_the_edge_is_met_in_some_samples_only() -> None:
    machine = load_machine(AMD)
    typical_s = search(layers, machine, batches=(1,)).fastest.latency_ms / 1e3
    found = planned([machine], limit_s=typical_s * 1.001)
    (plan,) = found.plans
    assert 0 < plan.meets < 1
    assert plan.cheapest == plan.meets
    # Two samples in neither of which it is met: there is no interval, and JSON has no NaN.
    (never,) = planned([machine], limit_s=typical_s * 1.001, samples=2, seed=MISSING).plans
    assert (never.meets, never.cheapest) == (0, 0)
    assert never.to_dict()["per_million_low_usd"] is None
    # Of two, neither is the cheapest of those samples.
    twin = machine.model_copy(update={"id": "twin"})
    for plan in planned([machine, twin], limit_s=typical_s * 1.001, samples=2, seed=MISSING).plans:
        assert (plan.meets, plan.cheapest) == (0, 0)


def test_a_cpu_that_misses_the_latency_or_has_no_price_is_named() -> None:
    fast, slow = (
        search(layers, cpu, batches=(1,)).fastest.latency_ms / 1e3 for cpu in (INTEL, AMD)
    )
    found = planned([INTEL, AMD, "graviton3"], limit_s=(fast + slow) / 2)
    assert [plan.cpu for plan in found.plans] == [INTEL]
    assert len(found.excluded) == 2
    assert "graviton3 is left out: it has no list price" in found.excluded[0]
    assert "epyc_9654 cannot meet the limit" in found.excluded[1]
    with pytest.raises(PerfmodelError, match=r"no CPU meets .*xeon_8490h .*epyc_9654"):
        planned([INTEL, AMD], limit_s=fast / 2)


@pytest.mark.parametrize("limit_s", [None, 3e-5, 1e-4, 1e-3])
def test_what_a_sample_chooses_from_holds_the_best_and_nothing_far_over_the_limit(
    limit_s: float | None,
) -> None:
    for cpu in (INTEL, AMD):
        found = search(layers, cpu, max_latency_s=limit_s, batches=(1, 2, 4, 8, 16))
        if found.best is None:
            continue
        chosen = choices(found)
        assert found.best in chosen
        assert len(chosen) <= CHOICES + 1
        assert len({(each.batch, each.partition) for each in chosen}) == len(chosen)
        if limit_s is not None:
            assert max(each.latency_ms for each in chosen) <= NEAR * limit_s * 1e3
        # Some over the limit, where there are any: they meet it where figures turn out better.
        over = [s for s in replace(found, max_latency_ms=None).frontier if s not in found.within]
        near = [s for s in over if limit_s and s.latency_ms <= NEAR * limit_s * 1e3]
        assert not near or any(each in over for each in chosen)


def test_the_best_is_among_many_that_are_thinned_out() -> None:
    """Whichever of forty it is: those over the limit must not crowd it out."""
    found = search(layers, AMD, batches=(1,))
    points = tuple(
        replace(found.fastest, latency_ms=1.05**i, throughput_fps=100.0 + i) for i in range(40)
    )
    for point in points:
        limited = replace(found, tried=points, max_latency_ms=point.latency_ms)
        chosen = choices(limited)
        assert limited.best is point
        assert point in chosen
        assert points[0] in chosen
        assert len(chosen) <= CHOICES + 1
        near = [each for each in points if each.latency_ms <= NEAR * point.latency_ms]
        assert near[-1] in chosen
        assert len(chosen) >= min(CHOICES, len(near))
        assert chosen == near or len(near) > CHOICES
        assert max(each.latency_ms for each in chosen) <= NEAR * point.latency_ms


def test_what_takes_just_as_often_the_limit_as_is_near_is_near() -> None:
    fastest = search(layers, AMD, batches=(1,)).fastest
    points = tuple(
        replace(fastest, latency_ms=latency, throughput_fps=rate)
        for latency, rate in ((1.0, 1.0), (NEAR, 2.0), (NEAR * 1.001, 3.0))
    )
    found = replace(search(layers, AMD, batches=(1,)), tried=points, max_latency_ms=1.0)
    assert choices(found) == [*points[:2]]
    # Where none meets the limit there is no best to add.
    assert choices(replace(found, max_latency_ms=0.9)) == [points[0]]


def test_without_anything_unknown_each_sample_is_the_typical_plan() -> None:
    """All figures exact but those of energy and software: the interval is around the plan."""
    exact = [
        machine.with_values({p: g.typical for p, g in machine.figures().items() if g.is_range})
        for machine in map(load_machine, (INTEL, AMD))
    ]
    inputs = {path: figure.typical for path, figure in load_inputs().figures().items()}
    for plan in planned(exact, limit_s=None, samples=256, fixed=inputs).plans:
        assert plan.per_million_low < plan.cost.per_million < plan.per_million_high
        assert plan.per_million_high < 1.5 * plan.per_million_low


def test_no_figure_of_a_plan_is_infinite_or_undefined() -> None:
    for rate in (1e-6, 1e12):
        found = planned([INTEL, AMD, AMPERE], limit_s=None, rate=rate, samples=8)
        json.dumps(found.to_dict(), allow_nan=False)
    found = planned([INTEL, AMD], given_prices={AMD: 1e7}, fixed={"service.utilization": 0.001})
    json.dumps(found.to_dict(), allow_nan=False)


@pytest.mark.parametrize("value", [0.0, 1e-300, 2.0, float("nan")])
def test_an_input_out_of_range_is_refused_before_it_is_sampled(value: float) -> None:
    with pytest.raises(PerfmodelError, match=r"service\.utilization: .*; expected "):
        planned([INTEL], fixed={"service.utilization": value})
    with pytest.raises(UnknownName, match="utilization"):
        planned([INTEL], fixed={"service.utilisation": 0.5})


def test_a_limit_that_is_just_met_is_met_in_every_sample() -> None:
    found = search(layers, AMD, batches=(1,))
    limited = replace(found, max_latency_ms=found.fastest.latency_ms)

    def made(samples: int) -> Plans:
        machines = [load_machine(AMD)]
        return plans(layers, machines, [limited], Demand(1e3), load_inputs(), samples=samples)

    # As if no figure that is unknown moved the latency.
    with mock.patch.object(
        plan_module, "latency_variants", return_value=np.full(4, found.fastest.latency_ms)
    ):
        (plan,) = made(4).plans
    assert plan.meets == 1
    with pytest.raises(PerfmodelError, match="samples: expected 2 to 100,000, found 1"):
        made(1)
    with pytest.raises(ValueError, match="zip"):
        plans(layers, [load_machine(AMD)], [], Demand(1e3), load_inputs())


def test_prices() -> None:
    machines = [load_machine(cpu) for cpu in (AMD, "graviton3")]
    known, lines = prices(machines, {})
    assert known == {AMD: 11805.0}
    assert len(lines) == 1
    known, lines = prices(machines, {"graviton3": 3000.0})
    assert (known["graviton3"], lines) == (3000.0, ())
    with pytest.raises(PerfmodelError, match=r"no CPU here has a list price .*--price graviton3="):
        prices(machines[1:], {})
    with pytest.raises(UnknownName, match="epyc_9654"):
        prices(machines, {"epyc_9655": 1.0})
    for price in (0.0, 1e308, float("inf"), float("nan")):
        with pytest.raises(PerfmodelError, match=r"price of epyc_9654: expected 0\.01 to 1e"):
            prices(machines, {AMD: price})
