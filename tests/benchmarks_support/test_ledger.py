from __future__ import annotations

import pytest

SUITE = """
def test_speed(hold):
    hold("loading", {measured}, 5, "ms")
"""


@pytest.mark.parametrize(
    ("measured", "outcome", "said"),
    [
        ("4.9", {"passed": 1}, "within target"),
        ("9.9", {"passed": 1}, "ABOVE TARGET"),
        ("10.1", {"failed": 1}, "FAILED"),
        ("float('nan')", {"failed": 1}, "nan ms*FAILED"),
    ],
)
def test_above_the_target_is_said_and_above_the_tripwire_fails(
    pytester: pytest.Pytester, measured: str, outcome: dict[str, int], said: str
) -> None:
    pytester.makepyfile(SUITE.format(measured=measured))
    result = pytester.runpytest_inprocess("-p", "benchmarks.support.ledger")
    result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines(["=* speed against targets =*", f"loading: *{said}*"])
    assert "(target 5, fails above 10)" in result.stdout.str()
