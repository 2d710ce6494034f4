"""Which CPU serves a rate within a latency at the least cost, and how sure that is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np

from perfmodel._text import html_table, percent, significant
from perfmodel.cost import power
from perfmodel.cost.inputs import PREFIX, Inputs, check_inputs
from perfmodel.cost.power import PackagePower, package_power
from perfmodel.cost.prices import SECONDS_PER_HOUR, price_path, prices
from perfmodel.cost.tco import Cost, Demand, cost, rented_cost
from perfmodel.machine import Machine
from perfmodel.mapping.prepared import prepare
from perfmodel.mapping.result import Result
from perfmodel.mapping.roofline import FloatArray, Rate
from perfmodel.mapping.unknowns import Samples, Unknown, machine_unknowns, sample, unknowns
from perfmodel.mapping.variants import latency_variants
from perfmodel.ranking.ranking import QUANTILES, SEED
from perfmodel.scenario import Scenario
from perfmodel.serving.partition import on_group
from perfmodel.serving.searching import Search, require_best
from perfmodel.serving.sharing import instance, instance_columns, instance_values
from perfmodel.software import Software
from perfmodel.vocabulary import ranges
from perfmodel.workload.workload import Workload

#: Samples by default: the standard error of a probability is then under 1.6 %.
SAMPLES: Final = 1024
#: Partitions and batches that a CPU chooses from in each sample.
CHOICES: Final = 8
#: Those within this factor of the latency limit: figures that are off move some over it.
NEAR: Final = 3.0


@dataclass(frozen=True)
class Plan:
    """How one CPU serves the demand, and what that costs.

    Attributes:
        served: partition and batch with the highest throughput within the latency.
        power: of one package while it serves at full throughput.
        cost: at typical figures.
        price: of one CPU, in USD; of an instance, in USD per hour.
        region: where an instance is rented; None of what is bought, or where a price is given.
        per_million_low, per_million_high: 80 % interval of the cost per million, over the samples
            in which the CPU meets the latency at all; None where it does so in none.
        meets: share of samples in which it meets the latency.
        cheapest: share of samples in which it costs least.
    """

    cpu: str
    served: Result
    power: PackagePower
    cost: Cost
    price: float
    per_million_low: float | None
    per_million_high: float | None
    meets: float
    cheapest: float
    region: str | None = None

    @property
    def rented(self) -> bool:
        """Whether it is an instance, paid by the hour."""
        return self.served.machine is not None and self.served.machine.rental is not None

    @property
    def paid(self) -> str:
        """How it is paid, in words."""
        if not self.rented:
            return "bought"
        return "rented" if self.region is None else f"rented, {self.region}"

    def to_dict(self) -> dict[str, Any]:
        """Plain Python objects for JSON, units in the keys."""
        return self._with_cost(self.served.to_dict())

    def to_record(self) -> dict[str, Any]:
        """Every column, the same for all plans, for CSV."""
        return self._with_cost(self.served.to_record())

    def _with_cost(self, served: dict[str, Any]) -> dict[str, Any]:
        return {
            **served,
            "package_w": float(self.power.package_w),
            "rented": self.rented,
            "region": self.region,
            "price_usd": None if self.rented else self.price,
            "price_usd_per_hour": self.price if self.rented else None,
            **self.cost.to_dict(),
            "per_million_low_usd": self.per_million_low,
            "per_million_high_usd": self.per_million_high,
            "meets_latency_probability": self.meets,
            "cheapest_probability": self.cheapest,
        }


@dataclass(frozen=True)
class Plans:
    """All CPUs that can serve the demand, cheapest first, and why others are not among them.

    Attributes:
        samples: of the uncertain figures behind the probabilities.
        tokens: of each sample of the demand; 0 of a model that generates none.
    """

    model: str
    precision: str
    demand: Demand
    max_latency_ms: float | None
    plans: tuple[Plan, ...]
    excluded: tuple[str, ...]
    samples: int
    drawn: Samples = field(repr=False, compare=False)
    tokens: int

    @property
    def unit(self) -> str:
        """What a million are counted in: "tokens" of a model that generates them, or "samples"."""
        return "tokens" if self.tokens else "samples"

    @property
    def rate(self) -> float:
        """The rate to serve, in :attr:`unit` per second."""
        return self.demand.rate * max(1, self.tokens)

    def __repr__(self) -> str:
        lines = [
            f"  {plan.cpu}: {float(plan.cost.per_million):.3g} USD per million {self.unit}, "
            f"{int(plan.cost.sockets)} {'instances' if plan.rented else 'sockets'}, "
            f"cheapest in {plan.cheapest:.0%}"
            for plan in self.plans
        ]
        head = f"{self.model}: {self.precision}, {self.rate:,g} {self.unit}/s over "
        return "\n".join([f"{head}{self.demand.years:g} years", *lines, *self.excluded])

    def _repr_html_(self) -> str:
        head = ("CPU", "paid", "machines", f"USD per million {self.unit}", "cheapest")
        rows = [
            (
                plan.cpu,
                plan.paid,
                str(int(plan.cost.sockets)),
                significant(float(plan.cost.per_million)),
                percent(plan.cheapest),
            )
            for plan in self.plans
        ]
        return html_table(head, rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python objects for JSON."""
        return {
            "model": self.model,
            "precision": self.precision,
            "rate_per_s": self.demand.rate,
            "unit": self.unit,
            "tokens_per_sample": self.tokens or None,
            "hours_per_month": self.demand.hours_per_month,
            "years": self.demand.years,
            "max_latency_ms": self.max_latency_ms,
            "samples": self.samples,
            "cpus": [plan.to_dict() for plan in self.plans],
            "excluded": list(self.excluded),
        }


