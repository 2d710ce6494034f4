"""Measured points made ready to be predicted: a machine, a workload, and seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

from perfmodel.evidence.measurements import (
    SHIPPED,
    Matmul,
    MeasuredSet,
    Measurements,
    Row,
    folder_of,
    load_measurements,
    machine_of,
)
from perfmodel.machine import Machine, load_machine
from perfmodel.machine.parts import with_cores
from perfmodel.vocabulary.words import Phase
from perfmodel.workload.workload import Workload


@dataclass(frozen=True)
class Case:
    """One measured point.

    Attributes:
        group, row: what its file says.
        machine: the CPU as the file names it, with no more cores than all instances had.
    """

    group: MeasuredSet
    row: Row
    machine: Machine
    _folder: Path = field(default=Path(), repr=False)

    @property
    def name(self) -> str:
        """What was run; a throughput is at whatever batch is best."""
        name = str(self.row)
        best = self.group.quantity == "throughput" and self.row.batch is None
        return name.replace(", batch 1", "") if best else name

    @property
    def split(self) -> str:
        """ "fit" or "validation"."""
        return self.row.split

    @cached_property
    def key(self) -> tuple[str, str, str, str]:
        """What no two points have in common, but for repeats."""
        group = self.group
        how = f"{group.precision} {group.software} {group.software_version}"
        return f"{group.sockets} {group.machine}", how, group.quantity, self.name

    @cached_property
    def workload(self) -> Workload:
        """What was run, traced (seconds, the first time)."""
        return self.at_batch(self.row.samples)

    def at_batch(self, batch: int) -> Workload:
        """The same at another batch; a product or a probe has only its own."""
        row = self.row
        if row.matmul is not None:
            return matmul(row.matmul)
        if row.probe is not None:
            from perfmodel.evidence.probes import probe

            return probe(row.probe).workload()
        assert row.model is not None
        if row.is_saved:
            return _saved(self._folder / row.model, batch)
        return _named(row.model, batch, row.phase, row.tokens, row.context)

    @property
    def measured(self) -> float:
        """The value in seconds, samples per second or tokens per second."""
        return self.row.value * self.group.factor()

    @property
    def is_rate(self) -> bool:
        """Whether more is better."""
        return self.group.quantity != "latency"


def cases(
    measurements: Measurements, folder: Path = Path(), *, repeats: bool = False
) -> list[Case]:
    """Every point of a file, without those that repeat another unless ``repeats``.

    ``folder`` is what the paths of machines and workloads in it start from.
    """
    found = []
    for group, row in measurements.rows():
        if row.repeat and not repeats:
            continue
        machine = load_machine(machine_of(group, folder))
        found.append(Case(group, row, with_cores(machine, row.all_cores), folder))
    return found


def load_cases(files: Iterable[str | Path] = SHIPPED) -> list[Case]:
    """Every point of some files: paths, or names of those that come with perfmodel."""
    return [case for file in files for case in cases(load_measurements(file), folder_of(file))]


# Points by the hundred are of the same few models; what is prepared of one serves all of them.
@lru_cache(maxsize=256)
def _saved(path: Path, batch: int) -> Workload:
    from perfmodel.workload.parametric import load

    return load(path, batch=batch)


@lru_cache(maxsize=256)
def _named(
    model: str, batch: int, phase: Phase | None, tokens: int | None, context: int | None
) -> Workload:
    from perfmodel.models import zoo

    return zoo.workload(model, batch, phase=phase, tokens=tokens, context=context)


def matmul(shape: Matmul) -> Workload:
    """One product of two activations as a workload."""
    import numpy as np

    from perfmodel.vocabulary import families as f
    from perfmodel.workload.workload import INPUT, KINDS, OUTPUT, Accesses, Kernels, Tensors

    m, n, k = shape.m, shape.n, shape.k
    elements = np.array([m * k, k * n, m * n], dtype=np.int64)
    kinds = [KINDS.index("input"), KINDS.index("input"), KINDS.index("activation")]
    return Workload(
        name=str(shape),
        batch=1,
        parameters=0,
        inputs=(),
        tensors=Tensors(
            name=("a", "b", "product"),
            kind=np.array(kinds, dtype=np.int64),
            elements=elements,
            itemsize=np.full(3, 4, dtype=np.int64),
            floating=np.ones(3, dtype=np.bool_),
        ),
        kernels=Kernels(
            name=("matmul",),
            operator=("aten.mm",),
            family=np.array([f.CODE[f.MATMUL]], dtype=np.int64),
            flops=np.array([2 * m * n * k], dtype=np.int64),
            vector_ops=np.zeros(1, dtype=np.int64),
            gemm=np.array([[1, m, n, k]], dtype=np.int64),
        ),
        accesses=Accesses(
            kernel=np.zeros(3, dtype=np.int64),
            tensor=np.arange(3, dtype=np.int64),
            role=np.array([INPUT, INPUT, OUTPUT], dtype=np.int64),
            elements=elements,
        ),
    )
