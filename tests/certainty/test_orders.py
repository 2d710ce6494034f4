from __future__ import annotations

import math
from dataclasses import replace

import pytest

from perfmodel.certainty import Identity, interval, verdict
from perfmodel.certainty.interval import Spread
from perfmodel.certainty.orders import difference, probability

INTEL = Identity("xeon", "Golden Cove", "Intel")
AMD = Identity("epyc", "Zen 4", "AMD")


def test_what_two_machines_share_cancels() -> None:
    a = Spread(shared=0.3, core=0.2, own=0.1)
    assert difference(a, a, same_core=True) == pytest.approx(0.1 * math.sqrt(2))
    assert difference(a, a, same_core=False) == pytest.approx(math.hypot(0.2, 0.1) * math.sqrt(2))
    # What is twice as large on one of them does not cancel whole.
    assert difference(a, replace(a, shared=0.6), same_core=True) > 0.3


def test_probability_follows_the_ratio() -> None:
    a = Spread(own=0.2)
    assert probability(0.0, a, a, same_core=False) == pytest.approx(0.5)
    once, twice = (probability(math.log(r), a, a, same_core=False) for r in (1.3, 1.7))
    assert 0.5 < once < twice < 1
    assert probability(-math.log(1.3), a, a, same_core=False) == pytest.approx(1 - once)
    assert probability(0.1, Spread(), Spread(), same_core=False) == 1


def test_an_order_is_established_by_probability_and_evidence() -> None:
    known = INTEL, interval("openvino", "single", INTEL, "int8")
    assert verdict(0.95, known, known) == ("established", "")
    assert verdict(0.85, known, known) == ("leaning", "")


def test_an_order_with_a_vendor_nobody_measured_is_at_most_leaning() -> None:
    known = INTEL, interval("openvino", "single", INTEL, "int8")
    never = AMD, interval("openvino", "single", AMD, "int8")
    for a, b in ((known, never), (never, known)):
        called, reason = verdict(0.999, a, b)
        assert called == "leaning"
        assert "AMD" in reason
    assert verdict(0.999, never, never)[0] == "established"


@pytest.mark.parametrize("software", ["tensorflow", "nobody's", "ideal"])
def test_an_order_of_few_machines_is_untested(software: str) -> None:
    a, b = ((who, interval(software, "throughput", who, "fp32")) for who in (INTEL, AMD))
    called, reason = verdict(0.999, a, b)
    assert called == "untested"
    assert "an order needs 4" in reason


def test_machines_that_were_calibrated_need_no_others() -> None:
    a, b = (
        (who, interval("nobody's", "single", who, "fp32", measured=0.1)) for who in (INTEL, AMD)
    )
    assert verdict(0.95, a, b)[0] == "established"


def test_an_order_of_two_cores_in_a_precision_nobody_measured_is_at_most_leaning() -> None:
    newer = replace(INTEL, core="Redwood Cove")
    known = newer, interval("openvino", "single", newer, "int8")
    here, there = ((who, interval("openvino", "single", who, "fp32")) for who in (INTEL, newer))
    for a, b in ((here, there), (there, here), (here, known)):
        called, reason = verdict(0.999, a, b)
        assert called == "leaning"
        assert "no FP32 point of single runs under openvino" in reason
    assert verdict(0.999, here, here) == ("established", "")


def test_two_cpus_without_a_stated_vendor_are_not_of_one() -> None:
    unstated = replace(AMD, vendor="")
    never = unstated, interval("openvino", "single", unstated, "int8")
    assert verdict(0.999, never, never)[0] == "leaning"
