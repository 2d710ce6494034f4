"""Total cost of ownership: what serving a rate of requests costs on one kind of CPU.

::

    sockets  = ceil(rate / (throughput x utilization))
    servers  = ceil(sockets / sockets per server)
    purchase = sockets x CPU + servers x server
    per year = purchase x annuity(capital rate, years)
             + PUE x 8760 h x electricity x (sockets x mean power + servers x server power)
             + purchase x maintenance
    mean     = idle + (power under load - idle) x rate / (sockets x throughput)

Of instances that are rented by the hour, their number is that of the sockets above, and

    per year = instances x price per hour x hours in which the rate is served

``annuity(r, n) = r / (1 - (1 + r)^-n)`` is the yearly payment on 1 borrowed at r over n years (the
textbook formula for a loan; numpy-financial has it as ``pmt``, but has had no release since 2019).

Everything broadcasts: an input is a float, or an array of shape (samples,).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Final

import numpy as np

from perfmodel.cost.inputs import PREFIX
from perfmodel.mapping.roofline import Rate
from perfmodel.vocabulary import ranges

HOURS_PER_YEAR: Final = 8760
HOURS_PER_MONTH: Final = HOURS_PER_YEAR / 12
SECONDS_PER_YEAR: Final = HOURS_PER_YEAR * 3600
SECONDS_PER_HOUR: Final = 3600.0
#: Interest below this is none: it would change a payment in its last digits.
NO_INTEREST: Final = 1e-14


#: Columns of a cost that are no dollars, with their names in JSON.
_NO_DOLLARS: Final = {
    "sockets": "sockets",
    "servers": "servers",
    "utilization": "used_share",
    "idle_share": "idle_share",
    "energy_kwh": "energy_kwh",
}


@dataclass(frozen=True)
class Demand:
    """What is to be served: ``rate`` samples per second for ``years``.

    Attributes:
        hours_per_month: in which it is served; by default all of them. What is rented is given back
            in the others; what is bought draws its idle power.

    Raises:
        PerfmodelError: for a rate or a time outside its plausible range.
    """

    rate: float
    years: float = 3.0
    hours_per_month: float = HOURS_PER_MONTH

    def __post_init__(self) -> None:
        ranges.RATE.check("rate", self.rate)
        ranges.YEARS.check("years", self.years)
        ranges.HOURS_PER_MONTH.check("hours per month", self.hours_per_month)

    @property
    def share(self) -> float:
        """Of all time, that in which the rate is served."""
        return self.hours_per_month / HOURS_PER_MONTH

    @property
    def samples_per_year(self) -> float:
        """Samples served in a year."""
        return self.rate * SECONDS_PER_YEAR * self.share


@dataclass(frozen=True)
class Cost:
    """Costs in US dollars; each a float, or an array of shape (samples,).

    Attributes:
        sockets, servers: how many are needed; of what is rented, instances, and no servers.
        utilization: share of their throughput that is used while the rate is served.
        idle_share: of the time that is paid for, as the share of their throughput that is not used.
        purchase: of CPUs and servers.
        rent: of one year.
        capital, electricity, maintenance: of one year.
        energy_kwh: of one year, cooling included.
        per_year: all of one year.
        total: over the demand's years.
        per_million: for a million samples, or tokens.
    """

    sockets: Rate
    servers: Rate
    utilization: Rate
    idle_share: Rate
    purchase: Rate
    rent: Rate
    capital: Rate
    electricity: Rate
    maintenance: Rate
    energy_kwh: Rate
    per_year: Rate
    total: Rate
    per_million: Rate

    def to_dict(self) -> dict[str, Any]:
        """Plain Python objects for JSON, units in the keys; of a cost without samples."""
        counts = ("sockets", "servers")
        return {
            _NO_DOLLARS.get(name, f"{name}_usd"): int(value) if name in counts else float(value)
            for name, value in ((f.name, getattr(self, f.name)) for f in fields(self))
        }


def annuity(rate: Rate, years: float) -> Rate:
    """Yearly payment that pays off 1 over ``years`` at interest ``rate`` (0: in equal parts)."""
    rate = np.asarray(rate, dtype=np.float64)
    # expm1 and log1p keep the digits of small rates; of smaller ones nothing is left to keep.
    shrunk = -np.expm1(-years * np.log1p(rate))
    with np.errstate(invalid="ignore", divide="ignore"):
        payment: Rate = np.where(rate > NO_INTEREST, rate / shrunk, 1 / years)
    return payment


def cost(
    demand: Demand,
    throughput_fps: Rate,
    load_w: Rate,
    idle_w: Rate,
    cpu_price: Rate,
    inputs: Mapping[str, Rate],
    *,
    together: int = 1,
    tokens: int = 1,
) -> Cost:
    """What serving ``demand`` costs on CPUs that are bought.

    Args:
        throughput_fps: samples per second of one socket; where zero, the cost is infinite.
        load_w, idle_w: power of one package at that throughput and with nothing to do, in W.
        cpu_price: of one socket, in USD.
        inputs: by dotted path, those of :meth:`perfmodel.cost.inputs.Inputs.figures`, in SI.
        together: sockets that one machine has, of which the four figures are then.
        tokens: of a sample: what a million are counted in.
    """

    def value(path: str) -> Rate:
        return inputs[f"{PREFIX}{path}"]

    count, used = _fleet(demand, throughput_fps, value("service.utilization"))
    with np.errstate(invalid="ignore"):
        sockets = count * together
        servers = np.ceil(_whole(sockets / value("server.sockets")))
    purchase = count * cpu_price + servers * value("server.price")
    mean_w = idle_w + (load_w - idle_w) * used * demand.share
    drawn_w = value("energy.pue") * (count * mean_w + servers * value("server.power"))
    joules = drawn_w * SECONDS_PER_YEAR
    electricity = joules * value("energy.price")
    capital = purchase * annuity(value("purchase.capital_rate"), demand.years)
    maintenance = purchase * value("purchase.maintenance")
    per_year = capital + electricity + maintenance
    return Cost(
        sockets=sockets,
        servers=servers,
        utilization=used,
        idle_share=1 - used * demand.share,
        purchase=purchase,
        rent=np.zeros_like(per_year),
        capital=capital,
        electricity=electricity,
        maintenance=maintenance,
        energy_kwh=joules / 1e3 / SECONDS_PER_HOUR,
        per_year=per_year,
        total=per_year * demand.years,
        per_million=per_year / (demand.samples_per_year * tokens) * 1e6,
    )


def rented_cost(
    demand: Demand,
    throughput_fps: Rate,
    price: Rate,
    inputs: Mapping[str, Rate],
    *,
    tokens: int = 1,
) -> Cost:
    """What serving ``demand`` costs on instances that are rented by the hour.

    Args:
        throughput_fps: samples per second of one instance; where zero, the cost is infinite.
        price: of one instance, in USD per second.
        inputs, tokens: as for :func:`cost`.
    """
    count, used = _fleet(demand, throughput_fps, inputs[f"{PREFIX}service.utilization"])
    rent: Rate = count * price * SECONDS_PER_YEAR * demand.share
    nothing = np.zeros_like(rent)
    return Cost(
        sockets=count,
        servers=nothing,
        utilization=used,
        idle_share=1 - used,
        purchase=nothing,
        rent=rent,
        capital=nothing,
        electricity=nothing,
        maintenance=nothing,
        energy_kwh=nothing,
        per_year=rent,
        total=rent * demand.years,
        per_million=rent / (demand.samples_per_year * tokens) * 1e6,
    )


def _fleet(demand: Demand, throughput_fps: Rate, planned: Rate) -> tuple[Rate, Rate]:
    """How many are needed, and the share of their throughput that is used; none at infinity."""
    with np.errstate(divide="ignore", invalid="ignore"):
        count = np.ceil(_whole(demand.rate / (throughput_fps * planned)))
        used = demand.rate / (count * throughput_fps)
    return count, np.where(np.isfinite(count), used, 0.0)


def _whole(count: Rate) -> Rate:
    """A count that misses a whole number by a rounding error alone, as that number."""
    nearest = np.round(count)
    close = np.isclose(count, nearest, rtol=1e-12, atol=0)
    result: Rate = np.where(close, nearest, count)
    return result


@dataclass(frozen=True)
class SimpleCost:
    """Price and power of one CPU, and nothing else, in US dollars over some years."""

    price: float
    power: float

    @property
    def total(self) -> float:
        """Both."""
        return self.price + self.power


def simple_cost(price: float, tdp_w: float, years: float, electricity: float) -> SimpleCost:
    """The simple form: price + rating x 8760 h x years x electricity.

    It leaves out the server, cooling, interest, maintenance and how much the CPU serves, and takes
    the vendor's rating for the power.

    Args:
        electricity: in USD per joule.
    """
    return SimpleCost(price, tdp_w * SECONDS_PER_YEAR * years * electricity)
