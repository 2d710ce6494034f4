"""Ways to run a socket: what requests meet is what the lines of docs/serving.md make of runs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.roofline import FloatArray
from perfmodel.scenario import Scenario
from perfmodel.serving import Partition, partitions, serve
from perfmodel.serving.choices import Choice, _factors, batches_choices, text_choices
from perfmodel.serving.goal import Timings
from perfmodel.serving.queueing import Steps, batched, generated, poisson_arrivals
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.serving.test_fleet import network, prompt
from tests.serving.test_fleet import step as light

CPU, RUN = "epyc_9654", Scenario("fp32", instances=4)
DIVISION = Partition(4, 24)
BATCHES = (1, 4, 16)


def step(batch: int, context: int) -> Workload:
    """One step of generation that reads a mebibyte for each token of each sequence."""
    b = Builder("text", batch)
    hidden = b.linear(b.input(batch * 1024), batch, 4096, 1024)
    cache = b.tensor(batch * context * 2**18, "state")
    b.kernel("attention", "attention", [hidden, cache], gemm=(batch, 1, context, 2**18))
    return replace(b.workload(), phase="decode", tokens=1, context=context)


def arrivals(rate: float) -> FloatArray:
    """2,200 requests of seed 0: every figure that was written down is of these."""
    return poisson_arrivals(2200, 0) / rate


def seconds(workload: Workload) -> float:
    return serve(workload, CPU, DIVISION, "fp32").latency_ms / 1e3


def machine_for(*works: Workload) -> Machine:
    """One with no more memory than four instances of these need."""
    needs = [serve(work, CPU, DIVISION, "fp32").memory for work in works]
    most = max(need.total for need in needs if need is not None)
    return load_machine(CPU).with_values({"memory.capacity": float(most)})


def text(output: int, machine: Machine | None = None, chunk: int = 50) -> list[Choice]:
    found, full = text_choices(
        prompt, step, machine or load_machine(CPU), RUN, BATCHES,
        prompt=128, output=output, chunk=chunk,
    )  # fmt: skip
    assert bool(full) == (machine is not None)
    return found


def steps(output: int) -> Steps:
    """By hand: three parts of a prompt, and steps whose times lie on lines between batches."""
    parts = {length: seconds(prompt(length)) for length in (28, 50, 100, 128)}
    chunks = (
        parts[50],
        max(parts[50], parts[100] - parts[50]),
        max(parts[28], parts[128] - parts[100]),
    )
    sizes, last = np.arange(1, 17), 128 + max(output - 1, 1)
    begin, end = (
        np.interp(sizes, BATCHES, [seconds(step(batch, context)) for batch in BATCHES])
        for context in (129, last)
    )
    growth = (end - begin) / (output - 2) if output > 2 else np.zeros(16)
    return Steps(chunks, tuple(begin), tuple(growth))


def same(found: Timings, ttft: FloatArray, tpot: FloatArray, output: int) -> None:
    assert found.ttft == pytest.approx(ttft)
    assert found.tpot == pytest.approx(tpot)
    assert found.latency == pytest.approx(ttft + tpot * (output - 1))


def test_requests_meet_the_line_of_a_socket() -> None:
    found, full = batches_choices(network, load_machine(CPU), RUN, (1, 8))
    assert [(each.partition, each.batch) for each in found] == [(DIVISION, 1), (DIVISION, 8)]
    assert not full
    times = [seconds(network(1)), seconds(network(8))]
    for choice, most in zip(found, (1, 8), strict=True):
        line = np.interp(np.arange(1, most + 1), (1, 8), times)
        assert choice.capacity == pytest.approx(4 * np.max(np.arange(1, most + 1) / line))
        for rate, factor in ((choice.capacity / 2, 1.0), (choice.capacity / 3, 2.0)):
            latency = batched(arrivals(rate), 4, list(line * factor))[200:]
            timings = choice.timings(rate, factor, 9.0)
            assert timings.latency == pytest.approx(latency)
            assert not np.any(timings.ttft) | np.any(timings.tpot)
        assert choice.alone.latency == pytest.approx(np.array(times[:1]))
        assert choice.alone.latency.shape == choice.alone.ttft.shape == (1,)


@pytest.mark.parametrize("output", [1, 2, 3, 16])
def test_text_is_generated_in_the_steps_of_an_instance(output: int) -> None:
    expected = steps(output)
    assert expected.growth[-1] > 0 or output < 3
    for choice, most in zip(text(output), BATCHES, strict=True):
        assert (choice.partition, choice.batch) == (DIVISION, most)
        assert choice.capacity == pytest.approx(4 * expected.capacity(output, most))
        assert choice.result.phase == f"decode at context {128 + max(output - 1, 1)}"
        rate = choice.capacity / 2
        for first, second in ((1.0, 1.0), (0.5, 1.5)):
            made = generated(arrivals(rate / 4), expected.scaled(first, second), output, most)
            same(choice.timings(rate, first, second), made.ttft[200:], made.tpot[200:], output)
        alone = generated(np.zeros(1), expected, output, 1)
        same(choice.alone, alone.ttft, alone.tpot, output)


def test_steps_that_shrink_with_the_context_are_taken_as_equal() -> None:
    found, _ = text_choices(
        prompt, lambda batch, context: step(batch, 1000 - context), load_machine(CPU), RUN, (1,),
        prompt=128, output=16, chunk=128,
    )  # fmt: skip
    chunk, each = seconds(prompt(128)), seconds(step(1, 1000 - 129))
    same(found[0].alone, np.array([chunk]), np.array([each]), 16)


def test_a_division_has_the_batches_that_its_memory_holds() -> None:
    """Four instances: one sequence of each fits, or four, but not sixteen."""
    found = text(16, machine_for(step(4, 143), prompt(128)))
    assert [each.batch for each in found] == [1, 4]
    for few, whole in zip(found, text(16), strict=False):
        assert few.capacity == pytest.approx(whole.capacity)
        assert few.alone.latency == pytest.approx(whole.alone.latency)


def test_every_division_without_room_is_told() -> None:
    work = network(1)
    machine, auto = machine_for(work), Scenario("fp32", instances="auto")
    more = [each for each in partitions(machine) if each.instances > 4]
    for choices, full in (
        batches_choices(network, machine, auto, (1,)),
        text_choices(
            lambda _: work,
            lambda *_: work,
            machine,
            Scenario("fp32", instances="auto"),
            (1,),
            prompt=1,
            output=1,
            chunk=1,
        ),
    ):
        assert [each.partition.instances for each in choices] == [1, 2, 3, 4]
        assert len(full) == len(more)


def test_a_division_without_room_for_a_prompt_leaves_the_others() -> None:
    """Sixteen instances have room to generate, and four to read the prompt, too."""
    choices, full = text_choices(
        prompt, light, machine_for(prompt(128)), Scenario("fp32", instances="auto"), (1,),
        prompt=128, output=4, chunk=64,
    )  # fmt: skip
    assert [each.partition.instances for each in choices] == [1, 2, 3, 4]
    assert full


def test_factors_are_of_the_ends_of_both_intervals() -> None:
    first, second = (
        serve(network(batch), "xeon_8490h", Partition(12, 5), precision)
        for batch, precision in ((1, "int8"), (8, "fp32"))
    )
    slower, faster = _factors(first, second)
    for number, result in enumerate((first, second)):
        assert slower is not None
        assert faster is not None
        assert slower[number] == pytest.approx(result.latency_high_ms / result.latency_ms)
        assert faster[number] == pytest.approx(result.latency_low_ms / result.latency_ms)
        assert faster[number] < 1 < slower[number]
    bound = replace(first, certainty=None)
    assert _factors(bound, second) == _factors(second, bound) == (None, None)
