"""The encoder's latency on the servers it is deployed on, none of which is needed here."""

from __future__ import annotations

import pytest
from encoder import encoder


def test_latency_is_as_reviewed(perfmodel_guard) -> None:
    perfmodel_guard(encoder, cpus=["graviton4", "epyc_9654", "xeon_8490h"], precision="bf16")


@pytest.mark.perfmodel(max_latency="5 ms")
def test_latency_is_within_its_budget(perfmodel_guard) -> None:
    perfmodel_guard(encoder, precision="bf16", max_increase="5 %")
