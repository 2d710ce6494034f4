from __future__ import annotations

import json
from itertools import pairwise, permutations

import numpy as np
import pytest

from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine, catalogue, load_machine
from perfmodel.mapping import estimate
from perfmodel.mapping.pilots import PILOTS, worth_trying
from perfmodel.mapping.unknowns import Samples, sample
from perfmodel.mapping.variants import latency_variants
from perfmodel.ranking import Ranking, rank
from perfmodel.ranking.sensitivity import influences
from perfmodel.software import catalogue as software_catalogue
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.examples import anywhere
from tests.mapping.test_unknowns import unknown

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


def test_cpus_are_ordered_by_the_median_of_their_latencies(fp32: Ranking) -> None:
    assert set(fp32.cpus) == set(CPUS)
    assert list(fp32.latency_ms) == sorted(fp32.latency_ms)
    for column, cpu in enumerate(fp32.cpus):
        median = np.median(fp32.figures_ms[:, column])
        assert fp32.latency_ms[column] == pytest.approx(float(median))
        assert fp32.typical_ms[column] == estimate(workload(), cpu, "fp32").latency_ms


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("software", software_catalogue())
def test_every_latency_and_ratio_lies_inside_its_own_interval(
    precision: str, software: str
) -> None:
    """Ranges that lie on one side of their typical figure included, as an EPYC's clock does."""
    found = rank(workload(), catalogue(), precision, software=anywhere(software), samples=64)
    columns = (found.latency_low_ms, found.latency_ms, found.latency_high_ms)
    for low, middle, high in zip(*columns, strict=True):
        assert low < middle < high
    for pair in found.pairs:
        assert pair.ratio_low <= pair.ratio <= pair.ratio_high
    document = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    for row in document["cpus"]:
        assert row["latency_low_ms"] < row["latency_ms"] < row["latency_high_ms"]


