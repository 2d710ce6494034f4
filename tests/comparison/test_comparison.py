from __future__ import annotations

import itertools
from pathlib import Path

import pytest

import perfmodel
from perfmodel import published
from perfmodel._text import significant
from perfmodel.comparison import DEFAULT_CPUS, chosen, compare, disagreement, rankings
from perfmodel.comparison.disagreement import disagreements
from perfmodel.errors import PerfmodelError, TraceError, UnknownName
from perfmodel.mapping import Result
from perfmodel.models import zoo
from perfmodel.published.nodes import Convolution, Graph, Linear
from perfmodel.resolve import ModelSource
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary import words
from perfmodel.workload.workload import Workload
from tests.builder import Builder
from tests.published.builders import graph

TOKENS, WIDTH, LAYERS = 196, 1024, 24
CATALOGUE = Path(perfmodel.__file__).parent / "machine" / "catalog"


def transformer() -> tuple[Workload, Graph]:
    """Linear layers over many tokens, as either method sees them."""
    b = Builder("stack")
    x = b.input(TOKENS * WIDTH)
    rows: list[tuple[object, ...]] = [("x", "in", "", {"shape": (1, TOKENS, WIDTH)})]
    for layer in range(LAYERS):
        x = b.linear(x, TOKENS, WIDTH, WIDTH)
        extra = {
            "shape": (1, TOKENS, WIDTH),
            "linear": Linear(WIDTH, WIDTH),
            "parameters": WIDTH * WIDTH,
        }
        rows.append((f"l{layer}", "Linear", rows[-1][0], extra))
    return b.workload(), graph(*rows)


def convolutions() -> tuple[Workload, Graph]:
    """3x3 convolutions that both methods count alike."""
    b = Builder("stack")
    pixels, channels = 56 * 56, 512
    x = b.input(pixels * channels)
    rows: list[tuple[object, ...]] = [("x", "in", "", {"shape": (1, channels, 56, 56)})]
    for layer in range(4):
        loops = (1, pixels, channels, channels * 9)
        x = b.kernel("conv2d", f.CONV, [x], weights=(b.weight(channels * 9),), gemm=loops)
        extra = {
            "shape": (1, channels, 56, 56),
            "convolution": Convolution(channels, channels, (3, 3), 1),
            "parameters": channels * channels * 9,
        }
        rows.append((f"c{layer}", "Conv2d", rows[-1][0], extra))
    return b.workload(), graph(*rows)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch):
    """Let "stack" name a workload and the published method's graph of the same model."""

    def install(workload: Workload, its_graph: Graph | Exception) -> None:
        def resolve(model: object, run: object, **options: object) -> ModelSource:
            return ModelSource("stack", "stack", None, ("stack", (3, 8, 8)), lambda batch: workload)

        def fake_graph(name: str, shape: tuple[int, ...]) -> Graph:
            assert (name, shape) == ("stack", (3, 8, 8))
            if isinstance(its_graph, Exception):
                raise its_graph
            return Graph("stack", its_graph.nodes)

        monkeypatch.setattr(chosen, "resolve_model", resolve)
        monkeypatch.setattr(published, "graph", fake_graph)

    return install


def small(name: str = "small", batch: int = 1) -> Workload:
    b = Builder(name, batch)
    b.linear(b.input(64 * 64), 64, 64, 64)
    return b.workload()


def row(cpu: str, latency_ms: float, model: str = "m", method: str = "roofline") -> Result:
    return Result(
        model=model,
        cpu=cpu,
        method=method,
        precision="int8",
        batch=1,
        latency_ms=latency_ms,
        throughput_fps=1e3 / latency_ms,
        fps_per_watt=1.0,
        power_basis="tdp",
        utilization=0.5,
        bottleneck="compute",
        bottleneck_shares={"compute": 1.0},
        active_cores=1,
        mean_active_cores=1.0,
    )


# -- rows ------------------------------------------------------------------------------------------


def test_rows_are_the_estimates_of_either_method() -> None:
    rows = compare("resnet50", methods=words.METHODS)
    assert [r.method for r in rows] == ["roofline"] * 3 + ["published"] * 3
    workload = zoo.workload("resnet50")
    for found in rows:
        if found.method == "roofline":
            expected = perfmodel.estimate(workload, found.cpu).to_dict()
            assert found.to_dict() == expected
        else:
            printed = published.estimate("resnet50", found.cpu)
            assert found.latency_ms == printed.latency_ms
            assert found.utilization == printed.utilization
            assert 0 < found.mean_active_cores <= found.active_cores <= printed.total_cores
        assert found.throughput_fps == pytest.approx(1e3 / found.latency_ms)
        assert sum(found.bottleneck_shares.values()) == pytest.approx(1)
        assert found.bottleneck_shares[found.bottleneck] == max(found.bottleneck_shares.values())


