"""The one result: what JSON, CSV, pandas and people see of it."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from perfmodel.errors import PerfmodelError
from perfmodel.mapping import Result, Results, estimate
from perfmodel.mapping.result import SHARES
from perfmodel.serving import Partition, serve
from tests.builder import Builder

#: How sure a latency is: absent until something is known.
CERTAINTY = {
    "latency_low_ms": 1.0,
    "latency_high_ms": 2.0,
    "interval_coverage": 0.8,
    "provenance": "transferred",
    "evidence_points": 12,
    "evidence_machines": 4,
}


def layer() -> Result:
    b = Builder("layer")
    b.linear(b.input(64 * 64), 64, 64, 64)
    return estimate(b.workload(), "epyc_9654")


def divided() -> Result:
    b = Builder("layer")
    b.linear(b.input(64 * 64), 64, 64, 64)
    return serve(b.workload(), "epyc_9654", Partition(12, 8))


def test_json_leaves_out_what_is_not_known_and_keeps_the_order_of_the_columns() -> None:
    found = replace(layer(), **dict.fromkeys(CERTAINTY))  # type: ignore[arg-type]
    names = list(found.to_dict())
    assert not CERTAINTY.keys() & set(names)
    known = replace(found, **CERTAINTY)  # type: ignore[arg-type]
    document = json.loads(json.dumps(known.to_dict(), allow_nan=False))
    assert {name: document[name] for name in CERTAINTY} == CERTAINTY
    columns = [f.name for f in fields(Result)]
    assert list(known.to_dict()) == [name for name in columns if name in known.to_dict()]
    assert not {"machine", "parts"} & document.keys()


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
    found = replace(layer(), model="a<b", **CERTAINTY)  # type: ignore[arg-type]
    assert len(repr(found)) < 400
    assert "a<b" in repr(found)
    assert "(1.00 to 2.00)" in repr(found)
    assert "transferred" in repr(found)
    unknown = replace(layer(), **dict.fromkeys(CERTAINTY))  # type: ignore[arg-type]
    assert "uncalibrated" in repr(unknown)
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
