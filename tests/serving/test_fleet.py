"""The fewest sockets within limits that hold waiting: laws, closed forms and refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel._text import significant
from perfmodel.certainty import of_run
from perfmodel.certainty.interval import PROVENANCES
from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.scenario import Scenario
from perfmodel.serving import serve
from perfmodel.serving.choices import batches_choices
from perfmodel.serving.fleet import Fleet, Missed, fleets, requests_fleet, text_fleet
from perfmodel.serving.goal import (
    PERCENTILES,
    Goal,
    Timings,
    check_requests,
    check_text,
    check_workload,
    percentile_of,
)
from perfmodel.vocabulary.partition import Partition
from perfmodel.workload.workload import Workload
from tests.builder import Builder

CPU = "epyc_9654"


def network(batch: int) -> Workload:
    build = Builder("network", batch)
    build.linear(build.input(batch * 512), batch, 2048, 512)
    return build.workload()


def prompt(tokens: int) -> Workload:
    build = Builder("text")
    build.linear(build.input(tokens * 1024), tokens, 4096, 1024)
    return replace(build.workload(), phase="prefill", tokens=tokens)


def step(batch: int, context: int) -> Workload:
    build = Builder("text", batch)
    hidden = build.linear(build.input(batch * 1024), batch, 4096, 1024)
    cache = build.tensor(batch * context * 1024, "state")
    build.kernel("attention", "attention", [hidden, cache], gemm=(batch, 1, context, 1024))
    return replace(build.workload(), phase="decode", tokens=1, context=context)


def text(goal: Goal, cpu: str | Machine = CPU, output: int = 16, chunk: int = 64) -> Fleet:
    return text_fleet(
        prompt,
        step,
        cpu,
        goal,
        "fp32",
        prompt=128,
        output=output,
        chunk=chunk,
        batches=(1, 4, 16),
        instances=4,
    )


def of(goal: Goal, cpu: str | Machine = CPU) -> Fleet:
    return requests_fleet(network, cpu, goal, "fp32", batches=(1, 8), cores_per_instance=8)


def alone_s() -> float:
    return serve(network(1), CPU, Partition(12, 8), "fp32").latency_ms / 1e3


@settings(max_examples=10)
@given(st.floats(0.1, 1e7), st.floats(1.1, 50))
def test_a_higher_rate_needs_no_fewer_sockets(rate: float, factor: float) -> None:
    limit = alone_s() * 3
    few, many = (of(Goal(r, latency_s=limit)) for r in (rate, rate * factor))
    assert few.servers <= many.servers
    assert few.servers >= rate / few.most_rate > few.servers - 1
    assert few.rate * few.servers == pytest.approx(rate)


@pytest.mark.parametrize("kind", ["requests", "text"])
def test_a_faster_cpu_needs_no_more_sockets(kind: str) -> None:
    fast = load_machine(CPU)
    slow = fast.with_values({"memory.transfer_rate": fast.memory.transfer_rate.typical / 2})
    goal = Goal(1e6, latency_s=0.01)
    rates = [(of if kind == "requests" else text)(goal, cpu).most_rate for cpu in (slow, fast)]
    assert rates[0] <= rates[1]


@pytest.mark.parametrize("kind", ["requests", "text"])
def test_looser_limits_bear_no_lower_rate(kind: str) -> None:
    find, least_s = (of, alone_s()) if kind == "requests" else (text, 2e-3)
    rates = [find(Goal(latency_s=least_s * factor)).most_rate for factor in (1.2, 2, 5, 100)]
    # A rate is found to one percent.
    assert all(low <= high * 1.01 for low, high in pairwise(rates))
    assert rates[0] < rates[-1]


def test_percentiles_are_ordered_and_within_the_limits() -> None:
    found = text(Goal(ttft_s=0.01, tpot_s=0.001, percentile=95))
    for times in (found.ttft_ms, found.tpot_ms, found.latency_ms):
        assert list(times) == list(PERCENTILES)
        assert list(times.values()) == sorted(times.values())
    assert found.ttft_ms[95] <= 10
    assert found.tpot_ms[95] <= 1
    assert found.tokens_per_s == pytest.approx(16 * found.rate)
    assert 0 < found.load < 1
    assert (found.servers, found.rate) == (1, found.most_rate)
    plain = found.to_dict()
    assert plain["ttft_p95_ms"] == found.ttft_ms[95]
    assert plain["tokens_per_s_per_socket"] == found.tokens_per_s
    requests = of(Goal(latency_s=0.01))
    assert (requests.ttft_ms, requests.tpot_ms, requests.tokens_per_s) == ({}, {}, None)


def test_at_a_low_rate_a_request_takes_what_its_runs_take() -> None:
    found = of(Goal(1e-3, latency_s=1.0))
    alone = serve(network(1), CPU, found.partition, "fp32").latency_ms
    # Arrivals are far apart, so that differences of times lose digits.
    assert found.latency_ms[50] == pytest.approx(alone, rel=1e-4)
    generated = text(Goal(1e-3, ttft_s=1.0), output=3)
    one = [
        serve(work, CPU, generated.partition, "fp32").latency_ms
        for work in (prompt(64), prompt(128), step(1, 129), step(1, 130))
    ]
    assert generated.ttft_ms[50] == pytest.approx(one[0] + max(one[0], one[1] - one[0]), rel=1e-4)
    assert generated.tpot_ms[50] == pytest.approx((one[2] + one[3]) / 2, rel=1e-4)


def test_the_interval_holds_the_rate() -> None:
    found = requests_fleet(
        network, "xeon_8490h", Goal(latency_s=0.01), "int8", batches=(1, 8), cores_per_instance=5
    )
    assert found.most_rate_low is not None
    assert found.most_rate_high is not None
    assert found.most_rate_low < found.most_rate < found.most_rate_high
    assert found.result.interval_coverage == 0.8
    # Were all times at the slow ends of their intervals, not even one alone would be in time.
    alone_ms = serve(network(1), "xeon_8490h", Partition(12, 5), "int8").latency_ms
    tight = requests_fleet(
        network,
        "xeon_8490h",
        Goal(latency_s=alone_ms * 1.01 / 1e3),
        "int8",
        batches=(1, 8),
        cores_per_instance=5,
    )
    assert tight.most_rate_low == 0.0 < tight.most_rate


@pytest.mark.parametrize("precision", ["w8", "int8", "fp32"])
@pytest.mark.parametrize("software", ["llama_cpp", "openvino", "ideal"])
def test_text_says_what_prefill_and_what_decode_rest_on(software: str, precision: str) -> None:
    if (software, precision) == ("llama_cpp", "int8"):
        precision = "w4"
    goal, run = Goal(ttft_s=10, tpot_s=1), Scenario(precision, software=software, instances=4)
    found = text_fleet(
        prompt, step, CPU, goal, run, prompt=128, output=16, chunk=64, batches=(1, 4)
    )
    machine = load_machine(CPU)
    rests = {phase: of_run(machine, run, phase).provenance for phase in ("prefill", "decode")}
    record = found.to_dict()
    assert record["ttft_provenance"] == rests["prefill"]
    assert record["tpot_provenance"] == rests["decode"]
    assert record["provenance"] == max(rests.values(), key=PROVENANCES.index)
    alone = of(Goal(latency_s=1)).to_dict()
    assert "ttft_provenance" not in alone
    assert alone["provenance"] == of_run(machine, Scenario("fp32"), None).provenance


def test_limits_that_no_rate_meets_say_what_is_reached() -> None:
    limit = alone_s() / 2
    reached = significant(alone_s() * 1e3)
    with pytest.raises(Missed) as raised:
        of(Goal(latency_s=limit))
    expected = f"epyc_9654 reaches at best a latency of {reached} ms, of a request alone"
    assert str(raised.value) == expected
    with pytest.raises(
        Missed,
        match=r"^epyc_9654 reaches at best a time to first token of [0-9.]+ "
        r"ms and a time per output token of [0-9.]+ ms, of a request alone$",
    ):
        text(Goal(ttft_s=1e-9, tpot_s=1e-9))


def test_one_cpu_that_misses_leaves_the_others() -> None:
    def find(cpu: str) -> Fleet:
        if cpu == "slow":
            raise Missed("slow misses")
        return of(Goal(10, latency_s=1), cpu)

    found = fleets(["slow", CPU, "xeon_8490h"], find)
    assert {fleet.cpu for fleet in found.fleets} == {CPU, "xeon_8490h"}
    assert found.missed == ("slow misses",)
    one = of(Goal(10, latency_s=1))
    by_name = {
        name: replace(one, cpu=name, servers=servers, most_rate=rate)
        for name, servers, rate in (("many", 2, 9.0), ("few", 1, 5.0), ("fast", 1, 6.0))
    }
    ordered = fleets(list(by_name), by_name.__getitem__)
    assert [fleet.cpu for fleet in ordered.fleets] == ["fast", "few", "many"]
    assert repr(ordered).splitlines()[0] == "Fleets of 3 CPUs"
    first = f"  fast: 1 sockets of {one.partition}, batch {one.batch}, 6.00 requests/s each at most"
    assert repr(ordered).splitlines()[1] == first
    single = fleets(["few"], by_name.__getitem__)
    assert repr(single).splitlines()[0] == "Fleets of 1 CPU"
    assert "<td>5.00</td>" in single._repr_html_().replace(' class="n"', "")
    assert single.to_dict()["requests_simulated"] == 2000
    with pytest.raises(Missed, match="slow misses"):
        fleets(["slow"], find)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"rate": 1.0}, "state a limit"),
        ({"rate": -1.0, "latency_s": 1.0}, "rate: expected"),
        ({"latency_s": float("nan")}, "latency limit: expected"),
        ({"ttft_s": 0.0}, "limit of the time to first token: expected"),
        ({"tpot_s": 1e9}, "limit of the time per output token: expected"),
        ({"tpot_s": 1.0, "percentile": 100.0}, "percentile: expected 1 to 99.9"),
    ],
)
def test_goals_that_mean_nothing_are_refused(asked: dict[str, float], expected: str) -> None:
    with pytest.raises(PerfmodelError, match=expected):
        Goal(**asked)


def test_what_a_limit_never_cuts_off_is_what_is_borne_at_most() -> None:
    """Under an hour for each request, a rate is only bound by what runs can do, to one percent."""
    goal = Goal(latency_s=3600.0)
    found = requests_fleet(
        network, "xeon_8490h", goal, "int8", batches=(1, 8), cores_per_instance=5
    )
    one, eight = (serve(network(b), "xeon_8490h", Partition(12, 5), "int8") for b in (1, 8))
    assert found.batch == 8
    # Batches between take times between.
    line = np.interp(np.arange(1, 9), [1, 8], [one.latency_ms, eight.latency_ms])
    capacity = 12 * float(np.max(np.arange(1, 9) * 1e3 / line))
    assert found.most_rate == pytest.approx(0.99 * capacity)
    assert found.load == pytest.approx(0.99)
    assert eight.ends is not None
    assert found.most_rate_high == pytest.approx(0.99 * capacity / eight.ends[0])
    assert found.most_rate_low == pytest.approx(0.99 * capacity / eight.ends[1])


def test_a_rate_is_found_to_one_percent() -> None:
    machine, run = load_machine(CPU), Scenario("fp32", cores_per_instance=8)
    goal = Goal(latency_s=alone_s() * 2)
    found = of(goal)
    (choice,) = (
        each
        for each in batches_choices(network, machine, run, (1, 8))[0]
        if each.batch == found.batch
    )
    assert goal.met(choice.timings(found.most_rate, 1.0, 1.0))
    assert not goal.met(choice.timings(found.most_rate * 1.0101, 1.0, 1.0))


def test_less_than_one_request_per_second_is_a_rate() -> None:
    """Sixty thousand million operations, forty times over, on one core."""

    def heavy(batch: int) -> Workload:
        build = Builder("heavy", batch)
        x = build.input(batch * 8192 * 8192)
        for _ in range(8):
            x = build.linear(x, batch * 8192, 8192, 8192)
        return build.workload()

    found = requests_fleet(
        heavy, "xeon_8490h", Goal(latency_s=3600.0), "fp32", batches=(1,), instances=1,
        cores_per_instance=1,
    )  # fmt: skip
    assert found.most_rate_low is not None
    assert found.most_rate_high is not None
    assert 0 < found.most_rate_low < found.most_rate < found.most_rate_high < 1


def test_servers_of_two_sockets_bear_about_twice_the_rate() -> None:
    """Twice the instances share one line, and form other batches than two lines would."""
    goal = Goal(1e6, latency_s=alone_s() * 3)
    one, two = (of(goal, load_machine(CPU, sockets=n)) for n in (1, 2))
    assert two.partition == Partition(24, 8)
    assert two.most_rate > 1.9 * one.most_rate
    assert (two.sockets, two.unit) == (2 * two.servers, "server")
    assert one.sockets == one.servers
    plain = two.to_dict()
    assert plain["requests_per_s_per_socket"] * plain["sockets"] == pytest.approx(1e6)
    assert plain["most_requests_per_s_per_socket"] == pytest.approx(two.most_rate / 2)
    assert plain["tokens_per_s_per_socket"] is None


def test_a_limit_that_is_just_met_is_met() -> None:
    times = Timings(np.array([5.0, 4.0]), np.array([2.0, 1.0]), np.array([1.5, 1.0]))
    assert Goal(latency_s=5.0, ttft_s=2.0, tpot_s=1.5).met(times)
    for limits in ({"latency_s": 4.9}, {"ttft_s": 1.9}, {"tpot_s": 1.4}):
        assert not Goal(**limits).met(times)
    assert [percentile_of(np.arange(1.0, 102.0), each) for each in (1, 50, 99)] == [2, 51, 100]
    assert percentile_of(np.array([1.0, 2.0, 3.0]), 60) == 3
    scaled = times.scaled(2.0, 10.0)
    assert scaled.latency.tolist() == [34.0, 32.0]
    assert scaled.ttft.tolist() == [4.0, 2.0]
    assert scaled.tpot.tolist() == [15.0, 10.0]


def test_what_no_service_is_is_refused() -> None:
    plain = Goal(latency_s=1.0)
    check_requests(plain, None, "net")
    first, each = replace(plain, ttft_s=1.0), replace(plain, tpot_s=1.0)
    for goal, chunk in ((first, None), (each, None), (plain, 5)):
        with pytest.raises(PerfmodelError, match="net: say how many tokens a request generates"):
            check_requests(goal, chunk, "net")
    check_workload(network(1))
    with pytest.raises(PerfmodelError, match="text generates text: say how many"):
        check_workload(step(1, 5))
    timed = Goal(tpot_s=1.0)
    check_text(timed, Scenario(), 2)
    check_text(plain, Scenario(), 1)
    for asked in ({"phase": "decode"}, {"context": 5}, {"phase": "decode", "context": 5}):
        with pytest.raises(PerfmodelError, match="leave --phase and --context out"):
            check_text(timed, Scenario(**asked), 2)
    with pytest.raises(PerfmodelError, match="no time per output token"):
        check_text(timed, Scenario(), 1)
