"""What serving a rate costs: laws, the annuity, and the published figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from perfmodel.cost.inputs import check_inputs, load_inputs, settable
from perfmodel.cost.tco import Cost, Demand, annuity, cost, simple_cost
from perfmodel.errors import MachineError, PerfmodelError
from perfmodel.figures.quantity import parse
from perfmodel.machine import load_machine
from perfmodel.vocabulary import ranges

SLACK = 1 + 1e-9
KWH = 3.6e6

FACTOR = st.floats(1.0, 10.0)
#: Dotted path -> values it may have.
RANGES = {
    "cost.energy.price": st.floats(0.01 / KWH, 1.0 / KWH),
    "cost.energy.pue": st.floats(1.0, 3.0),
    "cost.purchase.capital_rate": st.floats(0.0, 0.3),
    "cost.purchase.maintenance": st.floats(0.0, 0.3),
    "cost.service.utilization": st.floats(0.05, 1.0),
    "cost.server.sockets": st.integers(1, 8),
    "cost.server.price": st.floats(100.0, 1e5),
    "cost.server.power": st.floats(0.0, 1e3),
}


#: The least and the most that each input can be; of a share, next to nothing and all.
ENDS = {
    path: (
        expected.plausible[0] or 1e-9,
        min(expected.plausible[1], 1.0 if expected.kind == "fraction" else 1e9),
    )
    for path, expected in settable().items()
}


@st.composite
def cases(draw: st.DrawFn) -> dict[str, object]:
    """Arguments of :func:`cost`."""
    idle = draw(st.floats(1.0, 200.0), label="idle")
    return {
        "demand": Demand(draw(st.floats(0.1, 1e6), label="rate"), draw(st.floats(0.1, 10.0))),
        "throughput_fps": draw(st.floats(0.1, 1e6), label="throughput"),
        "load_w": idle + draw(st.floats(0.0, 500.0), label="load"),
        "idle_w": idle,
        "cpu_price": draw(st.floats(10.0, 5e4), label="price"),
        "inputs": {path: draw(values, label=path) for path, values in RANGES.items()},
    }


def dearer(case: dict[str, object], **changes: object) -> tuple[Cost, Cost]:
    return cost(**case), cost(**(case | changes))


@given(cases(), FACTOR)
@pytest.mark.parametrize(
    "path",
    [
        "cost.energy.price",
        "cost.energy.pue",
        "cost.purchase.capital_rate",
        "cost.purchase.maintenance",
        "cost.server.price",
        "cost.server.power",
    ],
)
def test_cost_never_falls_with_a_price_or_a_rate(
    path: str, case: dict[str, object], factor: float
) -> None:
    inputs = case["inputs"]
    low, high = dearer(case, inputs=inputs | {path: inputs[path] * factor})
    for name in ("per_year", "total", "per_million"):
        assert getattr(low, name) <= getattr(high, name) * SLACK, name
    assert low.sockets == high.sockets


@given(cases(), FACTOR)
def test_cost_never_falls_with_years_and_is_never_more_per_year(
    case: dict[str, object], factor: float
) -> None:
    demand = case["demand"]
    short, long = dearer(case, demand=replace(demand, years=min(demand.years * factor, 100)))
    assert short.total <= long.total * SLACK
    assert long.per_year <= short.per_year * SLACK


@given(cases(), FACTOR)
def test_a_faster_socket_never_needs_more_of_them(case: dict[str, object], factor: float) -> None:
    slow, fast = dearer(case, throughput_fps=case["throughput_fps"] * factor)
    assert fast.sockets <= slow.sockets
    assert fast.servers <= slow.servers


@given(cases(), FACTOR)
def test_a_higher_rate_never_costs_less(case: dict[str, object], factor: float) -> None:
    demand = case["demand"]
    low, high = dearer(case, demand=replace(demand, rate=demand.rate * factor))
    assert low.sockets <= high.sockets
    assert low.total <= high.total * SLACK


@given(cases())
def test_the_sockets_bear_the_rate_with_the_headroom_and_none_is_too_many(
    case: dict[str, object],
) -> None:
    found, planned = cost(**case), case["inputs"]["cost.service.utilization"]
    assert found.utilization <= planned * SLACK
    per_socket = case["throughput_fps"] * planned
    assert (found.sockets - 1) * per_socket < case["demand"].rate * SLACK
    in_server = case["inputs"]["cost.server.sockets"]
    assert (found.servers - 1) * in_server < found.sockets <= found.servers * in_server


@given(cases())
def test_the_parts_make_the_whole(case: dict[str, object]) -> None:
    found, demand = cost(**case), case["demand"]
    assert found.per_year == pytest.approx(found.capital + found.electricity + found.maintenance)
    assert found.total == pytest.approx(found.per_year * demand.years)
    served = demand.rate * 8760 * 3600
    assert found.per_million * served / 1e6 == pytest.approx(found.per_year)
    price = case["inputs"]["cost.energy.price"] * KWH
    assert found.electricity == pytest.approx(found.energy_kwh * price)
    # Money paid later costs more than the purchase, unless it costs nothing.
    assert found.capital * demand.years >= found.purchase / SLACK


def test_purchase_by_hand() -> None:
    """900 a second, 250 a socket of which 0.8 is planned for: 5 sockets in 3 servers of two."""
    inputs = {path: figure.typical for path, figure in load_inputs().figures().items()}
    inputs |= {"cost.service.utilization": 0.8, "cost.server.sockets": 2.0}
    inputs |= {"cost.server.price": 7000.0, "cost.server.power": 200.0, "cost.energy.pue": 1.5}
    found = cost(Demand(900, 3), 250.0, 300.0, 100.0, 11_000.0, inputs)
    assert (found.sockets, found.servers) == (5, 3)
    assert found.purchase == 5 * 11_000 + 3 * 7000
    # 900 of 1250 is used, so that a socket draws 100 + 0.72 x 200 = 244 W.
    assert found.utilization == pytest.approx(0.72)
    watts = 1.5 * (5 * 244 + 3 * 200)
    assert found.energy_kwh == pytest.approx(watts / 1000 * 8760)
    assert found.maintenance == pytest.approx(76_000 * inputs["cost.purchase.maintenance"])
    assert found.idle_share == pytest.approx(0.28)
    # Half of the time, a third of a sample each: as many sockets, that rest for longer.
    half = cost(Demand(900, 3, 365), 250.0, 300.0, 100.0, 11_000.0, inputs, tokens=3)
    assert half.idle_share == pytest.approx(0.64)
    assert half.energy_kwh == pytest.approx(1.5 * (5 * 172 + 3 * 200) / 1000 * 8760)
    assert half.per_million == pytest.approx(half.per_year / (900 * 3 * 8760 * 1800) * 1e6)
    pairs = cost(Demand(900, 3), 500.0, 600.0, 200.0, 22_000.0, inputs, together=2)
    assert (pairs.sockets, pairs.servers) == (6, 3)
    assert pairs.utilization == pytest.approx(0.6)
    plain = found.to_dict()
    assert (plain["sockets"], plain["servers"], plain["used_share"]) == (5, 3, pytest.approx(0.72))
    assert list(plain) == [
        "sockets",
        "servers",
        "used_share",
        "idle_share",
        "purchase_usd",
        "rent_usd",
        "capital_usd",
        "electricity_usd",
        "maintenance_usd",
        "energy_kwh",
        "per_year_usd",
        "total_usd",
        "per_million_usd",
    ]


@given(st.lists(cases(), min_size=2, max_size=4))
def test_samples_cost_what_each_costs_alone(several: list[dict[str, object]]) -> None:
    demand = several[0]["demand"]
    alone = [cost(**(case | {"demand": demand})) for case in several]

    def column(name: str) -> np.ndarray:
        return np.array([case[name] for case in several])

    inputs = {path: np.array([case["inputs"][path] for case in several]) for path in RANGES}
    names = ("throughput_fps", "load_w", "idle_w", "cpu_price")
    together = cost(demand, *map(column, names), inputs)
    np.testing.assert_allclose(together.total, [each.total for each in alone])
    np.testing.assert_array_equal(together.servers, [each.servers for each in alone])


@given(st.floats(0.0, 0.5), st.floats(0.5, 40.0))
def test_an_annuity_pays_the_loan_off(rate: float, years: float) -> None:
    """The present value of its payments is the loan: their sum at interest, by hand."""
    whole = np.ceil(years)
    payments = annuity(rate, whole) / (1 + rate) ** np.arange(1, whole + 1)
    assert payments.sum() == pytest.approx(1)
    assert annuity(rate, years) >= 1 / years / SLACK


def test_a_cpu_that_cannot_serve_costs_without_end() -> None:
    inputs = {path: figure.typical for path, figure in load_inputs().figures().items()}
    found = cost(Demand(10, 3), np.array([0.0, 100.0]), 200.0, 100.0, 5000.0, inputs)
    assert np.isinf(found.total[0])
    assert np.isfinite(found.total[1])
    assert (found.utilization[0], found.idle_share[0]) == (0, 1)


@given(st.integers(1, 10_000), st.floats(0.1, 1e4), st.floats(0.01, 1.0))
def test_a_rate_that_so_many_bear_needs_no_more(
    sockets: int, throughput: float, planned: float
) -> None:
    """Though the quotient may be off by a rounding error, and one request more is too much."""
    inputs = {path: figure.typical for path, figure in load_inputs().figures().items()}
    inputs["cost.service.utilization"] = planned
    rate = sockets * (throughput * planned)
    for demand, expected in ((Demand(rate), sockets), (Demand(rate * (1 + 1e-9)), sockets + 1)):
        assert cost(demand, throughput, 200.0, 100.0, 5000.0, inputs).sockets == expected


#: (CPU, price the table must have used, power, total) as published, in USD over three years.
PUBLISHED = (
    ("ampereone_192", 5000, 744, 5744),
    ("xeon_8490h", 11600, 920, 12520),
    ("epyc_9654", 11805, 946, 12751),
)


@pytest.mark.parametrize(("cpu", "price", "power", "total"), PUBLISHED)
def test_the_simple_form_gives_the_published_figures(
    cpu: str, price: int, power: int, total: int
) -> None:
    machine = load_machine(cpu)
    electricity = parse("0.10 USD/kWh", "USD/J")
    found = simple_cost(price, machine.power.tdp.typical, 3, electricity)
    assert round(found.power) == power
    assert round(found.total) == total


def test_the_published_price_of_the_8490h_is_the_8592plus_one() -> None:
    assert load_machine("xeon_8592plus").price.launch.typical == 11600
    assert load_machine("xeon_8490h").price.launch.typical == 17000
    assert load_machine("epyc_9654").price.launch.typical == 11805


@pytest.mark.parametrize("rate", [0.0, -1.0, 1e-300, 1e308, np.inf, np.nan])
def test_a_rate_that_nobody_has_is_an_error(rate: float) -> None:
    with pytest.raises(PerfmodelError, match=r"rate: expected 1e-06 to 1e\+12 per second, found"):
        Demand(rate, 3.0)


@pytest.mark.parametrize("years", [0.0, -1.0, 1e-300, 1e308, np.inf, np.nan])
def test_years_that_nobody_plans_for_are_an_error(years: float) -> None:
    with pytest.raises(PerfmodelError, match=r"years: expected 0\.01 to 100 years, found"):
        Demand(10.0, years)


@given(st.data(), cases())
def test_nothing_that_is_plausible_costs_without_end(
    data: st.DataObject, case: dict[str, object]
) -> None:
    """The ends of every range included."""
    inputs = {
        path: data.draw(st.sampled_from([low, high]), label=path)
        for path, (low, high) in ENDS.items()
    }
    demand = Demand(
        data.draw(st.sampled_from([ranges.RATE.least, ranges.RATE.most])),
        data.draw(st.sampled_from([ranges.YEARS.least, ranges.YEARS.most])),
    )
    found = cost(**(case | {"inputs": inputs, "demand": demand}))
    json.dumps(found.to_dict(), allow_nan=False)
    assert found.sockets >= 1


@pytest.mark.parametrize("path", sorted(ENDS))
def test_an_input_out_of_its_plausible_range_is_refused(path: str) -> None:
    low, high = ENDS[path]
    check_inputs({path: low})
    check_inputs({path: high})
    for value in (low / 2, -low, high * 2.5, np.nan, np.inf):
        with pytest.raises(MachineError, match=rf"^{path.removeprefix('cost.')}: .*; expected "):
            check_inputs({path: value})


def test_inputs_of_ones_own_lie_over_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(
        '[energy]\nprice = "90 USD/MWh"\n[server]\nsockets = 1\n'
        'power = { value = "150 W", confidence = "M", source = "meter" }\n'
        '[sources]\nmeter = "our own meter"\n'
    )
    own, default = load_inputs(path), load_inputs()
    assert own.energy.price.typical * KWH == pytest.approx(0.09)
    assert own.energy.pue == default.energy.pue
    assert own.server.sockets.typical == 1
    assert own.server.power.source == "our own meter"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[energy]\nprice = "0.1 USD"\n', "energy.price: '0.1 USD' has the unit 'USD'"),
        ("[energy]\npue = 0.9\n", "energy.pue: 0.9 is implausible; expected 1 to 10"),
        ("[service]\nutilization = 1.2\n", "service.utilization"),
        (
            "[service]\nutilization = 1e-300\n",
            "service.utilization: 1e-300 is implausible",
        ),
        ("[server]\ncolour = 3\n", "server.colour: unknown field"),
        ("[rates]\ninterest = 3\n", "rates: unknown field"),
        ("rates = 3\n", "rates: unknown field"),
        ("energy = 3\n", "energy: 3; expected a table"),
        ("energy = [\n", "not valid TOML"),
        ("sources = 3\n", "sources: 3; expected a table"),
        (None, "cannot be read"),
    ],
)
def test_wrong_inputs_are_named(tmp_path: Path, text: str | None, expected: str) -> None:
    path = tmp_path / "mine.toml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PerfmodelError) as raised:
        load_inputs(path)
    assert str(path) in str(raised.value)
    assert expected in str(raised.value)
    assert isinstance(raised.value, MachineError) or text is None


def test_every_input_is_cited() -> None:
    for path, figure in load_inputs().figures().items():
        assert figure.confidence != "stated", path