def test_rows_go_by_model_as_given_then_method_then_latency() -> None:
    rows = compare([small("b"), small("a")], methods=["roofline"])
    assert [r.model for r in rows] == ["b"] * 3 + ["a"] * 3
    for _, group in itertools.groupby(rows, key=lambda r: r.model):
        latencies = [r.latency_ms for r in group]
        assert latencies == sorted(latencies)
    assert {r.cpu for r in rows} == set(DEFAULT_CPUS)


def test_a_workload_keeps_its_batch_and_refuses_another() -> None:
    (found,) = compare([small(batch=8)], ["epyc_9654"])
    assert found.batch == 8
    assert found.throughput_fps == pytest.approx(8e3 / found.latency_ms)
    with pytest.raises(PerfmodelError, match="traced at batch 8, not 2"):
        compare([small(batch=8)], batch=2)
    with pytest.raises(PerfmodelError, match="at least 1, not 0"):
        compare([small()], batch=0)


def test_names_given_twice_count_once_and_clashes_are_refused(tmp_path: Path) -> None:
    workload = small()
    assert len(compare([workload, workload], ["epyc_9654", "epyc_9654"])) == 1
    workload.save(tmp_path / "other.json")
    with pytest.raises(PerfmodelError, match="two models are called 'small'"):
        compare([workload, tmp_path / "other.json"])
    copied = tmp_path / "mine.toml"
    copied.write_text((CATALOGUE / "epyc_9654.toml").read_text())
    with pytest.raises(PerfmodelError, match="two CPUs have the id 'epyc_9654'"):
        compare([workload], ["epyc_9654", copied])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"models": ["resnet5"]}, "'resnet50'"),
        ({"cpus": ["epyc-9654"]}, "'epyc_9654'"),
        ({"precision": "int4"}, "'w4'"),
        ({"methods": ["publish"]}, "'published'"),
        ({"state": "warm"}, "steady"),
        ({"software": "eagr"}, "'eager'"),
        ({"cpus": ["granite_rapid"], "methods": ["published"]}, "'granite_rapids'"),
    ],
)
def test_unknown_names_are_found_before_anything_is_traced(
    arguments: dict[str, object], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def traced(*_: object, **__: object) -> None:
        raise AssertionError("traced before the names were checked")

    monkeypatch.setattr(zoo, "workload", traced)
    monkeypatch.setattr(published, "graph", traced)
    with pytest.raises(UnknownName, match=expected):
        compare(**arguments)  # type: ignore[arg-type]


# -- where the published method exists -------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"precision": "bf16"}, "int8 at batch 1 only, not bf16 at batch 1"),
        ({"batch": 2}, "int8 at batch 1 only, not int8 at batch 2"),
    ],
)
def test_the_published_method_is_left_out_aloud(
    arguments: dict[str, object], told: str, stand_in
) -> None:
    stand_in(*transformer())
    heard: list[str] = []
    rows = compare(left_out=heard.append, **arguments)  # type: ignore[arg-type]
    assert {r.method for r in rows} == {"roofline"}
    assert len(heard) == 1
    assert told in heard[0]
    with pytest.raises(PerfmodelError, match=told):
        compare(["stack"], methods=["published"], **arguments)  # type: ignore[arg-type]


def test_a_users_file_never_gets_the_figures_of_the_published_method(
    tmp_path: Path, stand_in
) -> None:
    stand_in(*transformer())
    file = tmp_path / "epyc_9654.toml"
    file.write_text((CATALOGUE / "epyc_9654.toml").read_text())
    heard: list[str] = []
    rows = compare(None, [file, "xeon_8490h"], left_out=heard.append)
    by_method = {m: {r.cpu for r in rows if r.method == m} for m in ("roofline", "published")}
    assert by_method == {"roofline": {"epyc_9654", "xeon_8490h"}, "published": {"xeon_8490h"}}
    assert len(heard) == 1
    with pytest.raises(PerfmodelError, match="only its own CPUs"):
        compare(["stack"], [file], methods=["published"])


def test_a_saved_workload_has_no_published_method() -> None:
    heard: list[str] = []
    assert {r.method for r in compare(small(), left_out=heard.append)} == {"roofline"}
    assert heard == []
    with pytest.raises(PerfmodelError, match="workload small"):
        compare([small()], methods=["published"])


def test_a_machine_of_the_catalogue_keeps_the_published_rows(stand_in) -> None:
    stand_in(*transformer())
    machine = perfmodel.load_machine("epyc_9654")
    assert compare(cpus=machine) == compare(cpus=["epyc_9654"]) == compare(cpus=[machine, machine])
    assert [r.method for r in compare(cpus=machine)] == ["roofline", "published"]
    changed = machine.with_values({"cores.count": 90.0})
    assert [r.method for r in compare(cpus=[changed])] == ["roofline"]


