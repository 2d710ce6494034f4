"""The generated workloads keep what traced ones promise; tests built on them rely on it."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from perfmodel.vocabulary import families as f
from perfmodel.workload.workload import INPUT, KINDS, OUTPUT, Workload
from tests.strategies import workloads


@given(workloads(allow_unmodelled=True))
def test_generated_workloads_can_run_in_their_order(workload: Workload) -> None:
    a = workload.accesses
    assert (np.diff(a.kernel) >= 0).all()
    available = {i for i, k in enumerate(workload.tensors.kind) if KINDS[k] != "activation"}
    for tensor, role in zip(a.tensor.tolist(), a.role.tolist(), strict=True):
        if role == OUTPUT:
            available.add(tensor)
        assert tensor in available
    assert set(a.kernel[a.role == OUTPUT].tolist()) == set(range(len(workload)))
    rows = np.stack((a.kernel, a.tensor, a.role), axis=1)
    assert len(np.unique(rows, axis=0)) == len(rows)


@given(workloads(allow_unmodelled=True))
def test_generated_flops_are_those_of_their_loops(workload: Workload) -> None:
    products = workload.kernels.gemm.prod(axis=1)
    twice = np.where(workload.kernels.family == f.CODE[f.ATTENTION], 2, 1)
    assert (workload.kernels.flops == 2 * products * twice).all()
    gemm = np.isin(workload.kernels.family, [f.CODE[name] for name in f.GEMM_FAMILIES])
    assert ((workload.kernels.flops > 0) == gemm).all()
    assert (workload.traced_bytes(INPUT) > 0).all()
