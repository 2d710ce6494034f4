"""The public types, as mypy sees them: ``nox -s lint`` checks this file, nothing runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, assert_type

import numpy as np

import perfmodel

if TYPE_CHECKING:
    import pandas

    from perfmodel.mapping.roofline import FloatArray

workload: perfmodel.Workload = perfmodel.load_workload("model.json")
machine = perfmodel.load_machine("epyc_9654")
scenario = perfmodel.Scenario("bf16", batch=8, software="eager")

# One model gives one result, several give a list.
one = assert_type(perfmodel.estimate("resnet50", "epyc_9654"), perfmodel.Result)
assert_type(perfmodel.estimate(workload, machine, "bf16", software="eager"), perfmodel.Result)
assert_type(perfmodel.estimate(Path("model.json"), Path("cpu.toml"), scenario), perfmodel.Result)
assert_type(perfmodel.estimate(["resnet50", workload], "epyc_9654"), perfmodel.Results)
assert_type(
    perfmodel.estimate(workload, perfmodel.AmdMapper(machine, {"cores.count": 64.0})),
    perfmodel.Result,
)

assert_type(perfmodel.rank("resnet50", ["epyc_9654", machine]), perfmodel.Ranking)
assert_type(perfmodel.rank(["resnet50"], ["epyc_9654", machine]), list[perfmodel.Ranking])

rows = assert_type(perfmodel.compare("resnet50", "epyc_9654", scenario), perfmodel.Results)
assert_type(
    perfmodel.compare([workload, Path("a.json")], [machine, "epyc_9654"]), perfmodel.Results
)
assert_type(perfmodel.compare(cpus=machine, batch=[1, 8]), perfmodel.Results)
assert_type(perfmodel.rankings(rows), list[perfmodel.Order])

found = assert_type(perfmodel.serve("resnet50", "epyc_9654", max_latency_s=0.05), perfmodel.Search)
assert_type(found.best, perfmodel.Result | None)
assert_type(perfmodel.tco("resnet50", ["epyc_9654", "xeon_8490h"], rate=10_000.0), perfmodel.Plans)
assert_type(perfmodel.power("resnet50", "epyc_9654"), perfmodel.PackagePower)
if TYPE_CHECKING:
    assert_type(
        perfmodel.variants("resnet50", "epyc_9654", values={"cores.count": np.array([16.0, 96.0])}),
        FloatArray,
    )
    assert_type(one.to_pandas(), pandas.DataFrame)
    assert_type(rows.to_pandas(), pandas.DataFrame)

assert_type(one.latency_ms, float)
assert_type(one.latency_low_ms, float | None)
assert_type(one.provenance, str | None)
assert_type(one.partition, perfmodel.Partition)
assert_type(one.kernels, tuple[perfmodel.KernelEstimate, ...])
assert_type(one.to_dict(), dict[str, Any])
