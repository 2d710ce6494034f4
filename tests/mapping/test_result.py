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
