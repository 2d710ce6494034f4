"""Measured services: they can be read, and the limit is theirs."""

from __future__ import annotations

from perfmodel.evidence.services import (
    generations,
    predicted,
    predicted_tokens_per_s,
    services,
)


def test_every_service_has_a_source_and_a_limit_above_its_median() -> None:
    assert len(services()) == 3
    for point in services():
        assert "inference_results" in point.source
        assert point.p50_ms < point.limit_ms


def test_predictions_are_of_the_whole_system_and_within_its_limit() -> None:
    first = next(predicted())
    assert first.measured.model == "resnet50"
    assert first.rate == 2 * first.fleet.most_rate
    assert first.fleet.latency_ms[99] <= first.measured.limit_ms
    # Both are about the rate of the socket, not of a batch: within 2 times of what was measured.
    assert 0.5 < first.rate / first.measured.rate < 2


def test_generated_text_without_limits_is_predicted_within_two_times() -> None:
    (point,) = generations()
    assert point.doubt
    assert 0.5 < predicted_tokens_per_s(point) / point.tokens_per_s < 2