def plans(
    workload: Callable[[int], Workload],
    machines: Sequence[Machine],
    found: Sequence[Search],
    demand: Demand,
    inputs: Inputs,
    *,
    given_prices: Mapping[str, float] | None = None,
    fixed: Mapping[str, float] | None = None,
    region: str | None = None,
    samples: int = SAMPLES,
    seed: int = SEED,
) -> Plans:
    """What serving ``demand`` costs on each of ``machines``, cheapest first.

    Args:
        workload: gives the model at a batch, as for :func:`perfmodel.serving.search`.
        found: what a search with the latency limit found on each machine, in their order.
        inputs: prices and rates, with ranges.
        given_prices: of a CPU in USD by id, or of an instance in USD per hour, in place of those
            that are listed; exact.
        fixed: inputs by dotted path in SI that are exact, in place of ``inputs``.
        region: where instances are rented; by default the first that has a price.
        samples, seed: of every figure with a range.

    Raises:
        UnknownName, MachineError: a fixed input that does not exist, or out of its range.
        PerfmodelError: no CPU meets the limit (with the best that each reaches), none has a price,
            or a number of samples that tells nothing.
    """
    ranges.SAMPLES.check("samples", samples)
    price_of, unpriced = prices(machines, given_prices or {}, region)
    priced = [(m, f) for m, f in zip(machines, found, strict=True) if m.id in price_of]
    missed = require_best([result for _, result in priced])
    able = [(m, f) for m, f in priced if f.best is not None]
    exact = {
        f"{PREFIX}{path}" if not path.startswith(PREFIX) else path: value
        for path, value in (fixed or {}).items()
    }
    check_inputs(exact)
    typical = {path: figure.typical for path, figure in inputs.figures().items()} | exact

    any_found = next(result for _, result in able)
    served = any_found.fastest
    drawn = _samples(
        [m for m, _ in able],
        any_found.scenario.loaded,
        inputs,
        set(exact),
        given_prices or {},
        region,
        samples,
        seed,
    )
    tokens = workload(served.batch).tokens
    payments = [
        _Payment(machine, price_of[machine.id], region, demand, max(1, tokens))
        for machine, _ in able
    ]
    sampled = [
        _sampled_cost(workload, result, drawn, payments[index], typical)
        for index, (_, result) in enumerate(able)
    ]
    totals = np.stack([np.broadcast_to(each.total, len(drawn.unit)) for each in sampled], axis=1)
    meets, least = np.isfinite(totals), np.argmin(totals, axis=1)

    rows = []
    for index, (machine, result) in enumerate(able):
        assert result.best is not None
        draw = package_power(result.best)
        finite = np.broadcast_to(sampled[index].per_million, least.shape)[meets[:, index]]
        low, high = np.quantile(finite, QUANTILES).tolist() if len(finite) else (None, None)
        rows.append(
            Plan(
                cpu=machine.id,
                served=replace(result.best, energy_j=float(draw.energy_j)),
                power=draw,
                cost=payments[index].cost(
                    result.best.throughput_fps, draw.package_w, draw.idle_w, {}, typical
                ),
                price=price_of[machine.id],
                region=None if machine.id in (given_prices or {}) else _region(machine, region),
                per_million_low=low,
                per_million_high=high,
                meets=float(np.mean(meets[:, index])),
                # Where no CPU meets the latency, none is the cheapest.
                cheapest=float(np.mean(meets[:, index] & (least == index))),
            )
        )
    return Plans(
        model=served.model,
        precision=served.precision,
        demand=demand,
        max_latency_ms=any_found.max_latency_ms,
        plans=tuple(sorted(rows, key=lambda plan: (float(plan.cost.total), plan.cpu))),
        excluded=(*unpriced, *missed),
        samples=len(drawn.unit),
        drawn=drawn,
        tokens=tokens,
    )


