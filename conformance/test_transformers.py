"""The Transformers of the zoo at full depth, in every phase, against PyTorch's own counter."""

from __future__ import annotations

import socket

import pytest
from torch import fx

from conformance.counting import counted_flops
from perfmodel.models import zoo
from perfmodel.models.huggingface_models import SPECS

RUNS = [(spec.name, phase) for spec in SPECS for phase in spec.phases or (None,)]


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> None:
        raise AssertionError("a model used the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.mark.parametrize(("name", "phase"), RUNS)
def test_flops_are_those_of_the_counter(
    name: str, phase: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Outside a trace transformers looks whether a mask hides anything, which on meta it cannot.
    monkeypatch.setattr(
        "transformers.masking_utils._ignore_bidirectional_mask_sdpa", lambda *_, **__: False
    )
    spec = zoo.spec(name)
    run = spec.run(phase=phase)
    workload = zoo.trace_run(spec, run)
    module, inputs = zoo.build_run(spec, run)
    assert workload.unmodelled == ()
    assert workload.parameters == sum(p.numel() for p in module.parameters())
    assert workload.flops == counted_flops(lambda: module(*inputs))


@pytest.mark.parametrize("name", ["bert_large", "gpt2_xl"])
def test_torch_fx_cannot_trace_them(name: str) -> None:
    # What the published comparison met; torch.export follows them, above.
    module, _ = zoo.build(name)
    with pytest.raises((TypeError, ValueError, AttributeError, fx.proxy.TraceError)):
        fx.symbolic_trace(module)
