"""Rankings with a margin and a probability.

Latencies of all CPUs are evaluated on the same joint samples of what is not known exactly, the
formula's own error included, so that what two of them share cancels in their ratio. The published
habit is a bare order; here an order that holds in fewer than nine of ten samples is called
*leaning*, and one of a kind that too few machines were measured in *untested*.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, Unpack

import numpy as np

from perfmodel._text import html_table, percent, significant
from perfmodel.certainty import Identity, Interval, Verdict, identity, of_run, verdict
from perfmodel.certainty.error_model import COVERAGE
from perfmodel.errors import PerfmodelError
from perfmodel.machine import Machine, load_machine
from perfmodel.mapping.estimation import estimate
from perfmodel.mapping.result import data_frame
from perfmodel.mapping.roofline import FloatArray
from perfmodel.mapping.unknowns import Samples, sample, unknowns
from perfmodel.mapping.variants import latency_variants
from perfmodel.ranking.model_error import model_errors
from perfmodel.ranking.sensitivity import Influence, influences
from perfmodel.scenario import RunOptions, ScenarioLike, scenario_of
from perfmodel.vocabulary import ranges
from perfmodel.workload.workload import Workload

if TYPE_CHECKING:
    import pandas

#: Samples by default: the standard error of a probability is then under 0.8 %.
SAMPLES: Final = 4096
SEED: Final = 20251024
#: The central interval that is quoted: 80 %.
QUANTILES: Final = ((1 - COVERAGE) / 2, (1 + COVERAGE) / 2)


@dataclass(frozen=True)
class Pair:
    """Two CPUs and how sure their order is.

    Attributes:
        faster, slower: CPU ids, by the median of their latencies.
        ratio: latency of the slower over the faster, the median over samples of the figures.
        ratio_low, ratio_high: the ratio's 80 % interval over the samples.
        probability: share of samples in which ``faster`` is the faster one.
        deciding: the figures whose ranges move the ratio most (adjacent pairs only).
        model_error: share of the variance of the ratio's logarithm that is the formula's error.
        verdict: "established"; "leaning" where the order holds in under 90 % of samples, or one of
            two vendors was never measured; "untested" where under four machines were.
        reason: what keeps an order that is likely enough from being established.
    """

    faster: str
    slower: str
    ratio: float
    ratio_low: float
    ratio_high: float
    probability: float
    deciding: tuple[Influence, ...]
    model_error: float
    verdict: Verdict
    reason: str


@dataclass(frozen=True, eq=False)
class Ranking:
    """CPUs by latency on one workload, with what the order is worth.

    Attributes:
        cpus: ids, by the median of their latencies, fastest first.
        typical_ms: at typical figures, as :func:`perfmodel.estimate` has it, in that order.
        latency_ms: the median over samples of the figures alone.
        latency_low_ms, latency_high_ms: 80 % interval, of figures and the formula's error; both of
            the above are in it.
        machines: what each CPU is, and what its estimate rests on, in that order.
        sampled_ms: the sampled latencies, shape (samples, CPUs), columns in that order.
        calibration: "calibrated" or "uncalibrated", as of a result, in that order.
        log_errors: the part of their logarithm that is the formula's error, of the same shape.
    """

    model: str
    precision: str
    batch: int
    state: str
    software: str
    cpus: tuple[str, ...]
    typical_ms: tuple[float, ...]
    latency_ms: tuple[float, ...]
    machines: tuple[tuple[Identity, Interval], ...]
    sampled_ms: FloatArray
    log_errors: FloatArray
    samples: Samples
    calibration: tuple[str, ...]

    @property
    def figures_ms(self) -> FloatArray:
        """The sampled latencies without the formula's error: by samples of the figures alone."""
        found: FloatArray = self.sampled_ms / np.exp(self.log_errors)
        return found

    @cached_property
    def latency_low_ms(self) -> tuple[float, ...]:
        """Lower end of each latency's 80 % interval."""
        low = np.quantile(self.sampled_ms, QUANTILES[0], axis=0).tolist()
        return tuple(map(min, low, self.typical_ms, self.latency_ms))

    @cached_property
    def latency_high_ms(self) -> tuple[float, ...]:
        """Upper end of each latency's 80 % interval."""
        high = np.quantile(self.sampled_ms, QUANTILES[1], axis=0).tolist()
        return tuple(map(max, high, self.typical_ms, self.latency_ms))

    @cached_property
    def rank_probability(self) -> FloatArray:
        """Probability that CPU i (row, in the order of ``cpus``) has rank j (column)."""
        ranks = np.argsort(np.argsort(self.sampled_ms, axis=1, kind="stable"), axis=1)
        return np.stack([np.mean(ranks == rank, axis=0) for rank in range(len(self.cpus))], axis=1)

    def pair(self, faster: str, slower: str, *, deciding: bool = False) -> Pair:
        """How sure it is that ``faster`` beats ``slower``; ids of this ranking's CPUs."""
        i, j = self.cpus.index(faster), self.cpus.index(slower)
        (found,) = self._against(i, [j])
        if not deciding:
            return found
        ratio = np.log(self.sampled_ms[:, j] / self.sampled_ms[:, i])
        return replace(found, deciding=influences(self.samples, ratio, (faster, slower)))

    def _against(self, i: int, others: Sequence[int]) -> list[Pair]:
        """CPU ``i`` against each of the others, by place in :attr:`cpus`, all at once."""
        ratio = np.ascontiguousarray(self.sampled_ms[:, others].T) / self.sampled_ms[:, i]
        logs = np.log(ratio)
        figures = logs - (self.log_errors[:, others].T - self.log_errors[:, i])
        columns = (
            np.exp(np.median(figures, axis=1)),
            *np.quantile(ratio, QUANTILES, axis=1),
            # Of two that are as fast, one is as likely ahead as the other.
            np.mean((ratio > 1) + (ratio == 1) / 2, axis=1),
            np.var(figures, axis=1),
            np.var(logs, axis=1),
        )
        rows = zip(others, *(column.tolist() for column in columns), strict=True)
        return [
            Pair(
                self.cpus[i],
                self.cpus[j],
                ratio=median,
                ratio_low=min(low, median),
                ratio_high=max(high, median),
                probability=probability,
                deciding=(),
                model_error=max(0.0, 1 - own / whole) if whole else 0.0,
                verdict=called,
                reason=reason,
            )
            for j, median, low, high, probability, own, whole in rows
            for called, reason in [verdict(probability, self.machines[i], self.machines[j])]
        ]

    @cached_property
    def adjacent(self) -> tuple[Pair, ...]:
        """Each CPU against the next, with the figures that decide between them."""
        return tuple(self.pair(a, b, deciding=True) for a, b in pairwise(self.cpus))

    @cached_property
    def pairs(self) -> tuple[Pair, ...]:
        """Every pair, the one ahead in :attr:`cpus` first."""
        count = len(self.cpus)
        return tuple(
            pair for i in range(count - 1) for pair in self._against(i, range(i + 1, count))
        )

    def order_probability(self, cpus: Sequence[str]) -> float:
        """Share of samples in which these CPUs come in this order, fastest first."""
        columns = [self.cpus.index(cpu) for cpu in cpus]
        chosen = self.sampled_ms[:, columns]
        return float(np.mean(np.all(np.diff(chosen, axis=1) > 0, axis=1)))

    def leading_probability(self, leaders: Sequence[str]) -> float:
        """Share of samples in which these CPUs are ahead of all others, and in this order."""
        columns = [self.cpus.index(cpu) for cpu in leaders]
        rest = np.delete(self.sampled_ms, columns, axis=1).min(axis=1, initial=np.inf)
        chain = np.column_stack([self.sampled_ms[:, columns], rest])
        return float(np.mean(np.all(np.diff(chain, axis=1) > 0, axis=1)))

    def to_dict(self) -> dict[str, Any]:
        """Everything but the samples, as plain Python objects."""
        return {
            "model": self.model,
            "precision": self.precision,
            "batch": self.batch,
            "state": self.state,
            "software": self.software,
            "samples": len(self.sampled_ms),
            "cpus": [
                {
                    "cpu": cpu,
                    "latency_ms": self.latency_ms[i],
                    "typical_ms": self.typical_ms[i],
                    "latency_low_ms": self.latency_low_ms[i],
                    "latency_high_ms": self.latency_high_ms[i],
                    "interval_coverage": COVERAGE,
                    "provenance": self.machines[i][1].provenance,
                    "evidence_points": self.machines[i][1].points,
                    "evidence_machines": self.machines[i][1].machines,
                    "rank_probability": self.rank_probability[i].tolist(),
                    "calibration": self.calibration[i],
                }
                for i, cpu in enumerate(self.cpus)
            ],
            "pairs": [
                {
                    "faster": pair.faster,
                    "slower": pair.slower,
                    "ratio": pair.ratio,
                    "ratio_low": pair.ratio_low,
                    "ratio_high": pair.ratio_high,
                    "probability": pair.probability,
                    "verdict": pair.verdict,
                    "reason": pair.reason,
                    "model_error": pair.model_error,
                    "deciding": [
                        {"figure": influence.unknown.label, "share": influence.share}
                        for influence in pair.deciding
                    ],
                }
                for pair in self._reported_pairs()
            ],
        }

    def to_pandas(self) -> pandas.DataFrame:
        """Return a data frame with one row per CPU, fastest first.

        Raises:
            NotInstalled: without pandas.
        """
        return data_frame(self.to_records())

    def to_records(self) -> list[dict[str, Any]]:
        """Return one record per CPU with the same columns for all rankings, for CSV."""
        run = ("model", "precision", "batch", "state", "software", "samples")
        whole = self.to_dict()
        return [{**{name: whole[name] for name in run}, **row} for row in whole["cpus"]]

    def __repr__(self) -> str:
        rows = [
            f"  {cpu}: {latency} ms ({low} to {high}), first in {share}"
            for cpu, latency, low, high, share in self._rows()
        ]
        head = f"{self.model}: {self.precision.upper()}, batch {self.batch}, {self.state}, "
        return "\n".join([f"{head}{self.software}; 80 % intervals", *rows])

    def _repr_html_(self) -> str:
        return html_table(("CPU", "ms", "low", "high", "first"), self._rows())

    def _rows(self) -> list[tuple[str, str, str, str, str]]:
        """CPU, latency, its interval and the probability of being first, as people read them."""
        return [
            (
                row["cpu"],
                *(significant(row[f"latency{end}_ms"]) for end in ("", "_low", "_high")),
                percent(row["rank_probability"][0]),
            )
            for row in self.to_dict()["cpus"]
        ]

    def _reported_pairs(self) -> list[Pair]:
        adjacent = {(pair.faster, pair.slower): pair for pair in self.adjacent}
        return [adjacent.get((pair.faster, pair.slower), pair) for pair in self.pairs]