def _region(machine: Machine, region: str | None) -> str | None:
    path = price_path(machine, region)
    return path.rpartition(".")[2] if machine.rental is not None and path is not None else None


@dataclass(frozen=True)
class _Payment:
    """How one machine is paid.

    Attributes:
        price: of one CPU in USD, or of an instance in USD per hour.
        tokens: of one sample.
    """

    machine: Machine
    price: float
    region: str | None
    demand: Demand
    tokens: int

    def cost(
        self,
        throughput_fps: Rate,
        load_w: Rate,
        idle_w: Rate,
        values: Mapping[str, Rate],
        inputs: Mapping[str, Rate],
    ) -> Cost:
        """The cost at this throughput and power, with ``values`` in place of the prices."""
        path = price_path(self.machine, self.region)
        if self.machine.rental is not None:
            price = values.get(path or "", self.price / SECONDS_PER_HOUR)
            return rented_cost(self.demand, throughput_fps, price, inputs, tokens=self.tokens)
        return cost(
            self.demand,
            throughput_fps,
            load_w,
            idle_w,
            values.get(path or "", self.price),
            inputs,
            together=self.machine.sockets,
            tokens=self.tokens,
        )


def _samples(
    machines: Sequence[Machine],
    software: Software,
    inputs: Inputs,
    exact: set[str],
    given_prices: Mapping[str, float],
    region: str | None,
    count: int,
    seed: int,
) -> Samples:
    """Joint samples of what moves latency, power and cost; what machines share is drawn once."""
    wanted = list(unknowns(machines, software))
    wanted += machine_unknowns(machines, lambda path: path.startswith("power."))
    for machine in machines:
        path = price_path(machine, region)
        if machine.id not in given_prices and path is not None:
            wanted += machine_unknowns([machine], path.__eq__)
    common = {**power.figures(), **inputs.figures()}
    wanted += [
        Unknown((path,), figure, (), whole=path == f"{PREFIX}server.sockets")
        for path, figure in common.items()
        if figure.is_range and path not in exact
    ]
    return sample(sorted(wanted, key=lambda u: (u.machines, u.path)), count, seed)


def _sampled_cost(
    workload: Callable[[int], Workload],
    result: Search,
    drawn: Samples,
    payment: _Payment,
    typical: Mapping[str, Rate],
) -> Cost:
    """The cost in each sample: with whichever choice then serves most within the latency."""
    machine = payment.machine
    values = drawn.of(machine.id)
    limit_s = np.inf if result.max_latency_ms is None else result.max_latency_ms / 1e3
    best = np.zeros(len(drawn.unit))
    load_w = np.zeros(len(drawn.unit))
    idle_w: Rate = values.get("power.idle", np.full(len(drawn.unit), machine.power.idle.typical))
    for served in choices(result):
        seconds = _sampled_seconds(workload(served.batch), machine, served, values, result.scenario)
        found = package_power(served, values=values, latency_s=seconds)
        better = (seconds <= limit_s) & (found.throughput_fps > best)
        best = np.where(better, found.throughput_fps, best)
        load_w = np.where(better, found.package_w, load_w)
    own = {path: values.get(path, value) for path, value in typical.items()}
    return payment.cost(best, load_w, idle_w, values, own)


def choices(result: Search) -> list[Result]:
    """A few of what was tried, spread over the latencies around the limit; the best among them.

    None takes longer than :data:`NEAR` times the limit.
    """
    unlimited = replace(result, max_latency_ms=None).frontier
    limit = result.max_latency_ms
    near = [s for s in unlimited if limit is None or s.latency_ms <= NEAR * limit]
    # The lower end is there for samples in which everything is slower.
    picked = np.linspace(0, len(near) - 1, min(CHOICES, len(near))).round().astype(int)
    near = [near[index] for index in picked]
    if result.best is not None and result.best not in near:
        near.append(result.best)
    return near


def _sampled_seconds(
    workload: Workload,
    machine: Machine,
    served: Result,
    values: Mapping[str, FloatArray],
    run: Scenario,
) -> Rate:
    """Latency of one instance in seconds, shape (samples,); as it was, where nothing moves it."""
    own = {
        path: value
        for path, value in instance_values(values, machine, served.partition).items()
        if not path.startswith(("power.", "price.", "rental.", PREFIX, power.PREFIX))
    }
    if not own:
        return served.latency_ms / 1e3
    _, table = prepare(workload, run, machine)
    table = instance_columns(workload, table, machine, served.partition, run.weights)
    milliseconds = latency_variants(
        workload,
        instance(machine, served.partition),
        own,
        on_group(machine, run, served.partition),
        every_core_count=False,
        table=table,
    )
    return milliseconds / 1e3
