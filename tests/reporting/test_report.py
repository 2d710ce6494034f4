"""The report: every section has its chart, its words and its data, and nothing is asked for."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from unittest import mock

import pytest

import perfmodel
from perfmodel.comparison import searching
from perfmodel.errors import PerfmodelError
from perfmodel.exploration import explore
from perfmodel.reporting import report
from tests.mapping.test_modules import encoder

CPUS = ["epyc_9654", "xeon_8490h"]


class Page(HTMLParser):
    """What a browser would read of a page, scripts apart."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("report")
    saved = folder / "net.json"
    encoder().save(saved)
    space = {"models": [str(saved)], "cpus": CPUS, "figures": {"cores.count": [24, 48]}}
    explore(space, folder / "results")
    return report(encoder(), CPUS, "int8", rate=1000, explored=folder / "results")


def test_it_asks_no_server_for_anything(text: str) -> None:
    page = Page(text)
    for tag, attributes in page.tags:
        for name in ("src", "href", "action", "srcset"):
            value = attributes.get(name)
            assert value is None or value.startswith("data:"), (tag, value)
    assert "@import" not in text
    assert not re.search(r"url\((?!#|\"#|data:)", text.split("<script")[0])


def test_every_chart_has_words_and_its_data_beside_it(text: str) -> None:
    page = Page(text)
    titles = re.findall(r"<h2[^>]*>([^<]*)</h2>", text.split("<script")[0])
    assert titles == [
        "Ranking",
        "Roofline: encoder on epyc_9654",
        "Roofline: encoder on xeon_8490h",
        "Modules: encoder",
        "Serving: encoder",
        "Cost: encoder",
        "Pareto front",
    ]
    charts = [d for d in page.all("div") if d.get("role") == "img"]
    assert len(charts) == len(titles) == len(page.all("table"))
    assert all(len(chart["aria-label"] or "") > 20 for chart in charts)
    boxes = [box["value"] for box in page.all("input")]
    assert sorted(box or "" for box in boxes) == CPUS


def test_its_charts_are_of_the_rows_of_its_tables(text: str) -> None:
    found = re.search(r'<script type="application/json" id="specs">(.*?)</script>', text, re.S)
    assert found is not None
    ranking = json.loads(found[1])[0]["data"]["values"]
    expected = {r.cpu: r.latency_ms for r in (perfmodel.estimate(encoder(), c) for c in CPUS)}
    assert {row["cpu"]: row["latency_ms"] for row in ranking} == expected
    section = text[text.index('id="s0"') : text.index('id="s1"')]
    assert section.count("<tr") == 1 + len(ranking)


def test_names_are_text_and_never_markup() -> None:
    workload = encoder()
    object.__setattr__(workload, "name", "</script><script>alert(1)</script>&\"'")
    page = report(workload, CPUS[0], "int8")
    assert "<script>alert" not in page
    assert page.count("</script>") == 3


def test_nothing_to_report_is_refused() -> None:
    with pytest.raises(PerfmodelError, match="nothing to report"):
        report([], CPUS)


def test_each_cpu_is_searched_once_whatever_is_shown_of_it() -> None:
    with mock.patch.object(searching, "search", side_effect=searching.search) as search:
        report(encoder(), CPUS, "int8", rate=1000)
    assert [call.args[1].id for call in search.call_args_list] == CPUS
