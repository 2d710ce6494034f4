"""The one result: what JSON, CSV, pandas and people see of it."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from perfmodel.certainty import Interval, Spread
from perfmodel.errors import PerfmodelError
from perfmodel.mapping import Result, Results, estimate
from perfmodel.mapping.result import SHARES
from perfmodel.serving import Partition, serve
from tests.builder import Builder

#: How sure a result is: absent where nothing is known.
CERTAINTY = (
    "latency_low_ms",
    "latency_high_ms",
    "throughput_low_fps",
    "throughput_high_fps",
    "interval_coverage",
    "provenance",
    "evidence_points",
    "evidence_machines",
)


def layer() -> Result:
    b = Builder("layer")
    b.linear(b.input(64 * 64), 64, 64, 64)
    return estimate(b.workload(), "epyc_9654")


def divided() -> Result:
    b = Builder("layer")
    b.linear(b.input(64 * 64), 64, 64, 64)
    return serve(b.workload(), "epyc_9654", Partition(12, 8))


def silent(result: Result) -> Result:
    """The result as a method makes it that knows no error of its own."""
    return replace(result, certainty=None)


def test_json_leaves_out_what_is_not_known_and_keeps_the_order_of_the_columns() -> None:
    unknown, known = silent(layer()).to_dict(), layer().to_dict()
    assert not set(CERTAINTY) & set(unknown)
    assert json.loads(json.dumps(known, allow_nan=False)) == known
    assert set(CERTAINTY) < set(known)
    assert [name for name in known if name not in CERTAINTY] == list(unknown)
    records = list(layer().to_record())
    assert [name for name in known if name in records] == [n for n in records if n in known]
    assert not {"machine", "parts", "certainty", "figures"} & known.keys()


def test_records_have_the_same_columns_whatever_the_result_is_of() -> None:
    single, served = layer(), divided()
    published = replace(single, method="published", bottleneck_shares={"memory": 1.0}, state=None)
    columns = list(single.to_record())
    assert columns == list(served.to_record()) == list(published.to_record())
    assert single.to_record()["instances"] is None
    assert (served.to_record()["instances"], served.to_record()["weights"]) == (12, "separate")
    shares = [single.to_record()[f"share_{label}"] for label in SHARES]
    assert sum(share for share in shares if share is not None) == pytest.approx(1)
    assert published.to_record()["share_memory"] == 1.0
    assert all(not isinstance(value, dict) for value in served.to_record().values())


def test_a_repr_is_a_few_lines_and_html_a_table() -> None:
    stated = Interval(
        low=0.5,
        high=2.0,
        coverage=0.8,
        provenance="transferred",
        machines=4,
        points=12,
        bias=1.0,
        spread=Spread(),
    )
    found = replace(layer(), model="a<b", latency_ms=2.0, certainty=stated)
    assert len(repr(found)) < 400
    assert "a<b" in repr(found)
    assert "2.00 ms (1.00 to 4.00)" in repr(found)
    assert "bound" not in repr(found)
    assert "uncalibrated" in repr(silent(layer()))
    assert "a&lt;b" in found._repr_html_()
    many = Results([found] * 100)
    assert len(repr(many).splitlines()) < 10
    assert "and 94 more" in repr(many)
    assert many._repr_html_().count("<tr>") == 101


def test_a_result_as_people_read_it() -> None:
    found = silent(replace(layer(), latency_ms=2.0, throughput_fps=500.0, calibration=None))
    found = replace(found, bottleneck="L2", bottleneck_shares={"L2": 0.6, "L3": 0.4})
    assert repr(found) == (
        "Result(model: layer, cpu: epyc_9654, run: INT8, batch 1, steady, openvino, "
        "latency: 2.00 ms, throughput: 500 FPS, bottleneck: L2 60 %, estimate: roofline method)"
    )
    tokens = replace(found, tokens_per_s=4000.0, phase="decode at context 9")
    assert "throughput: 4,000 tokens/s" in repr(tokens)
    assert "batch 1, decode at context 9, steady" in repr(tokens)
    assert "divided: " not in repr(found)
    assert f"divided: {Partition(12, 8)}, " in repr(divided())


def test_results_name_what_differs_and_how_many_there_are() -> None:
    one = replace(layer(), latency_ms=2.0, bottleneck="L2", bottleneck_shares={"L2": 0.6})
    row = "  layer on epyc_9654: 2.00 ms, L2 60 % (roofline)"
    assert repr(Results([one] * 2)).splitlines() == ["2 results", row, row]
    assert repr(Results([one] * 6)).splitlines() == ["6 results", *[row] * 6]
    assert repr(Results([one] * 7)).splitlines()[-2:] == [row, "  and 1 more"]
    for other in (replace(one, precision="bf16"), replace(one, batch=4)):
        lines = repr(Results([one, other])).splitlines()
        assert lines[1] == row.replace("9654:", "9654, INT8, batch 1:")
        assert f", {other.precision.upper()}, batch {other.batch}: " in lines[2]
    assert "<td>2.00</td>" in Results([one])._repr_html_()
    assert "<td>L2 60 %</td>" in Results([one])._repr_html_()


def test_the_pace_of_a_socket_is_that_of_all_its_instances() -> None:
    assert layer().pace_ms == layer().latency_ms
    assert divided().pace_ms == divided().latency_ms / 12
    assert divided().partition == Partition(12, 8)
    known = replace(divided(), machine=None)
    assert known.partition == Partition(12, 8)
    # Both are needed to know it.
    assert replace(divided(), cores_per_instance=None).partition == Partition(1, 96)


def test_an_interval_s_ends_are_factors_on_latency_and_throughput() -> None:
    stated = Interval(0.5, 4.0, 0.8, "measured", 4, 12, 1.0, Spread())
    found = replace(layer(), latency_ms=2.0, throughput_fps=100.0, certainty=stated)
    assert (found.latency_low_ms, found.latency_high_ms) == (1.0, 8.0)
    assert (found.throughput_low_fps, found.throughput_high_fps) == (25.0, 200.0)
    bound = replace(found, certainty=replace(stated, provenance="bound"))
    unknown = replace(found, certainty=None)
    for without in (bound, unknown):
        for name in CERTAINTY[:4]:
            assert getattr(without, name) is None


def test_pandas_gets_a_row_per_result() -> None:
    pandas = pytest.importorskip("pandas")
    frame = Results([layer(), divided()]).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(layer().to_record())
    assert frame["latency_ms"].tolist() == [layer().latency_ms, divided().latency_ms]
    assert len(layer().to_pandas()) == 1


def test_a_result_of_the_published_method_has_no_kernels_and_no_division() -> None:
    published = replace(layer(), method="published", machine=None, parts=None)
    with pytest.raises(PerfmodelError, match="published method has no kernels"):
        published.kernels  # noqa: B018
    with pytest.raises(PerfmodelError, match="does not divide"):
        published.partition  # noqa: B018
    assert layer().partition == Partition(1, 96)


def test_equal_results_are_one_in_a_set() -> None:
    assert len({layer(), layer(), divided()}) == 2
    # What a result is made of is not compared: columns are.
    made_of = dict.fromkeys(("memory", "machine", "certainty", "figures", "parts"))
    for name in made_of:
        assert replace(layer(), **{name: None}) == layer(), name
    assert replace(layer(), batch=2) != layer()


def test_what_is_said_of_certainty_is_that_of_the_interval() -> None:
    found = layer()
    assert found.certainty is not None
    stated = replace(found.certainty, coverage=0.7, provenance="fitted", machines=4, points=12)
    other = replace(found, certainty=stated)
    told = {name: getattr(other, name) for name in CERTAINTY}
    assert told["interval_coverage"] == 0.7
    assert (told["provenance"], told["evidence_machines"]) == ("fitted", 4)
    assert told["evidence_points"] == 12
    bound = replace(found, certainty=replace(stated, provenance="bound"))
    assert (bound.interval_coverage, bound.provenance) == (None, "bound")
