from __future__ import annotations

import json
from pathlib import Path

import pytest

from perfmodel import published
from perfmodel._text import common_name
from perfmodel.cli.explain import grouped
from perfmodel.comparison import compare
from perfmodel.machine import catalogue, load_machine
from perfmodel.mapping import estimate
from perfmodel.models import zoo
from perfmodel.workload.workload import Workload
from tests.cli.conftest import Run


def test_cpus_lists_the_catalogue_and_the_published_methods_ids(run: Run) -> None:
    records = {r["id"]: r for r in json.loads(run("cpus", "--format", "json").stdout)}
    assert set(records) == {*catalogue(), *published.CPUS}
    for id in catalogue():
        machine = load_machine(id)
        assert records[id]["cores"] == machine.cores.count.typical
        assert records[id]["peak_int8_tera_ops_s"] == machine.best_peak("int8") / 1e12
        assert records[id]["peak_bandwidth_gb_s"] == machine.peak_bandwidth / 1e9
    for id, record in records.items():
        assert ("published" in record["methods"]) == (id in published.CPUS)
        assert ("roofline" in record["methods"]) == (id in catalogue())
    table = run("cpus").stdout
    assert all(id in table for id in records)


def test_models_lists_counts_of_what_was_traced(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    workload = zoo.workload("resnet50")
    records = {r["name"]: r for r in json.loads(run("models", "-f", "json").stdout)}
    assert list(records) == list(zoo.names())
    assert records["resnet50"]["gflop"] == workload.flops / 1e9
    assert records["resnet50"]["parameters"] == workload.parameters == 25_557_032

    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path))
    result = run("models")
    assert "resnet50" in result.stdout
    assert "--flops" in result.stderr


def test_explain_accounts_for_the_whole_latency(run: Run, saved: Path) -> None:
    result = run("explain", saved, "--cpu", "xeon_8490h", "--format", "json")
    document = json.loads(result.stdout)
    (row,) = compare([saved], ["xeon_8490h"])
    assert document["latency_ms"] == row.latency_ms
    assert sum(k["latency_ms"] for k in document["kernels"]) == pytest.approx(row.latency_ms)
    assert sum(k["share"] for k in document["kernels"]) == pytest.approx(1)
    latencies = [k["latency_ms"] for k in document["kernels"]]
    assert latencies == sorted(latencies, reverse=True)
    assert document["machine"]["peak_tera_ops_s"]["amx_int8"] > 200


def test_explain_states_its_roofline_in_flop_per_byte(run: Run, saved: Path) -> None:
    result = run("explain", saved, "-c", "epyc_9654", "--state", "cold", "-f", "json")
    document = json.loads(result.stdout)
    above = document["operational_intensity_flop_per_byte"] / document["ridge_point_flop_per_byte"]
    assert document["mfu"] / document["mbu"] == pytest.approx(above)


def test_explain_groups_repeated_layers_in_its_table(run: Run, saved: Path) -> None:
    result = run("explain", saved, "--cpu", "epyc_9654", "--top", "1")
    assert "layers.*.fc" in result.stdout
    assert "and 1 more kernels" in result.stdout
    everything = run("explain", saved, "--cpu", "epyc_9654").stdout
    assert "head" in everything
    assert "more kernels" not in everything


def test_explain_as_csv_has_one_line_per_kernel(run: Run, saved: Path) -> None:
    lines = run("explain", saved, "--cpu", "epyc_9654", "-f", "csv").stdout.splitlines()
    assert len(lines) == 1 + len(Workload.load(saved))
    assert lines[0].startswith("name,operator,family,engine,cores,level,bound")


def test_groups_hold_every_kernel_once() -> None:
    result = estimate(zoo.workload("resnet50"), "epyc_9654")
    groups = grouped(result.kernels)
    assert len(groups) < len(result.kernels)
    assert sum(group.count for group in groups) == len(result.kernels)
    assert sum(group.latency_ms for group in groups) == pytest.approx(result.latency_ms)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["layer1.0.conv1"], "layer1.0.conv1"),
        (["layer1.0.conv1", "layer1.2.conv1"], "layer1.*.conv1"),
        (["a.1.b.1", "a.10.b.2"], "a.*.b.*"),
    ],
)
def test_numbers_that_differ_become_a_star(names: list[str], expected: str) -> None:
    assert common_name(names) == expected


def test_explain_shows_products_by_size_and_modules_as_a_tree(run: Run, saved: Path) -> None:
    on = ("explain", saved, "--cpu", "epyc_9654")
    products = run(*on, "--view", "products").stdout
    assert "m x n x k" in products
    assert "ridge point" in products
    assert "MFU" in products
    tree = run(*on, "--view", "modules", "-f", "csv").stdout.splitlines()
    assert tree[0] == "depth,module,count,kernels,flops,moved_bytes,latency_ms,share"
    assert tree[1].startswith("0,")
    assert tree[1].endswith(",1.0") or float(tree[1].rsplit(",", 1)[1]) == pytest.approx(1)
    document = json.loads(run(*on, "-f", "json").stdout)
    assert document["modules"]["flops"] == document["flops"]
    assert 0 <= document["mbu"] <= 1
    kernel = next(k for k in document["kernels"] if k["gemm_m"])
    sizes = [kernel[f"gemm_{name}"] for name in ("loops", "m", "n", "k")]
    assert 2 * sizes[0] * sizes[1] * sizes[2] * sizes[3] == kernel["flops"]
