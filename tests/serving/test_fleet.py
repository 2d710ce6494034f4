"""The fewest sockets within limits that hold waiting: laws, closed forms and refusals."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.certainty import of_run
from perfmodel.certainty.interval import PROVENANCES
from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.scenario import Scenario
from perfmodel.serving import serve
from perfmodel.serving.fleet import Fleet, Missed, fleets, requests_fleet, text_fleet
from perfmodel.serving.goal import PERCENTILES, Goal
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
    assert few.sockets <= many.sockets
    assert few.sockets >= rate / few.most_rate
    assert few.rate * few.sockets == pytest.approx(rate)


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
    with pytest.raises(Missed, match=r"epyc_9654 reaches at best a latency of .* alone"):
        of(Goal(latency_s=limit))
    with pytest.raises(Missed, match=r"time to first token of .* and a time per output token of"):
        text(Goal(ttft_s=1e-9, tpot_s=1e-9))


def test_one_cpu_that_misses_leaves_the_others() -> None:
    def find(cpu: str) -> Fleet:
        if cpu == "slow":
            raise Missed("slow misses")
        return of(Goal(10, latency_s=1), cpu)

    found = fleets(["slow", CPU, "xeon_8490h"], find)
    assert {fleet.cpu for fleet in found.fleets} == {CPU, "xeon_8490h"}
    assert found.missed == ("slow misses",)
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
