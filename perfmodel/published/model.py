"""The published formula: chains on one CPU -> latency, throughput, efficiency, utilisation.

Source: branes-ai/graphs (MIT licence), commits 4df08ad and 2341065 of 2025-10-24. Every rule here
is kept as it was published, the wrong ones included; docs/published-comparison.md lists those.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.errors import PerfmodelError
from perfmodel.published.catalog import PublishedCpu
from perfmodel.published.chains import UNDEFINED, ChainTable

#: Channels the method gives to one core.
CHANNELS_PER_CORE: Final = 4
#: Share of the vector lanes used by a chain without a matrix kernel.
VECTOR_EFFICIENCY: Final = 0.7
#: Relative compute time added by each core after the first.
OVERHEAD_PER_EXTRA_CORE: Final = 0.02

#: The only precision and batch size the comparison published.
PRECISION: Final = "int8"
BATCH: Final = 1

_Floats = npt.NDArray[np.float64]


class NotPublished(PerfmodelError):
    """Asked for something the comparison does not define."""


def active_cores(channels: npt.NDArray[np.int64], cores: int) -> npt.NDArray[np.int64]:
    """Cores a chain runs on: one, and one more for every four channels; all where UNDEFINED.

    ``channels`` is dimension 1 by position, so it is a height for channels-last tensors.
    """
    wanted = 1 + np.minimum(cores - 1, channels // CHANNELS_PER_CORE)
    return np.where(channels == UNDEFINED, cores, wanted)


@dataclass(frozen=True, slots=True)
class ChainRow:
    """One chain on one CPU; see :class:`~perfmodel.published.chains.ChainTable` for the counts.

    Attributes:
        ops: operations (a MAC is 2), as the method counts them.
        compute_us, memory_us, time_us: microseconds; ``time_us`` is the larger of the other two.
        bound: "compute" or "memory".
    """

    nodes: tuple[str, ...]
    types: tuple[str, ...]
    ops: int
    input_bytes: int
    output_bytes: int
    weight_bytes: int
    channels: int | None
    matrix: bool
    cores: int
    compute_us: float
    memory_us: float
    time_us: float
    bound: str


@dataclass(frozen=True, eq=False)
class PublishedEstimate:
    """What the published method says of one model on one CPU, INT8 at batch 1.

    Attributes:
        chains: the counts of every chain.
        cores: active cores per chain, shape (chains,).
        compute_s, memory_s: seconds per chain, shape (chains,).
    """

    model: str
    cpu: str
    tdp_w: float
    total_cores: int
    chains: ChainTable = field(repr=False)
    cores: npt.NDArray[np.int64] = field(repr=False)
    compute_s: _Floats = field(repr=False)
    memory_s: _Floats = field(repr=False)

    method: Final = "published"
    precision: Final = PRECISION
    batch: Final = BATCH

    @property
    def time_s(self) -> _Floats:
        """Seconds per chain: the larger of compute and memory, shape (chains,)."""
        return np.maximum(self.compute_s, self.memory_s)

    @property
    def latency_ms(self) -> float:
        """Milliseconds for one inference: the sum over all chains."""
        return float(self.time_s.sum()) * 1e3

    @property
    def throughput_fps(self) -> float:
        """Inferences per second, one after the other."""
        return 1e3 / self.latency_ms

    @property
    def fps_per_watt(self) -> float:
        """Inferences per second and watt of TDP."""
        return self.throughput_fps / self.tdp_w

    @property
    def utilization(self) -> float:
        """Mean share of active cores over chains, in (0, 1]; not weighted by time."""
        return float(np.mean(self.cores / self.total_cores))

    @property
    def ops(self) -> int:
        """Operations of all chains (a MAC is 2), as the method counts them."""
        return int(self.chains.ops.sum())

    @property
    def compute_share(self) -> float:
        """Share of the latency spent in compute-bound chains, 0..1."""
        bound = self.compute_s > self.memory_s
        return float(self.time_s[bound].sum() / self.time_s.sum())

    @property
    def memory_share(self) -> float:
        """Share of the latency spent in memory-bound chains, 0..1."""
        return 1.0 - self.compute_share

    @property
    def bottleneck(self) -> str:
        """What bounds the larger share of the latency: "compute" or "memory"."""
        return "compute" if self.compute_share > self.memory_share else "memory"

    def chain_rows(self) -> list[ChainRow]:
        """Every chain with its counts and times, in graph order."""
        table = self.chains
        return [
            ChainRow(
                nodes=table.names[i],
                types=table.types[i],
                ops=int(table.ops[i]),
                input_bytes=int(table.input_bytes[i]),
                output_bytes=int(table.output_bytes[i]),
                weight_bytes=int(table.weight_bytes[i]),
                channels=None if table.channels[i] == UNDEFINED else int(table.channels[i]),
                matrix=bool(table.matrix[i]),
                cores=int(self.cores[i]),
                compute_us=float(self.compute_s[i]) * 1e6,
                memory_us=float(self.memory_s[i]) * 1e6,
                time_us=float(self.time_s[i]) * 1e6,
                bound="compute" if self.compute_s[i] > self.memory_s[i] else "memory",
            )
            for i in range(len(table.ops))
        ]


def evaluate(chains: ChainTable, cpu: PublishedCpu) -> PublishedEstimate:
    """Time every chain on ``cpu``.

    With n active of N cores, peak P, bandwidth W, lanes L and divisor d::

        compute = ops / (d or 0.7 L) / (P (n/N)^2) * (1 + 0.02 (n - 1))
        memory  = bytes / W

    where d stands for chains with a matrix kernel and 0.7 L for the others.

    Raises:
        NotPublished: no chain has operations or bytes, so there is no rate to give.
    """
    if not (chains.ops.any() or chains.bytes.any()):
        raise NotPublished(f"{chains.model}: no layer or function in it does any counted work")
    cores = active_cores(chains.channels, cpu.cores)
    speedup = np.where(chains.matrix, cpu.matrix_divisor, VECTOR_EFFICIENCY * cpu.vector_lanes)
    # The active share enters the peak twice: as published.
    peak = cpu.peak_ops_per_s * (cores / cpu.cores) ** 2
    overhead = 1 + OVERHEAD_PER_EXTRA_CORE * (cores - 1)
    return PublishedEstimate(
        model=chains.model,
        cpu=cpu.id,
        tdp_w=cpu.tdp_w,
        total_cores=cpu.cores,
        chains=chains,
        cores=cores,
        compute_s=chains.ops / speedup / peak * overhead,
        memory_s=chains.bytes / cpu.bandwidth_bytes_per_s,
    )
