from __future__ import annotations

import json
from itertools import permutations

import numpy as np
import pytest

from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping import estimate
from perfmodel.ranking import Ranking, rank
from perfmodel.ranking.sensitivity import influences
from perfmodel.ranking.unknowns import Samples, sample
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.ranking.test_unknowns import unknown

CPUS = ("xeon_8490h", "epyc_9654", "ampereone_192")


def workload() -> Workload:
    b = Builder()
    x = b.input(197 * 1024)
    for n, k in ((3072, 1024), (1024, 3072), (4096, 1024)):
        x = b.linear(x, 197, n, k)
    return b.workload()


@pytest.fixture(scope="module")
def fp32() -> Ranking:
    return rank(workload(), CPUS, "fp32", samples=512)


def twin(machine: Machine, **values: str) -> Machine:
    changes = {path.replace("__", "."): value for path, value in values.items()}
    return machine.with_values(changes).model_copy(update={"id": f"{machine.id}_twin"})


def test_probabilities_of_ranks_add_up(fp32: Ranking) -> None:
    assert fp32.rank_probability.sum(axis=0) == pytest.approx(1)
    assert fp32.rank_probability.sum(axis=1) == pytest.approx(1)


def test_cpus_are_ordered_by_the_latency_at_typical_figures(fp32: Ranking) -> None:
    typical = {cpu: estimate(workload(), cpu, "fp32").latency_ms for cpu in CPUS}
    assert list(fp32.cpus) == sorted(CPUS, key=lambda cpu: typical[cpu])
    assert fp32.latency_ms == tuple(typical[cpu] for cpu in fp32.cpus)
    for low, high in zip(fp32.latency_low_ms, fp32.latency_high_ms, strict=True):
        assert low < high


def test_a_sample_is_the_estimate_at_its_figures() -> None:
    found = rank(workload(), CPUS[:2], "bf16", samples=128)
    for column, cpu in enumerate(found.cpus):
        for index in (0, 63, 127):
            values = {
                path: float(value[index])
                for path, value in found.samples.of(cpu).items()
                if not path.startswith("assumptions.")
            }
            one = estimate(workload(), load_machine(cpu).with_values(values), "bf16")
            # Dispatch and usable cache differ too: they are small here.
            assert found.sampled_ms[index, column] == pytest.approx(one.latency_ms, rel=0.1)


def test_what_two_cpus_share_cancels() -> None:
    """A twin with one percent more clock is faster in every sample, wide ranges or not."""
    machine = load_machine("epyc_9654").with_values({"clock.sustained": "3.5 GHz"})
    found = rank(workload(), [machine, twin(machine, clock__sustained="3.53 GHz")], "fp32")
    (pair,) = found.adjacent
    assert pair.faster == "epyc_9654_twin"
    assert pair.probability == 1
    assert pair.verdict == "established"
    assert pair.ratio_high / pair.ratio_low < 1.02
    interval = found.latency_high_ms[0] / found.latency_low_ms[0]
    assert interval > 1.05


def test_a_toss_up_is_leaning() -> None:
    machine = load_machine("epyc_9654").with_values({"clock.sustained": "3.5 GHz"})
    # The same efficiencies from another source are other unknowns.
    other = twin(machine)
    figures = {
        path: figure
        for path, figure in machine.figures().items()
        if ".efficiency." in path and figure.is_range
    }
    independent = other.with_values(
        {path: {"low": f.low, "typical": f.typical, "high": f.high} for path, f in figures.items()}
    )
    (pair,) = rank(workload(), [machine, independent], "fp32").adjacent
    assert 0.4 < pair.probability < 0.6
    assert pair.verdict == "leaning"


def test_a_clear_lead_is_established() -> None:
    machine = load_machine("epyc_9654")
    half = twin(machine, cores__count="48")
    (pair,) = rank(workload(), [machine, half], "fp32", samples=256).adjacent
    assert (pair.faster, pair.verdict) == ("epyc_9654", "established")


def test_order_probability_is_at_most_that_of_its_pairs(fp32: Ranking) -> None:
    whole = fp32.order_probability(fp32.cpus)
    assert whole <= min(pair.probability for pair in fp32.adjacent)
    every = sum(fp32.order_probability(order) for order in permutations(fp32.cpus))
    assert every == pytest.approx(1)


def test_leading_probability_sums_over_what_follows(fp32: Ranking) -> None:
    for place, leader in enumerate(fp32.cpus):
        first = fp32.leading_probability([leader])
        assert first == pytest.approx(fp32.rank_probability[place, 0])
        rest = [cpu for cpu in fp32.cpus if cpu != leader]
        split = sum(fp32.leading_probability([leader, second]) for second in rest)
        assert split == pytest.approx(first)
    assert fp32.leading_probability(fp32.cpus) == fp32.order_probability(fp32.cpus)


def test_the_same_seed_gives_the_same_ranking(fp32: Ranking) -> None:
    assert rank(workload(), CPUS, "fp32", samples=512).to_dict() == fp32.to_dict()


def test_the_result_is_plain_json(fp32: Ranking) -> None:
    document = json.loads(json.dumps(fp32.to_dict(), allow_nan=False))
    assert [row["cpu"] for row in document["cpus"]] == list(fp32.cpus)
    assert len(document["pairs"]) == 3
    assert all(0 <= pair["probability"] <= 1 for pair in document["pairs"])


@pytest.mark.parametrize(
    ("cpus", "samples", "message"),
    [
        (["epyc_9654"], 64, "two or more"),
        (["epyc_9654", "epyc_9654"], 64, "different CPUs"),
        (CPUS, 1, "at least 2"),
    ],
)
def test_bad_requests_are_refused(cpus: list[str], samples: int, message: str) -> None:
    with pytest.raises(PerfmodelError, match=message):
        rank(workload(), cpus, samples=samples)


def drawn(count: int = 20) -> Samples:
    return sample([unknown(0.0, 0.5, 1.0)] * count, 4096, 11)


def test_influences_are_the_shares_of_variance_of_a_sum() -> None:
    samples = drawn()
    weights = np.zeros(20)
    weights[[3, 8, 15]] = 3.0, 2.0, 1.0
    ratio = (samples.unit - 0.5) @ weights
    found = influences(samples, ratio, ("m", "n"))
    assert [i.share for i in found] == pytest.approx([9 / 14, 4 / 14, 1 / 14], abs=0.03)


def test_a_ratio_that_does_not_vary_has_no_influences() -> None:
    samples = drawn()
    assert influences(samples, np.ones(4096), ("m", "n")) == ()
    assert influences(samples, samples.unit[:, 0], ("m", "n"))[0].share > 0.95
