"""Rented beside bought: prices, hours, tokens, and what must hold of every cost."""

from __future__ import annotations

import functools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.cost.inputs import PREFIX, load_inputs
from perfmodel.cost.plan import Plans, plans
from perfmodel.cost.prices import prices
from perfmodel.cost.tco import HOURS_PER_MONTH, Cost, Demand, cost, rented_cost
from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.unknowns import unknowns
from perfmodel.serving import search
from perfmodel.workload.workload import Workload
from tests.builder import Builder

AMD, RENTED = "epyc_9654", "c7i.8xlarge"
SLACK = 1 + 1e-9
#: Inputs that are prices of something.
PRICES = ("energy.price", "server.price", "purchase.capital_rate", "purchase.maintenance")
TYPICAL = {path: figure.typical for path, figure in load_inputs().figures().items()}

RATE = st.floats(0.1, 1e6)
THROUGHPUT = st.floats(1.0, 1e5)
PRICE = st.floats(0.01, 1e5)
HOURS = st.floats(1, HOURS_PER_MONTH)
TIMES = st.floats(1.0, 10.0)


@functools.cache
def layers(batch: int = 1) -> Workload:
    b = Builder("layers", batch=batch)
    x = b.input(batch * 64 * 1024)
    for _ in range(4):
        x = b.linear(x, batch * 64, 1024, 1024)
    return b.workload()


def planned(cpus: list[str | Machine], rate: float = 1e4, **options: object) -> Plans:
    machines = [load_machine(cpu) for cpu in cpus]
    found = [search(layers, machine, batches=(1, 4)) for machine in machines]
    hours = options.pop("hours", HOURS_PER_MONTH)
    demand = Demand(rate, 3, hours)  # type: ignore[arg-type]
    return plans(layers, machines, found, demand, load_inputs(), samples=16, **options)  # type: ignore[arg-type]


def bought(demand: Demand, throughput: float, price: float, **inputs: float) -> Cost:
    values = TYPICAL | {f"{PREFIX}{path}": value for path, value in inputs.items()}
    return cost(demand, throughput, 300.0, 100.0, price, values)


@given(RATE, THROUGHPUT, PRICE, HOURS, TIMES, st.sampled_from(PRICES))
def test_no_cost_falls_with_a_price(
    rate: float, throughput: float, price: float, hours: float, times: float, path: str
) -> None:
    demand = Demand(rate, 3, hours)
    total = float(bought(demand, throughput, price).total)
    assert float(bought(demand, throughput, price * times).total) * SLACK >= total
    dearer = {path: TYPICAL[f"{PREFIX}{path}"] * times}
    assert float(bought(demand, throughput, price, **dearer).total) * SLACK >= total
    rent = [
        float(rented_cost(demand, throughput, price * by / 1e6, TYPICAL).total) for by in (1, times)
    ]
    assert rent[1] * SLACK >= rent[0] > 0


@given(RATE, THROUGHPUT, HOURS, TIMES)
def test_a_fleet_shrinks_with_speed_and_grows_with_the_rate(
    rate: float, throughput: float, hours: float, times: float
) -> None:
    demand, more = Demand(rate, 3, hours), Demand(min(rate * times, 1e12), 3, hours)
    for paid in (
        lambda d, speed: bought(d, speed, 1e4),
        lambda d, speed: rented_cost(d, speed, 1e-3, TYPICAL),
    ):
        here = paid(demand, throughput)
        assert float(paid(demand, throughput * times).sockets) <= float(here.sockets)
        assert float(paid(more, throughput).sockets) >= float(here.sockets)
        assert 0 < float(here.utilization) <= TYPICAL[f"{PREFIX}service.utilization"] * SLACK
        assert 0 <= float(here.idle_share) < 1


@given(RATE, THROUGHPUT, HOURS, TIMES)
def test_rent_is_for_the_hours_served_and_a_purchase_is_for_all(
    rate: float, throughput: float, hours: float, times: float
) -> None:
    short, long = (Demand(rate, 3, h) for h in (hours / times, hours))
    rents = [float(rented_cost(d, throughput, 1e-3, TYPICAL).total) for d in (short, long)]
    assert rents[0] == pytest.approx(rents[1] / times)
    owned = [bought(d, throughput, 1e4) for d in (short, long)]
    assert owned[0].purchase == owned[1].purchase
    # What is bought draws 200 W more for each socket, as far as it is used, in these hours alone.
    watts = 200 * float(owned[1].utilization) * float(owned[1].sockets)
    joules = watts * (long.share - short.share) * 8760 * 3600 * TYPICAL[f"{PREFIX}energy.pue"]
    more = float(owned[1].electricity) - float(owned[0].electricity)
    expected = joules * TYPICAL[f"{PREFIX}energy.price"]
    assert more == pytest.approx(expected, rel=1e-6, abs=1e-9 * float(owned[1].electricity))
    # The fewer hours it serves, the more each sample costs.
    assert float(owned[0].per_million) * SLACK >= float(owned[1].per_million)


def test_a_year_of_an_instance_by_hand() -> None:
    found = rented_cost(Demand(700.0, 3), 1000.0, 1.0 / 3600, TYPICAL)
    assert (float(found.sockets), float(found.servers)) == (1, 0)
    assert float(found.per_year) == pytest.approx(8760)
    assert float(found.per_million) == pytest.approx(8760 / (700 * 8760 * 3600) * 1e6)
    assert float(found.utilization) == pytest.approx(0.7)
    assert float(found.idle_share) == pytest.approx(0.3)
    tokens = rented_cost(Demand(700.0, 3), 1000.0, 1.0 / 3600, TYPICAL, tokens=128)
    assert float(tokens.per_million) == pytest.approx(float(found.per_million) / 128)


