from __future__ import annotations

import pytest

from benchmarks import test_rankings as suite
from benchmarks.support.cases import Case
from benchmarks.support.cpus import AMD, AMPERE, INTEL

LATENCY_MS = {INTEL: 2.0, AMD: 1.0, AMPERE: 2.5}


@pytest.fixture(autouse=True)
def _fixed_latencies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(suite, "latencies", lambda *_: LATENCY_MS)


def expected(*leaders: str) -> suite.Ranking:
    return suite.Ranking("roofline", Case("vit"), "int8", leaders, "of its bandwidth")


@pytest.mark.parametrize("leaders", [(AMD,), (AMD, INTEL), (AMD, INTEL, AMPERE)])
def test_the_order_or_its_beginning_passes(leaders: tuple[str, ...]) -> None:
    suite.test_ranking(expected(*leaders))


def test_a_broken_order_fails_with_reason_ordering_and_margins() -> None:
    with pytest.raises(pytest.fail.Exception) as failure:
        suite.test_ranking(expected(INTEL, AMD))
    assert str(failure.value) == (
        f"roofline-vit-int8: expected {INTEL} > {AMD}, because of its bandwidth.\n"
        "Found:\n"
        f"  1. {AMD}: 1 ms (2.000x ahead of the next)\n"
        f"  2. {INTEL}: 2 ms (1.250x ahead of the next)\n"
        f"  3. {AMPERE}: 2.5 ms"
    )


def test_every_expectation_has_a_reason_and_an_id_of_its_own() -> None:
    ids = [ranking.id for ranking in suite.RANKINGS]
    assert len(set(ids)) == len(ids)
    for ranking in suite.RANKINGS:
        assert len(ranking.reason) > 60, ranking.id
        assert set(ranking.leaders) <= {INTEL, AMD, AMPERE}
