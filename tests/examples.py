"""A workload small enough to be checked by eye."""

from __future__ import annotations

from typing import Any

import numpy as np

from perfmodel.software import Software, load_software
from perfmodel.vocabulary import families as f
from perfmodel.workload.workload import Accesses, InputSpec, Kernels, Tensors, Workload


def ints(*values: Any) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def anywhere(name: str) -> Software:
    """Software as if it ran every model on every CPU: laws of a formula are of its terms alone."""
    free = {"requires": (), "lacks": (), "precisions": ()}
    return load_software(name).model_copy(update=free)


def make_workload() -> Workload:
    """One linear layer, 3 rows of 4 to 2, and a ReLU."""
    return Workload(
        name="tiny",
        batch=3,
        parameters=8,
        inputs=(InputSpec("x", (3, 4), "float32"),),
        tensors=Tensors(
            name=("x", "fc.weight", "fc/linear", "act/relu"),
            kind=ints(1, 0, 2, 2),
            elements=ints(12, 8, 6, 6),
            itemsize=ints(4, 4, 4, 4),
            floating=np.ones(4, dtype=np.bool_),
        ),
        kernels=Kernels(
            name=("fc/linear", "act/relu"),
            operator=("aten.linear", "aten.relu"),
            family=ints(f.CODE[f.LINEAR], f.CODE[f.ACTIVATION]),
            flops=ints(48, 0),
            vector_ops=ints(0, 6),
            gemm=ints((1, 3, 2, 4), (0, 0, 0, 0)),
        ),
        accesses=Accesses(
            kernel=ints(0, 0, 0, 1, 1),
            tensor=ints(1, 0, 2, 2, 3),
            role=ints(0, 1, 2, 1, 2),
            elements=ints(8, 12, 6, 6, 6),
        ),
        provenance={"torch": "2.13.0"},
    )
