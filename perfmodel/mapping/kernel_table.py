"""What a result is made of: its kernels, and where their bytes and operations go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from perfmodel.mapping.columns import Columns
from perfmodel.mapping.roofline import BOUNDS, LEVELS, Times
from perfmodel.vocabulary.families import FAMILIES
from perfmodel.workload.workload import ROLES, Workload


@dataclass(frozen=True)
class KernelEstimate:
    """One kernel of a result.

    Attributes:
        name: module path of its first operator.
        operator: the operators it executes, joined by "+".
        engine: what executes it: an engine of the core.
        cores: active cores.
        level: where most of its memory time goes: "L2", "L3" or "DRAM".
        bound: what its time is bound by: "compute", a level, or "overhead".
        compute_ms, memory_ms, overhead_ms: the parts; latency is max(compute, memory) + overhead.
        share: of the whole model's latency, 0 to 1.
        gemm: loops, m, n and k of its product; all 0 where it is none.
        format: number format that its product runs in; "fp32" where it is none.
    """

    name: str
    operator: str
    family: str
    engine: str
    cores: int
    level: str
    bound: str
    flops: int
    moved_bytes: float
    compute_ms: float
    memory_ms: float
    overhead_ms: float
    latency_ms: float
    share: float
    gemm: tuple[int, int, int, int]
    format: str

    @property
    def intensity(self) -> float:
        """Return FLOP per byte that it moves, at whatever level; infinite without any."""
        return self.flops / self.moved_bytes if self.moved_bytes else float("inf")


@dataclass(frozen=True, eq=False)
class KernelTable:
    """The arrays behind a result of the roofline method: one run, of one instance.

    Attributes:
        workload: its kernels, fused as the software fuses them.
        columns: what each different kernel asks for.
        times: how long each takes.
        engines: names of the engines by their code in ``times``.
        formats: the number format that each of the columns multiplies in.
    """

    workload: Workload
    columns: Columns
    times: Times
    engines: tuple[str, ...]
    formats: tuple[str, ...]

    @cached_property
    def kernels(self) -> tuple[KernelEstimate, ...]:
        """The per-kernel table, in the order in which the kernels run."""
        kernels, times, work = self.workload.kernels, self.times, self.columns.work
        latency_ms = times.latency * 1e3
        total_ms = float(latency_ms @ self.columns.count)
        families = self.workload.family_names()
        rows = []
        for index, column in enumerate(self.columns.inverse.tolist()):
            rows.append(
                KernelEstimate(
                    name=kernels.name[index],
                    operator=kernels.operator[index],
                    family=families[index],
                    engine=self.engines[times.engine[column]],
                    cores=int(times.cores[column]),
                    level=LEVELS[times.memory_level[column]],
                    bound=BOUNDS[times.bound[column]],
                    flops=int(kernels.flops[index]),
                    moved_bytes=float(work.moved[:, column].sum()),
                    compute_ms=float(times.compute[column]) * 1e3,
                    memory_ms=float(times.memory[column]) * 1e3,
                    overhead_ms=float(times.overhead[column]) * 1e3,
                    latency_ms=float(latency_ms[column]),
                    share=float(latency_ms[column]) / total_ms,
                    gemm=tuple(kernels.gemm[index].tolist()),
                    format=self.formats[column],
                )
            )
        return tuple(rows)

    def levels(self, index: int) -> dict[str, str]:
        """For one kernel, the level that each role's tensors come from; state is with "weight"."""
        column = self.columns.inverse[index]
        return {
            role: LEVELS[self.times.level[code, column]]
            for code, role in enumerate(ROLES)
            if self.columns.work.moved[code, column] > 0
        }

    def moved_bytes(self) -> dict[str, float]:
        """Bytes that one run moves from and to each level: "L2", "L3" and "DRAM"."""
        moved = self.columns.work.moved * self.columns.count
        level = self.times.level
        return {name: float(moved[level == code].sum()) for code, name in enumerate(LEVELS)}

    def flops_by_engine(self) -> dict[tuple[str, str], float]:
        """Multiply-accumulate operations (a MAC is 2) of one run, by engine and operator family."""
        return self._flops([FAMILIES[code] for code in self.columns.family.tolist()])

    def flops_by_format(self) -> dict[tuple[str, str], float]:
        """Multiply-accumulate operations (a MAC is 2) of one run, by engine and number format."""
        return self._flops(self.formats)

    def _flops(self, labels: Sequence[str]) -> dict[tuple[str, str], float]:
        """FLOPs of one run, by engine and by the label of each column."""
        total: dict[tuple[str, str], float] = {}
        flops = self.columns.work.flops * self.columns.count
        for engine, label, done in zip(
            self.times.engine.tolist(), labels, flops.tolist(), strict=True
        ):
            if done:
                key = self.engines[engine], label
                total[key] = total.get(key, 0.0) + done
        return total

    def vector_operations(self) -> float:
        """Arithmetic operations of one run that are not multiply-accumulates."""
        return float(self.columns.work.vector_ops @ self.columns.count)