def test_a_ranking_tries_the_core_counts_that_pilots_want(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every one would take some five times as long."""
    asked = []

    def counted(seconds: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        asked.append(len(seconds))
        return worth_trying(seconds, count)

    monkeypatch.setattr("perfmodel.mapping.variants.worth_trying", counted)
    rank(workload(), CPUS[:2], samples=PILOTS + 1, software="ideal")
    assert sorted(asked) == sorted(int(load_machine(cpu).cores.count.typical) for cpu in CPUS[:2])


def test_samples_are_the_latencies_at_the_figures_that_were_drawn(fp32: Ranking) -> None:
    for column, cpu in enumerate(fp32.cpus):
        values = fp32.samples.of(cpu)
        expected = latency_variants(workload(), cpu, values, "fp32", every_core_count=False)
        np.testing.assert_allclose(fp32.figures_ms[:, column], expected, rtol=1e-12)


def test_of_equal_cpus_the_one_named_first_is_ahead() -> None:
    machine = load_machine("epyc_9654")
    for cpus in ([machine, twin(machine)], [twin(machine), machine]):
        found = rank(workload(), cpus, samples=16, software="ideal")
        assert list(found.cpus) == [cpu.id for cpu in cpus]
        assert found.pair(*found.cpus).model_error == 0.0


def test_a_ratio_is_of_the_slower_over_the_faster() -> None:
    """Twice the clock of everything that a product in the caches waits for, by hand."""
    machine = load_machine("epyc_9654")
    exact = machine.with_values({p: g.typical for p, g in machine.figures().items() if g.is_range})
    half = twin(exact, clock__sustained=f"{exact.clock.sustained.typical / 2} Hz")
    b = Builder()
    b.linear(b.input(8192 * 2048), 8192, 2048, 2048)
    (pair,) = rank(b.workload(), [half, exact], "fp32", samples=16).adjacent
    assert (pair.faster, pair.slower) == ("epyc_9654", "epyc_9654_twin")
    assert pair.ratio == pytest.approx(2, rel=0.01)
    assert pair.probability > 0.9


def test_a_sample_is_the_estimate_at_its_figures() -> None:
    found = rank(workload(), CPUS[:2], "bf16", samples=128)
    for column, cpu in enumerate(found.cpus):
        for index in (0, 63, 127):
            values = {
                path: float(value[index])
                for path, value in found.samples.of(cpu).items()
                if not path.startswith("assumptions.")
            }
            own = {path: values.pop(path) for path in list(values) if path.startswith("software.")}
            machine = load_machine(cpu).with_values(values)
            (exact,) = latency_variants(
                workload(),
                machine,
                {path: np.array([value]) for path, value in own.items()},
                "bf16",
            )
            # The usable share of caches differs too: it is small here.
            assert found.figures_ms[index, column] == pytest.approx(exact, rel=0.1)


def test_descriptions_of_one_chip_differ_by_their_figures_alone() -> None:
    """A twin is as fast; with faster memory it is never the slower one where memory is read."""
    b = Builder()
    b.linear(b.input(16384), 1, 16384, 16384)
    machine = load_machine("epyc_9654")
    faster = twin(machine, memory__transfer_rate="5280 MT/s")
    faster = faster.model_copy(update={"id": "faster"})
    ranking = rank(b.workload(), [machine, twin(machine), faster], "fp32", samples=64)
    equal = ranking.pair("epyc_9654", "epyc_9654_twin")
    assert (equal.probability, equal.ratio_low, equal.ratio_high) == (0.5, 1.0, 1.0)
    assert ranking.cpus[0] == "faster"
    assert ranking.pair("faster", "epyc_9654").probability == 1.0


def test_what_two_cpus_share_cancels() -> None:
    """A twin with one percent more clock is faster whatever the figures, and the formula errs alike
    on both: they are one chip."""
    machine = load_machine("epyc_9654").with_values({"clock.sustained": "3.5 GHz"})
    found = rank(workload(), [machine, twin(machine, clock__sustained="3.53 GHz")], "fp32")
    (pair,) = found.adjacent
    assert pair.faster == "epyc_9654_twin"
    figures = found.figures_ms[:, 1] / found.figures_ms[:, 0]
    assert np.all(figures > 1)
    assert figures.max() / figures.min() < 1.02
    assert pair.verdict == "established"
    interval = found.latency_high_ms[0] / found.latency_low_ms[0]
    assert pair.ratio_high / pair.ratio_low < interval
    assert np.corrcoef(found.log_errors.T)[0, 1] > 0.999


def test_errors_of_two_chips_cancel_as_far_as_those_of_a_microarchitecture_do() -> None:
    machine = load_machine("epyc_9654")
    found = rank(workload(), [machine, twin(machine, cores__count="95")], "fp32")
    assert 0.2 < np.corrcoef(found.log_errors.T)[0, 1] < 0.9


def test_errors_add_what_figures_lack_and_no_more() -> None:
    """The measured error holds that of figures, so the larger of the two is the whole."""
    machine = load_machine("epyc_9654")
    exact = machine.with_values({p: g.typical for p, g in machine.figures().items() if g.is_range})
    found = rank(workload(), [exact, twin(machine, clock__sustained="3 GHz")], "fp32")
    stated = {who.machine: of for who, of in found.machines}
    for column, cpu in enumerate(found.cpus):
        low, high = found.latency_low_ms[column], found.latency_high_ms[column]
        whole = stated[cpu].high / stated[cpu].low
        assert np.log(high / low) == pytest.approx(np.log(whole), rel=0.1)


def test_a_wider_range_never_narrows_an_interval() -> None:
    machine = load_machine("epyc_9654").with_values({"memory.sustained": "0.7"})
    widths = []
    for low, high in ((0.69, 0.71), (0.5, 0.8), (0.1, 0.95), (0.02, 1.0)):
        wide = machine.with_values({"memory.sustained": {"low": low, "typical": 0.7, "high": high}})
        b = Builder()
        b.linear(b.input(65536), 1, 65536, 65536)
        found = rank(b.workload(), [wide, "xeon_8490h"], "fp32", samples=1024)
        index = found.cpus.index(machine.id)
        widths.append(found.latency_high_ms[index] / found.latency_low_ms[index])
    for narrow, wider in pairwise(widths):
        assert wider > narrow * 0.97
    assert widths[-1] > widths[0] * 1.3


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
        (CPUS, 1, "expected 2 to 100,000, found 1"),
        (CPUS, 10**9, "expected 2 to 100,000, found 1e\\+09"),
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


@pytest.mark.parametrize("constant", [5.0, -300.0])
def test_what_is_added_to_every_sample_has_no_influence(constant: float) -> None:
    samples = drawn()
    weights = np.zeros(20)
    weights[[3, 8, 15, 17]] = 3.0, 2.0, 1.5, 1.0
    ratio = (samples.unit - 0.5) @ weights
    before = influences(samples, ratio, ("m", "n"), most=4)
    after = influences(samples, ratio + constant, ("m", "n"), most=4)
    # Every sample's quantiles are strata, but rounding is not the same: shares to six digits.
    assert [i.unknown for i in after] == [i.unknown for i in before]
    assert [i.share for i in after] == pytest.approx([i.share for i in before], abs=1e-6)


def test_what_is_screened_is_what_moves_the_ratio_not_what_its_mean_weighs() -> None:
    """Unknowns whose samples are not centred: a large mean must not bring them to the front."""
    few = sample([unknown(0.0, 0.5, 1.0)] * 20, 64, 11)
    unit = few.unit.copy()
    unit[:, :12] = unit[:, :12] ** 2 / 3  # as samples of a part of their range are
    skewed = Samples(few.unknowns, unit, few.values)
    ratio = 1e4 + unit[:, 17] + 0.5 * unit[:, 19]
    found = influences(skewed, ratio, ("m", "n"), most=2)
    centred = influences(skewed, ratio - ratio.mean(), ("m", "n"), most=2)
    assert [each.unknown for each in found] == [each.unknown for each in centred]
    assert [each.share for each in found] == pytest.approx([each.share for each in centred])
    assert found[0].share > 0.5


def test_a_ratio_that_does_not_vary_has_no_influences() -> None:
    samples = drawn()
    assert influences(samples, np.ones(4096), ("m", "n")) == ()
    assert influences(sample([], 64, 1), np.arange(64.0), ("m", "n")) == ()
    assert influences(samples, samples.unit[:, 0], ("m", "n"))[0].share > 0.95