def test_rented_stands_beside_bought() -> None:
    found = planned([AMD, RENTED])
    by_id = {plan.cpu: plan for plan in found.plans}
    assert (by_id[RENTED].paid, by_id[AMD].paid) == ("rented, us-east-1", "bought")
    rented = by_id[RENTED]
    assert rented.price == pytest.approx(1.428)
    count = float(rented.cost.sockets)
    assert float(rented.cost.total) == pytest.approx(count * 1.428 * 8760 * 3)
    record = rented.to_dict()
    assert (record["price_usd"], record["servers"], record["region"]) == (None, 0, "us-east-1")
    assert record["price_usd_per_hour"] == pytest.approx(1.428)
    bought = by_id[AMD].to_dict()
    assert (bought["price_usd_per_hour"], bought["region"]) == (None, None)
    assert sum(plan.cheapest for plan in found.plans) == pytest.approx(1)
    dear = planned([AMD, RENTED], given_prices={RENTED: 1000.0})
    assert {plan.cpu: plan.cheapest for plan in dear.plans} == {AMD: 1.0, RENTED: 0.0}
    assert next(plan for plan in dear.plans if plan.rented).paid == "rented"


def test_a_recalled_price_is_a_range_of_the_cost() -> None:
    (plan,) = planned(["c4a-standard-16"]).plans
    price = load_machine("c4a-standard-16").rental.price["us-central1"]  # type: ignore[union-attr]
    assert price.is_range
    paths = {unknown.path for unknown in planned(["c4a-standard-16"]).drawn.unknowns}
    assert "rental.price.us-central1" in paths
    assert plan.cost.total > 0
    # A price that is given is exact: what is left is how fast it is.
    machine = load_machine("c4a-standard-16")
    wide = replace(price, low=price.typical / 20, high=price.typical * 20)
    rental = machine.rental.model_copy(update={"price": {"us-central1": wide}})  # type: ignore[union-attr]
    unsure = machine.model_copy(update={"rental": rental})
    unsure.__dict__.pop("_by_path", None)
    (open_,) = planned([unsure]).plans
    (given,) = planned([unsure], given_prices={"c4a-standard-16": plan.price}).plans
    assert given.cost.total == pytest.approx(plan.cost.total)
    wider, exact = (each.per_million_high / each.per_million_low for each in (open_, given))
    assert wider > 2 * exact
    drawn = planned(["c4a-standard-16"], given_prices={"c4a-standard-16": 1.0}).drawn
    assert "rental.price.us-central1" not in {unknown.path for unknown in drawn.unknowns}
    # Nor does it move a latency, so that a ranking does not draw it.
    assert "rental.price.us-central1" not in {u.path for u in unknowns([machine], "openvino")}
    assert "rental.price.us-east-1" not in {u.path for u in planned([RENTED]).drawn.unknowns}


def test_two_sockets_that_are_bought_cost_as_two() -> None:
    machine = load_machine(AMD, sockets=2)
    one, two = (planned([m], rate=1e6).plans[0] for m in (AMD, machine))
    assert two.served.throughput_fps == pytest.approx(2 * one.served.throughput_fps)
    # Pairs at a time: as many sockets, or one more.
    assert 0 <= float(two.cost.sockets) - float(one.cost.sockets) <= 1
    assert float(two.cost.servers) == pytest.approx(float(two.cost.sockets) / 2)
    assert float(two.cost.total) == pytest.approx(float(one.cost.total), rel=0.1)


def test_a_region_without_a_price_and_prices_that_are_none() -> None:
    machine = load_machine(RENTED)
    with pytest.raises(
        PerfmodelError,
        match=r"^c7i.8xlarge has no price in eu-west-1: there are prices of us-east-1: choose one, "
        r'or state --price c7i.8xlarge="1.5 USD/h"$',
    ):
        prices([machine], {}, "eu-west-1")
    rental = machine.rental.model_copy(update={"price": {}})  # type: ignore[union-attr]
    unlisted = machine.model_copy(update={"rental": rental})
    with pytest.raises(
        PerfmodelError, match=r'^c7i.8xlarge has no price: state --price c7i.8xlarge="1.5 USD/h"$'
    ):
        prices([unlisted], {})
    known, lines = prices([machine, load_machine(AMD)], {}, "eu-west-1")
    assert set(known) == {AMD}
    assert lines[0].startswith("c7i.8xlarge has no price in eu-west-1")
    assert prices([machine], {RENTED: 2.0}, "eu-west-1") == ({RENTED: 2.0}, ())
    for price in (0.0, -1.0, float("nan"), 1e9):
        with pytest.raises(PerfmodelError, match=r"price of c7i.8xlarge: expected 0.0001 to 100,"):
            prices([machine], {RENTED: price})


@pytest.mark.parametrize("hours", [0.0, -5.0, 731.0, float("nan")])
def test_hours_that_a_month_has_not(hours: float) -> None:
    with pytest.raises(PerfmodelError, match=r"hours per month: expected 0.01 to 730"):
        Demand(1.0, 3, hours)
