"""A trace for any batch, against a trace at each batch, on whole models."""

from __future__ import annotations

import pytest

from perfmodel.models import zoo
from perfmodel.tracing.symbolic import trace_parametric
from perfmodel.tracing.tracing import trace


@pytest.mark.parametrize("name", ["resnet50", "vit_b_16"])
def test_a_model_at_any_batch_is_what_a_trace_at_that_batch_gives(name: str) -> None:
    module, inputs = zoo.build(name)
    workload = trace_parametric(module, inputs, name=name)
    for batch in (1, 2, 8):
        fresh = trace(module, zoo.build(name, batch)[1], name=name).to_dict()
        parametric = workload.at(batch=batch).to_dict()
        assert parametric.keys() == fresh.keys()
        for key in fresh:
            assert parametric[key] == fresh[key], f"{key} at batch {batch}"
