"""Waiting: requests that arrive at random, and how long each takes from its arrival to its end.

Arrivals are drawn before anything is served, so no calendar of events is needed: what happens next
follows from the last state alone (D. Lindley, The Theory of Queues with a Single Server, 1952; J.
Kiefer and J. Wolfowitz, On the Theory of Queues with Many Servers, 1955). The tests hold both
recursions against a discrete-event simulation on SimPy, and one server against M/D/1.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from perfmodel.mapping.roofline import FloatArray


def poisson_arrivals(count: int, seed: int) -> FloatArray:
    """Return arrival times of a Poisson process of one request per second, shape (count,).

    Divided by a rate they are those of that rate: of two rates, the same requests come, closer.
    """
    gaps = np.random.default_rng(seed).exponential(size=count)
    arrivals: FloatArray = np.cumsum(gaps)
    return arrivals


def batched(arrivals: FloatArray, servers: int, seconds: Sequence[float]) -> FloatArray:
    """Return seconds from arrival to end of each request, shape of ``arrivals``.

    Requests wait in one line, in order. A server that is free takes all that wait, up to
    ``len(seconds)``, and none waits for a batch to fill.

    Args:
        arrivals: in seconds, ascending.
        servers: that work side by side.
        seconds: ``seconds[b - 1]`` is how long a batch of b takes.
    """
    times = arrivals.tolist()
    total, most = len(times), len(seconds)
    free = [-math.inf] * servers
    ends = np.empty(total)
    first = 0
    while first < total:
        start = max(free[0], times[first])
        last = first
        while last < total and last - first < most and times[last] <= start:
            last += 1
        end = start + seconds[last - first - 1]
        heapq.heapreplace(free, end)
        ends[first:last] = end
        first = last
    return ends - arrivals


@dataclass(frozen=True)
class Steps:
    """How long the steps of one instance take that generates text.

    Attributes:
        chunks: seconds of each part of a prompt, in order.
        decode: ``decode[b - 1]``, seconds in which b sequences gain the first token after a prompt.
        growth: ``growth[b - 1]``, seconds by which that is longer for each token they have gained,
            on average.
    """

    chunks: tuple[float, ...]
    decode: tuple[float, ...]
    growth: tuple[float, ...]

    def scaled(self, prefill: float, decode: float) -> Steps:
        """Return the steps with prompts and tokens taking so many times as long."""
        return Steps(
            tuple(seconds * prefill for seconds in self.chunks),
            tuple(seconds * decode for seconds in self.decode),
            tuple(seconds * decode for seconds in self.growth),
        )

    def capacity(self, output: int, most: int) -> float:
        """Return requests per second that no more than can be served.

        Args:
            output: tokens of each request.
            most: sequences at once.
        """
        # Of one output token there is no step, whatever it would take.
        longest = self.decode[most - 1] + self.growth[most - 1] * (output - 2) / 2
        return 1 / (sum(self.chunks) + (output - 1) * longest / most)


@dataclass(frozen=True)
class Generated:
    """What each of N requests met.

    Attributes:
        ttft: seconds from arrival to the first token, shape (N,).
        tpot: mean seconds per token after the first, shape (N,); 0 where there is no other.
    """

    ttft: FloatArray
    tpot: FloatArray


def generated(arrivals: FloatArray, steps: Steps, output: int, most: int) -> Generated:
    """Return how long requests wait for tokens under continuous batching with chunked prefill.

    Every step, each running sequence gains a token, and one part of the oldest waiting prompt is
    processed beside them; the seconds of both add up. A request starts when fewer than ``most``
    others run (G.-I. Yu et al., Orca, OSDI 2022; A. Agrawal et al., Sarathi-Serve, OSDI 2024).

    Args:
        arrivals: in seconds, ascending, shape (N,).
        output: tokens of each request, at least 1. The prompt's last part makes the first.
        most: sequences that run at once, no more than ``steps.decode`` has.
    """
    times = arrivals.tolist()
    total = len(times)
    first, end = np.empty(total), np.empty(total)
    running: deque[tuple[int, int]] = deque()  # request, and the step count when it began
    prompt: int | None = None  # the request whose prompt is processed
    left: deque[float] = deque()  # seconds of its parts
    step = 0
    begun, waiting, finished, now = 0, 0, 0, -math.inf
    while finished < total:
        if prompt is None and waiting < total and times[waiting] <= now and len(running) < most:
            prompt, waiting = waiting, waiting + 1
            left.extend(steps.chunks)
        batch = len(running)
        if prompt is None and not batch:
            now = times[waiting]
            continue
        if batch:
            each, growth = steps.decode[batch - 1], steps.growth[batch - 1]
            mean, count = step - begun / batch, 1
            if prompt is None:
                count = running[0][1] + output - 1 - step
                if waiting < total and batch < most:
                    count = _until(times[waiting] - now, each + growth * mean, growth, count)
            now += count * (each + growth * (mean + (count - 1) / 2))
            step += count
        if prompt is not None:
            now += left.popleft()
        while running and step - running[0][1] == output - 1:
            request, since = running.popleft()
            begun -= since
            end[request] = now
            finished += 1
        if prompt is not None and not left:
            first[prompt] = now
            if output == 1:
                end[prompt] = now
                finished += 1
            else:
                running.append((prompt, step))
                begun += step
            prompt = None
    return Generated(first - arrivals, (end - first) / max(1, output - 1))


def _until(seconds: float, each: float, growth: float, most: int) -> int:
    """Steps, at least 1 and at most ``most``, after which ``seconds`` have passed.

    The first takes ``each`` seconds, and every other ``growth`` more than the one before.
    """

    def passed(count: int) -> float:
        return count * (each + growth * (count - 1) / 2)

    return bisect_left(range(1, most), seconds, key=passed) + 1