def test_the_published_method_speaks_where_it_is_asked_for(stand_in) -> None:
    stand_in(*transformer())
    assert {r.method for r in compare("stack")} == {"roofline"}
    assert {r.method for r in compare("stack", methods=words.METHODS)} == set(words.METHODS)
    assert {r.method for r in compare()} == set(words.METHODS)


def test_cpus_of_the_published_method_alone(stand_in) -> None:
    stand_in(*transformer())
    (found,) = compare(["stack"], ["granite_rapids"], methods=["published"])
    assert found.cpu == "granite_rapids"
    with pytest.raises(PerfmodelError, match="published method only"):
        compare(["stack"], ["granite_rapids"])


def test_a_model_that_fx_cannot_follow_is_left_out(stand_in) -> None:
    stand_in(transformer()[0], TraceError("stack: control flow"))
    heard: list[str] = []
    assert {r.method for r in compare(left_out=heard.append)} == {"roofline"}
    assert "control flow" in heard[0]
    with pytest.raises(TraceError, match="control flow"):
        compare(["stack"], methods=["published", "roofline"])


# -- rankings and reasons --------------------------------------------------------------------------


def test_rankings_order_by_latency_with_ratios_to_the_fastest() -> None:
    rows = [row("c", 3.0), row("a", 2.0), row("b", 2.0), row("a", 9.0, method="published")]
    first, second = rankings(rows)
    assert first.cpus == ("a", "b", "c")
    assert first.ratios == (1.0, 1.0, 1.5)
    assert str(first) == "a 1.00x > b 1.00x > c 1.50x"
    assert (second.method, second.cpus) == ("published", ("a",))


def test_a_reason_states_what_was_not_counted_and_what_was_compared(stand_in) -> None:
    workload, its_graph = transformer()
    stand_in(workload, its_graph)
    rows = compare(software="ideal")
    (found,) = disagreements(rows)
    assert found.roofline.cpus[0] == "xeon_8490h"
    assert found.published.cpus == ("epyc_9654", "ampereone_192", "xeon_8490h")
    # One of 196 tokens: 24 layers of 2 * 1024**2 operations.
    assert "counts 0.0503 of 9.87 GFLOP (linear layers 0.0503 of 9.87)" in found.reason
    assert "compares memory bandwidth alone" in found.reason
    assert "epyc_9654 460.8 GB/s, xeon_8490h 307.2 GB/s" in found.reason
    for cpu, engine in (("xeon_8490h", "amx"), ("epyc_9654", "avx512")):
        peak = significant(perfmodel.load_machine(cpu).peak_ops(engine, "int8") / 1e12)
        assert f"{cpu} by {engine} at a peak of {peak} INT8 TOP/s" in found.reason
    assert "\n" not in found.reason


def test_a_reason_does_not_blame_counts_that_are_right(stand_in) -> None:
    stand_in(*convolutions())
    (found,) = disagreements(compare())
    # Only the second and third places differ, so the reason is about those two.
    assert found.roofline.cpus == ("xeon_8490h", "epyc_9654", "ampereone_192")
    assert found.published.cpus == ("xeon_8490h", "ampereone_192", "epyc_9654")
    assert "GFLOP" not in found.reason
    assert "INT8 peaks alone" in found.reason
    peak = significant(perfmodel.load_machine("epyc_9654").best_peak("int8") / 1e12)
    assert f"epyc_9654 7.37 where the catalogue has {peak}" in found.reason
    assert "xeon_8490h" not in found.reason


def test_equal_orders_and_single_cpus_are_no_disagreement(stand_in) -> None:
    stand_in(*transformer())
    rows = compare()
    common = [r for r in rows if r.cpu in ("epyc_9654", "ampereone_192")]
    assert disagreements(common) == []
    assert disagreements([r for r in rows if r.cpu == "xeon_8490h"]) == []
    assert disagreements([r for r in rows if r.method == "roofline"]) == []


def test_the_pair_a_reason_is_about_is_ordered_differently() -> None:
    for ours, theirs in itertools.product(itertools.permutations("abcd"), repeat=2):
        if ours != theirs:
            by_roofline, by_published = rankings(
                [
                    *(row(cpu, 1.5**n) for n, cpu in enumerate(ours)),
                    *(row(cpu, 1.3**n, method="published") for n, cpu in enumerate(theirs)),
                ]
            )
            first, second = disagreement._inversion(by_roofline, by_published)
            assert ours.index(first) < ours.index(second)
            assert theirs.index(first) > theirs.index(second)
            if ours[0] != theirs[0]:
                assert (first, second) == (ours[0], theirs[0])
