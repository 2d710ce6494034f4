from __future__ import annotations

import pytest

SUITE = """
def test_speed(hold):
    hold("loading", {measured}, 5, "{unit}")
"""


@pytest.mark.parametrize(
    ("measured", "unit", "limit", "outcome", "said"),
    [
        ("4.9", "x", 10, {"passed": 1}, "within target"),
        ("9.9", "x", 10, {"passed": 1}, "ABOVE TARGET"),
        ("10.1", "x", 10, {"failed": 1}, "FAILED"),
        ("19.9", "ms", 20, {"passed": 1}, "ABOVE TARGET"),
        ("20.1", "ms", 20, {"failed": 1}, "FAILED"),
        ("float('nan')", "ms", 20, {"failed": 1}, "nan ms*FAILED"),
    ],
)
def test_above_the_target_is_said_and_above_the_tripwire_fails(
    pytester: pytest.Pytester,
    measured: str,
    unit: str,
    limit: int,
    outcome: dict[str, int],
    said: str,
) -> None:
    pytester.makepyfile(SUITE.format(measured=measured, unit=unit))
    result = pytester.runpytest_inprocess("-p", "benchmarks.support.ledger")
    result.assert_outcomes(**outcome)
    result.stdout.fnmatch_lines(["=* speed against targets =*", f"loading: *{said}*"])
    assert f"(target 5, fails above {limit})" in result.stdout.str()
