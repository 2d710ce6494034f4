"""What one asks first: every function takes a name, a path, a workload, or a list of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import perfmodel
from perfmodel.errors import PerfmodelError, UnknownName
from tests.builder import Builder

CPUS = ["epyc_9654", "xeon_8490h"]


def layer(name: str = "layer", batch: int = 4) -> perfmodel.Workload:
    b = Builder(name, batch)
    b.linear(b.input(batch * 16 * 256), batch * 16, 256, 256)
    return b.workload()


def test_a_model_is_a_name_a_path_a_workload_or_a_list(tmp_path: Path) -> None:
    workload, path = layer(), tmp_path / "layer.json"
    workload.save(path)
    one = perfmodel.estimate(workload, "epyc_9654", "fp32")
    assert one == perfmodel.estimate(path, perfmodel.load_machine("epyc_9654"), "fp32")
    assert one == perfmodel.estimate(str(path), "epyc_9654", precision="fp32")
    several = perfmodel.estimate([workload, "resnet50"], "epyc_9654", "fp32")
    assert isinstance(several, perfmodel.Results)
    assert several[0] == one
    assert several[1] == perfmodel.estimate("resnet50", "epyc_9654", "fp32")
    assert perfmodel.compare(workload, "epyc_9654", "fp32") == [one]
    assert perfmodel.rank(path, CPUS, samples=64).model == "layer"
    assert [r.model for r in perfmodel.rank([path, workload], CPUS, samples=64)] == ["layer"] * 2


def test_a_named_model_is_run_at_the_batch_and_phase_asked_for() -> None:
    assert perfmodel.estimate("resnet50", "epyc_9654", batch=2).batch == 2
    scenario = perfmodel.Scenario("bf16", batch=2)
    assert perfmodel.rank("resnet50", CPUS, scenario, samples=16).batch == 2
    with pytest.raises(PerfmodelError, match="traced at batch 4, not 2"):
        perfmodel.estimate(layer(), "epyc_9654", batch=2)
    with pytest.raises(UnknownName, match="did you mean 'resnet50'"):
        perfmodel.estimate("resnet5", "epyc_9654")
    with pytest.raises(UnknownName, match="did you mean 'epyc_9654'"):
        perfmodel.serve(layer(), "epyc-9654")


def test_an_estimate_of_instances_is_the_sockets() -> None:
    whole = perfmodel.estimate(layer(), "epyc_9654")
    parts = perfmodel.estimate(layer(), "epyc_9654", instances=12, cores_per_instance=8)
    assert (whole.instances, parts.instances) == (None, 12)
    assert parts.throughput_fps == pytest.approx(12 * 4e3 / parts.latency_ms)
    assert parts == perfmodel.compare(layer(), "epyc_9654", instances=12, cores_per_instance=8)[0]


def test_a_mapper_maps_with_figures_of_its_own() -> None:
    machine = perfmodel.load_machine("epyc_9654")
    mapper = perfmodel.AmdMapper(machine, {"clock.sustained": 1e9})
    assert perfmodel.estimate(layer(), perfmodel.AmdMapper(machine)) == perfmodel.estimate(
        layer(), machine
    )
    slower = perfmodel.estimate(layer(), mapper)
    assert slower.latency_ms > perfmodel.estimate(layer(), machine).latency_ms
    with pytest.raises(PerfmodelError, match="maps one instance"):
        perfmodel.estimate(layer(), mapper, instances=2)


def test_serving_its_cost_and_power_come_from_a_name_or_a_workload() -> None:
    found = perfmodel.serve(layer(), "epyc_9654", max_latency_s=0.01)
    assert found.best is not None
    assert found.best.latency_ms <= 10
    assert found.best.batch == 4
    plans = perfmodel.tco(layer(), CPUS, rate=1e6, max_latency_s=0.01, samples=16)
    served = {plan.cpu: plan.served for plan in plans.plans}
    assert served["epyc_9654"].throughput_fps == found.best.throughput_fps
    power = perfmodel.power(layer(), "epyc_9654")
    (row,) = perfmodel.compare(layer(), "epyc_9654", energy=True)
    assert power.energy_j == row.energy_j
    assert {served.batch for served in perfmodel.serve("resnet50", "epyc_9654", batch=2).tried} == {
        2
    }


def test_variants_equal_one_at_a_time() -> None:
    counts = np.array([1.1e9, 2.2e9])
    found = perfmodel.variants(layer(), "epyc_9654", values={"clock.sustained": counts})
    machine = perfmodel.load_machine("epyc_9654")
    each = [
        perfmodel.estimate(layer(), perfmodel.AmdMapper(machine, {"clock.sustained": c})).latency_ms
        for c in counts
    ]
    assert found.tolist() == pytest.approx(each)


def test_what_is_shown_of_anything_is_a_few_lines() -> None:
    shown = [
        layer(),
        perfmodel.rank(layer(), CPUS, samples=64),
        perfmodel.serve(layer(), "epyc_9654"),
        perfmodel.tco(layer(), CPUS, rate=1e6, samples=16),
        perfmodel.compare(layer()),
        perfmodel.estimate(layer(), "epyc_9654"),
    ]
    for found in shown:
        assert len(repr(found)) < 600
        assert len(repr(found).splitlines()) < 8
    goal = perfmodel.Goal(rate=1e4, latency_s=1.0)
    shown.append(perfmodel.fleet(layer(), CPUS, goal=goal, batches=[layer().batch]))
    for found in shown:
        assert "<table>" in found._repr_html_()  # type: ignore[attr-defined]
    assert "epyc_9654" in repr(shown[1])
    assert "GFLOP" in repr(shown[0])


def test_results_of_several_batches_are_told_apart() -> None:
    lines = repr(perfmodel.compare("resnet50", "epyc_9654", batch=[1, 8])).splitlines()
    assert "batch 1:" in lines[1]
    assert "batch 8:" in lines[2]


def test_what_is_no_model_or_several_cpus_is_one_line() -> None:
    with pytest.raises(perfmodel.PerfmodelError, match=r"no model: object; .* perfmodel\.trace"):
        perfmodel.estimate(object(), "epyc_9654")  # type: ignore[call-overload]
    with pytest.raises(perfmodel.PerfmodelError, match="no CPU: tuple; expected one"):
        perfmodel.estimate(layer(), tuple(CPUS))  # type: ignore[call-overload]


def test_a_ranking_is_a_data_frame() -> None:
    pytest.importorskip("pandas")
    ranking = perfmodel.rank(layer(), CPUS, samples=64)
    frame = ranking.to_pandas()
    assert frame["cpu"].tolist() == list(ranking.cpus)
    assert frame["latency_low_ms"].tolist() == list(ranking.latency_low_ms)