def rank(
    workload: Workload,
    cpus: Sequence[str | os.PathLike[str] | Machine],
    scenario: ScenarioLike = None,
    *,
    samples: int = SAMPLES,
    seed: int = SEED,
    **options: Unpack[RunOptions],
) -> Ranking:
    """Order ``cpus`` by latency on ``workload``, with the probability of each rank.

    Args:
        cpus: catalogue ids, machine files or Machines; at least two different ones.
        scenario, options: as for :func:`perfmodel.estimate`.
        samples: of the uncertain figures, in :data:`~perfmodel.vocabulary.ranges.SAMPLES`.
        seed: of the samples.

    Raises:
        UnknownName, MachineError: as :func:`perfmodel.estimate`.
        PerfmodelError: fewer than two CPUs, the same twice, or too few or too many samples.
    """
    run = scenario_of(scenario, options)
    machines = [load_machine(cpu) for cpu in cpus]
    ids = [machine.id for machine in machines]
    if len(ids) < 2 or len(set(ids)) < len(ids):
        raise PerfmodelError(f"a ranking needs two or more different CPUs, found {', '.join(ids)}")
    ranges.SAMPLES.check("samples", samples)
    typical = [estimate(workload, m, run).latency_ms for m in machines]
    drawn = sample(unknowns(machines, run.loaded), samples, seed)

    def sampled(index: int) -> FloatArray:
        values = drawn.of(ids[index])
        if not values:
            return np.full(samples, typical[index])
        return latency_variants(workload, machines[index], values, run, every_core_count=False)

    # NumPy lets other threads run while it works on an array.
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        columns = list(pool.map(sampled, range(len(machines))))
    median = [float(np.median(column)) for column in columns]
    # Of equal medians the one first that is ahead at typical figures, then the one named first.
    order = sorted(range(len(machines)), key=lambda i: (median[i], typical[i]))
    figures = np.stack([columns[i] for i in order], axis=1)
    stated = tuple((identity(machines[i]), of_run(machines[i], run, workload.phase)) for i in order)
    errors = model_errors(figures, stated, seed)
    return Ranking(
        model=workload.name,
        precision=run.policy.name,
        batch=workload.batch,
        state=run.state,
        software=run.loaded.id,
        cpus=tuple(ids[i] for i in order),
        typical_ms=tuple(typical[i] for i in order),
        latency_ms=tuple(median[i] for i in order),
        machines=stated,
        sampled_ms=figures * np.exp(errors),
        log_errors=errors,
        samples=drawn,
        calibration=tuple(
            "uncalibrated" if machines[i].calibration is None else "calibrated" for i in order
        ),
    )
