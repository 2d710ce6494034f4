"""Divided sockets and modelled power side by side, as ``perfmodel compare`` shows them."""

from __future__ import annotations

import pytest

from perfmodel.comparison import compare, rankings
from perfmodel.cost import package_power
from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.mapping import Result, estimate
from perfmodel.serving import Partition, serve
from perfmodel.workload.workload import Workload
from tests.builder import Builder

CPUS = ("xeon_8490h", "epyc_9654")


@pytest.fixture(scope="module")
def workload() -> Workload:
    b = Builder("layers", batch=8)
    x = b.input(8 * 16 * 1024)
    for _ in range(4):
        x = b.linear(x, 8 * 16, 1024, 1024)
    return b.workload()


def rows(workload: Workload, **options: object) -> dict[str, Result]:
    return {row.cpu: row for row in compare([workload], CPUS, **options)}


def test_a_row_of_a_divided_socket_is_what_serving_says(workload: Workload) -> None:
    found = rows(workload, instances=6, cores_per_instance=8, weights="shared")
    for cpu, row in found.items():
        served = serve(workload, cpu, Partition(6, 8), weights="shared")
        assert (row.instances, row.cores_per_instance) == (6, 8)
        assert row.latency_ms == served.latency_ms
        assert row.throughput_fps == served.throughput_fps
        assert row.utilization == served.utilization
        assert row.active_cores == served.active_cores
        assert row.to_dict()["instances"] == 6


def test_auto_serves_most_and_the_ranking_is_by_throughput(workload: Workload) -> None:
    auto = rows(workload, instances="auto")
    for count in (1, 2, 4):
        fixed = rows(workload, instances=count)
        for cpu in CPUS:
            assert fixed[cpu].throughput_fps <= auto[cpu].throughput_fps
    (ranking,) = rankings(auto.values())
    throughput = [auto[cpu].throughput_fps for cpu in ranking.cpus]
    assert throughput == sorted(throughput, reverse=True)
    assert ranking.ratios[1] == pytest.approx(throughput[0] / throughput[1])


def test_nothing_changes_where_nothing_is_asked_for(workload: Workload) -> None:
    for row in rows(workload).values():
        assert row.instances is None
        assert not {"instances", "cores_per_instance", "energy_j"} & row.to_dict().keys()


def test_fps_per_watt_over_modelled_power_is_samples_per_joule(workload: Workload) -> None:
    rated = rows(workload, energy=True)
    modelled = rows(workload, energy=True, power="modelled")
    for cpu in CPUS:
        before, after = rated[cpu], modelled[cpu]
        assert before.power_basis == "tdp"
        assert after.power_basis == "modelled"
        assert before.energy_j == after.energy_j
        assert after.fps_per_watt == pytest.approx(1 / after.energy_j)
        power = package_power(estimate(workload, cpu), after.machine)
        assert after.energy_j == pytest.approx(float(power.package_w) / after.throughput_fps)


def test_what_cannot_be_compared_is_an_error(workload: Workload) -> None:
    with pytest.raises(UnknownName, match="did you mean 'modelled'"):
        rows(workload, power="modeled")
    with pytest.raises(PerfmodelError, match="need 61; xeon_8490h has 60"):
        rows(workload, instances=61, cores_per_instance=1)
    with pytest.raises(PerfmodelError, match="one instance on all cores only"):
        compare(["resnet50"], CPUS, instances=2, methods=["published"])
