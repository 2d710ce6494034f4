"""Whether stated certainty comes true: intervals and orders, on machines that were left out.

Each point is judged by a prediction that did not see its machine (or its model), and by an error
model of its software, and a factor on all intervals, that did not either; of a pair, neither
machine. What is drawn from all software of a kind is not fitted anew for each: it is a few numbers
from many points.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, pairwise
from typing import Final

import numpy as np

from perfmodel.certainty.error_model import COVERAGE, NORMAL, ErrorModel, Errors, error_model
from perfmodel.certainty.interval import Interval, interval
from perfmodel.certainty.orders import Verdict, probability, verdict
from perfmodel.evidence.error_model import fitted, known_machine
from perfmodel.evidence.left_out import LeftOut, left_out
from perfmodel.vocabulary.kinds import Kind

#: Edges of the bins of stated probability.
EDGES: Final = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)


@dataclass(frozen=True)
class Covered:
    """One point and the interval that was stated without having seen it.

    Attributes:
        factor: the interval's upper end, as a factor.
        inside: whether the measured time was in it.
    """

    point: LeftOut
    factor: float
    inside: bool


@dataclass(frozen=True)
class Order:
    """Two machines that ran the same, and how sure the predicted order was.

    Attributes:
        probability: stated, of the order that was predicted; at least 0.5.
        right: whether the order came true.
        ratio: of the predicted times, at least 1.
        verdict: what the order was called.
    """

    faster: LeftOut
    slower: LeftOut
    ratio: float
    probability: float
    right: bool
    verdict: Verdict


@functools.cache
def _errors(
    pool: Errors, software: str, kind: Kind, without: frozenset[str], model: bool
) -> Errors | None:
    """The errors of a software, fitted without these machines, or models."""
    own = [
        p
        for p in left_out()
        if (p.software, p.kind) == (software, kind)
        and (p.model if model else p.machine) not in without
    ]
    return fitted(own, pool) if own else None


@functools.cache
def _there(software: str, kind: Kind, model: bool) -> frozenset[str]:
    """The machines, or models, that a software was measured on."""
    own = [p for p in left_out() if (p.software, p.kind) == (software, kind)]
    return frozenset(p.model if model else p.machine for p in own)


@functools.cache
def _unseen(without: frozenset[str] = frozenset()) -> ErrorModel:
    """The error model with the factor on its intervals that these machines' points did not set."""
    whole = _unscaled()
    return replace(whole, scale=scale(whole, without))


@functools.cache
def _unscaled() -> ErrorModel:
    return replace(error_model(), scale=1.0)


def _stated(
    whole: ErrorModel, point: LeftOut, without: Iterable[str], *, models: bool = False
) -> Interval:
    """The interval that would be stated without these machines, or models."""
    software, kind = point.software, point.kind
    there = _there(software, kind, models)
    found = _errors(whole.pool[kind], software, kind, there & frozenset(without), models)
    other = {name: kinds for name, kinds in whole.software.items() if name != software}
    errors = replace(whole, software=other | ({software: {kind: found}} if found else {}))
    return interval(software, kind, known_machine(point.machine), point.precision, errors=errors)


@functools.cache
def scale(whole: ErrorModel, without: frozenset[str] = frozenset()) -> float:
    """Return the factor on intervals with which those of left-out machines hold what they state.

    After hierarchical conformal prediction (arXiv:2306.06342): the score of a point is its error
    over the stated half width, and each machine under each software and kind weighs the same. Its
    allowance for one more machine is left out: software of few machines takes the wider interval of
    all software, so that more than what is stated is held without it.

    Args:
        whole: an error model at a scale of 1.
        without: machines whose points have no part in it.
    """
    scores: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for point in left_out():
        if point.machine in without:
            continue
        stated = _stated(whole, point, [point.machine])
        if stated.provenance != "datasheet":
            width = stated.spread.total * NORMAL
            group = point.software, point.kind, point.machine
            scores[group].append(abs(point.new_machine - math.log(stated.bias)) / width)
    flat = sorted((score, 1 / len(own)) for own in scores.values() for score in own)
    reached = np.cumsum([weight for _, weight in flat])
    level = COVERAGE * len(scores)
    return round(flat[int(np.searchsorted(reached, level))][0], 4)


@functools.cache
def coverage(*, models: bool = False) -> tuple[Covered, ...]:
    """Return each point with the interval of a new machine, or with ``models`` of a new model."""
    found = []
    for point in left_out():
        without = [point.model if models else point.machine]
        stated = _stated(_unseen(frozenset([point.machine])), point, without, models=models)
        error = math.exp(point.new_model if models else point.new_machine)
        inside = stated.low <= error <= stated.high
        found.append(Covered(point, max(stated.high, 1 / stated.low), inside))
    return tuple(found)


@functools.cache
def orders() -> tuple[Order, ...]:
    """Return every pair of machines with the same run under the same software."""
    found = []
    for pair in _pairs():
        without = [point.machine for point in pair]
        a, b = sorted(pair, key=_predicted)
        whole = _unseen(frozenset(without))
        first, second = (_stated(whole, point, without) for point in (a, b))
        who, other = known_machine(a.machine), known_machine(b.machine)
        log_ratio = math.log(_predicted(b) / _predicted(a))
        likely = probability(
            log_ratio, first.spread, second.spread, same_core=who.core == other.core
        )
        found.append(
            Order(
                faster=a,
                slower=b,
                ratio=math.exp(log_ratio),
                probability=likely,
                right=a.seconds < b.seconds,
                verdict=verdict(likely, (who, first), (other, second))[0],
            )
        )
    return tuple(found)


def _predicted(point: LeftOut) -> float:
    """Seconds by a fit that saw nothing of its machine."""
    return point.seconds * point.machine_out


def _pairs() -> Iterator[tuple[LeftOut, LeftOut]]:
    """Pairs of machines that ran the same; of several runs of one machine, that on most cores."""
    same: dict[tuple[str, ...], dict[str, LeftOut]] = defaultdict(dict)
    for point in left_out():
        key = (point.software, point.kind, point.run, point.precision, str(point.batch))
        other = same[key].get(point.machine)
        if other is None or (point.cores, -point.seconds) > (other.cores, -other.seconds):
            same[key][point.machine] = point
    for machines in same.values():
        yield from combinations(machines.values(), 2)


@dataclass(frozen=True)
class Bin:
    """Orders of about the same stated probability.

    Attributes:
        low, high: what the stated probability is between.
        stated: its mean.
        observed: share of orders that came true.
    """

    low: float
    high: float
    count: int
    stated: float
    observed: float


def bins(found: Sequence[Order]) -> list[Bin]:
    """Return the orders by stated probability, without empty bins."""
    made = []
    for low, high in pairwise(EDGES):
        mine = [o for o in found if low <= o.probability < high or high == o.probability == 1]
        if mine:
            stated = float(np.mean([o.probability for o in mine]))
            made.append(Bin(low, high, len(mine), stated, float(np.mean([o.right for o in mine]))))
    return made


def brier(found: Sequence[Order]) -> float:
    """Return the mean squared difference of stated probability and outcome."""
    return float(np.mean([(o.probability - o.right) ** 2 for o in found]))


def expected_brier(found: Sequence[Order]) -> float:
    """Return what the score is on average if the stated probabilities are right."""
    return float(np.mean([o.probability * (1 - o.probability) for o in found]))
