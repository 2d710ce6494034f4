"""Build small workloads by hand, kernel by kernel."""

from __future__ import annotations

import numpy as np

from perfmodel.vocabulary import families as f
from perfmodel.workload.workload import (
    INPUT,
    KINDS,
    OUTPUT,
    WEIGHT,
    Accesses,
    Kernels,
    Tensors,
    Workload,
)


class Builder:
    """Collects tensors and kernels; ``workload()`` makes the columns."""

    def __init__(self, name: str = "tiny", batch: int = 1) -> None:
        self.name, self.batch = name, batch
        self.tensors: list[tuple[str, str, int, int, bool]] = []
        self.kernels: list[tuple[str, str, str, int, int, tuple[int, int, int, int]]] = []
        self.accesses: list[tuple[int, int, int, int]] = []

    def tensor(
        self, elements: int, kind: str = "activation", itemsize: int = 4, floating: bool = True
    ) -> int:
        self.tensors.append((f"t{len(self.tensors)}", kind, elements, itemsize, floating))
        return len(self.tensors) - 1

    def input(self, elements: int) -> int:
        return self.tensor(elements, "input")

    def weight(self, elements: int) -> int:
        return self.tensor(elements, "weight")

    def kernel(
        self,
        operator: str,
        family: str,
        reads: list[int],
        *,
        weights: tuple[int, ...] = (),
        elements: int | None = None,
        into: int | None = None,
        gemm: tuple[int, int, int, int] = (0, 0, 0, 0),
        flops: int | None = None,
        vector_ops: int = 0,
        name: str | None = None,
    ) -> int:
        """Add a kernel; returns the tensor it writes (``into`` for an in-place one)."""
        index = len(self.kernels)
        batch, m, n, k = gemm
        flops = 2 * batch * m * n * k if flops is None else flops
        self.kernels.append((name or f"k{index}", operator, family, flops, vector_ops, gemm))
        for role, tensors in ((WEIGHT, weights), (INPUT, reads)):
            self.accesses += [(index, t, role, self.tensors[t][2]) for t in tensors]
        if into is None:
            into = self.tensor(batch * m * n if elements is None else elements)
        self.accesses.append((index, into, OUTPUT, self.tensors[into][2]))
        return into

    def linear(self, x: int, m: int, n: int, k: int) -> int:
        return self.kernel(
            "linear", f.LINEAR, [x], weights=(self.weight(n * k),), gemm=(1, m, n, k)
        )

    def workload(self) -> Workload:
        names, kinds, elements, sizes, floating = zip(*self.tensors, strict=True)
        kernel_names, operators, families, flops, vector_ops, gemm = zip(*self.kernels, strict=True)
        table = np.array(self.accesses, dtype=np.int64).reshape(-1, 4)
        return Workload(
            name=self.name,
            batch=self.batch,
            parameters=sum(t[2] for t in self.tensors if t[1] == "weight"),
            inputs=(),
            tensors=Tensors(
                name=names,
                kind=np.array([KINDS.index(kind) for kind in kinds]),
                elements=np.array(elements, dtype=np.int64),
                itemsize=np.array(sizes, dtype=np.int64),
                floating=np.array(floating, dtype=np.bool_),
            ),
            kernels=Kernels(
                name=kernel_names,
                operator=operators,
                family=np.array([f.CODE[family] for family in families]),
                flops=np.array(flops, dtype=np.int64),
                vector_ops=np.array(vector_ops, dtype=np.int64),
                gemm=np.array(gemm, dtype=np.int64).reshape(-1, 4),
            ),
            accesses=Accesses(*(table[:, column] for column in range(4))),
        )
