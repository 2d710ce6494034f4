"""Waiting: recursions against a discrete-event simulation on SimPy, and against closed forms."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from perfmodel.mapping.roofline import FloatArray
from perfmodel.serving.queueing import Steps, _until, batched, generated, poisson_arrivals

TIME = st.floats(0.01, 2.0)
ARRIVALS = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=40).map(np.cumsum)


def simulated_batches(arrivals: FloatArray, servers: int, seconds: Sequence[float]) -> FloatArray:
    """The same line of requests, event by event."""
    env = simpy.Environment()
    line: Any = simpy.Store(env)
    ends = np.zeros(len(arrivals))

    def source() -> Generator[Any, Any, None]:
        for number, at in enumerate(arrivals):
            yield env.timeout(at - env.now)
            yield line.put(number)

    def server() -> Generator[Any, Any, None]:
        while True:
            taken = [(yield line.get())]
            while line.items and len(taken) < len(seconds):
                taken.append((yield line.get()))
            yield env.timeout(seconds[len(taken) - 1])
            ends[taken] = env.now

    env.process(source())
    for _ in range(servers):
        env.process(server())
    env.run()
    return ends - arrivals


def simulated_text(
    arrivals: FloatArray, steps: Steps, output: int, most: int
) -> tuple[FloatArray, FloatArray]:
    """The same instance, step by step: time to first token, and time per token after it."""
    env = simpy.Environment()
    total = len(arrivals)
    first, end = np.zeros(total), np.zeros(total)
    line: list[int] = []
    woken = env.event()

    def source() -> Generator[Any, Any, None]:
        for number, at in enumerate(arrivals):
            yield env.timeout(at - env.now)
            line.append(number)
            if not woken.triggered:
                woken.succeed()

    def instance() -> Generator[Any, Any, None]:
        nonlocal woken
        running: dict[int, int] = {}
        prompt, part, finished = -1, 0, 0
        while finished < total:
            if prompt < 0 and line and len(running) < most:
                prompt, part = line.pop(0), 0
            if prompt < 0 and not running:
                woken = env.event()
                yield woken
                continue
            batch, seconds = len(running), 0.0
            if batch:
                gained = float(np.mean(list(running.values())))
                seconds += steps.decode[batch - 1] + steps.growth[batch - 1] * gained
            if prompt >= 0:
                seconds += steps.chunks[part]
                part += 1
            yield env.timeout(seconds)
            running = {request: gained + 1 for request, gained in running.items()}
            for request in [r for r, gained in running.items() if gained == output - 1]:
                del running[request]
                end[request], finished = env.now, finished + 1
            if prompt >= 0 and part == len(steps.chunks):
                first[prompt] = env.now
                if output == 1:
                    end[prompt], finished = env.now, finished + 1
                else:
                    running[prompt] = 0
                prompt = -1

    env.process(source())
    env.process(instance())
    env.run()
    return first - arrivals, (end - first) / max(1, output - 1)


@settings(max_examples=100)
@given(ARRIVALS, st.integers(1, 4), st.lists(TIME, min_size=1, max_size=6).map(sorted))
def test_batches_are_those_of_a_simulation(
    arrivals: FloatArray, servers: int, seconds: list[float]
) -> None:
    expected = simulated_batches(arrivals, servers, seconds)
    # Two servers that are free at once, or a request at the end of a batch, are a tie.
    if len(np.unique(arrivals)) == len(arrivals):
        assert batched(arrivals, servers, seconds) == pytest.approx(expected, abs=1e-9)


@settings(max_examples=100)
@given(
    ARRIVALS,
    st.lists(TIME, min_size=1, max_size=3),
    st.lists(st.tuples(TIME, st.floats(0, 0.1)), min_size=1, max_size=5),
    st.integers(1, 12),
)
def test_generated_text_is_that_of_a_simulation(
    arrivals: FloatArray, chunks: list[float], decode: list[tuple[float, float]], output: int
) -> None:
    steps = Steps(tuple(chunks), *zip(*decode, strict=True))
    found = generated(arrivals, steps, output, len(decode))
    ttft, tpot = simulated_text(arrivals, steps, output, len(decode))
    assert found.ttft == pytest.approx(ttft, abs=1e-7)
    assert found.tpot == pytest.approx(tpot, abs=1e-7)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_one_server_waits_as_long_as_m_d_1(load: float) -> None:
    # Pollaczek and Khinchine: the mean wait is load / (2 (1 - load)) of a service.
    latency = batched(poisson_arrivals(400_000, seed=1) / load, 1, [1.0])
    assert latency.mean() - 1 == pytest.approx(load / (2 * (1 - load)), rel=0.04)


def test_waiting_grows_without_bound_as_the_rate_nears_what_is_borne() -> None:
    waits = [
        (batched(poisson_arrivals(100_000, seed=1) / load, 4, [4.0]) - 4.0).mean()
        for load in (0.5, 0.9, 0.99, 0.999)
    ]
    assert waits == sorted(waits)
    assert waits[0] < 0.5
    assert waits[-1] > 20


def test_a_request_alone_is_the_sum_of_its_steps() -> None:
    steps = Steps((0.2, 0.3), (0.05,), (0.001,))
    found = generated(np.array([7.0]), steps, 5, 1)
    assert found.ttft == pytest.approx([0.5])
    assert found.tpot == pytest.approx([0.05 + 0.001 * 1.5])


def test_prompts_delay_who_generates_already() -> None:
    steps = Steps((1.0,), (0.1, 0.1), (0.0, 0.0))
    found = generated(np.array([0.0, 1.05]), steps, 11, 2)
    # The second prompt takes a step of 1.1 s, of which the first request has one token.
    assert found.tpot[0] == pytest.approx((9 * 0.1 + 1.1) / 10)


@settings(max_examples=100)
@given(st.lists(TIME, min_size=1, max_size=3), st.lists(TIME, min_size=1, max_size=4))
def test_nothing_is_served_faster_than_what_is_borne(
    chunks: list[float], decode: list[float]
) -> None:
    # Sequences at once share a step, so that one more never takes longer for each.
    most = len(decode)
    each = np.minimum.accumulate(np.array(decode))
    steps = Steps(tuple(chunks), tuple(np.arange(1, most + 1) * each), (0.0,) * most)
    arrivals = np.zeros(200)
    found = generated(arrivals, steps, 6, most)
    ends = found.ttft + 5 * found.tpot
    assert len(arrivals) / ends.max() <= steps.capacity(6, most) * (1 + 1e-9)


def test_who_arrives_as_a_batch_begins_is_in_it() -> None:
    """Three at once: two are a batch, and the third waits for the server."""
    found = batched(np.array([-1.0, -1.0, -1.0]), 1, [1.0, 1.5])
    assert found == pytest.approx([1.5, 1.5, 2.5])
    generated_at_once = generated(np.full(2, -3.0), Steps((0.5,), (0.1, 0.1), (0, 0)), 1, 2)
    assert generated_at_once.ttft == pytest.approx([0.5, 1.0])


@pytest.mark.parametrize(
    ("output", "most", "expected"),
    [
        (1, 1, 0.5),
        (2, 1, 0.5 + 0.05),
        (2, 2, 0.5 + 0.08 / 2),
        # Four steps: 0.08, 0.082, 0.084 and 0.086.
        (5, 2, 0.5 + 0.332 / 2),
    ],
)
def test_what_is_borne_at_most_by_hand(output: int, most: int, expected: float) -> None:
    steps = Steps((0.2, 0.3), (0.05, 0.08), (0.001, 0.002))
    assert steps.capacity(output, most) == pytest.approx(1 / expected)


@given(TIME, st.floats(0, 0.1), st.integers(1, 30), st.floats(0.001, 60))
def test_steps_until_a_time_are_the_fewest_that_reach_it(
    each: float, growth: float, most: int, seconds: float
) -> None:
    ends = np.cumsum(each + growth * np.arange(most))
    expected = min(int(np.searchsorted(ends, seconds)) + 1, most)
    # A time at the very end of a step is a tie of rounding errors.
    if np.min(np.abs(ends - seconds)) > 1e-9:
        assert _until(seconds, each, growth, most) == expected


def test_steps_take_factors_of_their_kind() -> None:
    steps = Steps((1.0, 2.0), (3.0,), (4.0,)).scaled(10, 100)
    assert steps == Steps((10.0, 20.0), (300.0,), (400.0,))
