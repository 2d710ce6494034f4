"""A forward that cannot be traced is one readable line: where, why, and what to do."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from perfmodel.errors import PerfmodelError, TraceError
from perfmodel.tracing.tracing import trace


class Branches(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x * 2
        if y.sum() > 0:  # the branch
            return y
        return -y


class Nonzero(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = x.nonzero()  # the size
        return found + 1


class Masked(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x[x > 0] * 2  # the mask


class Sized(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.zeros(int(x.max().item())) + 1  # the item


class Wrong(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Linear(4, 4)
        self.head = nn.Sequential(nn.ReLU(), nn.Linear(5, 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.head(x)  # the wrong shape


class Raises(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise KeyError("no such\nthing")  # the raise


def line_with(module: type[nn.Module], comment: str) -> str:
    lines, start = inspect.getsourcelines(module)
    (offset,) = (i for i, line in enumerate(lines) if f"# {comment}" in line)
    return f"test_tracing_errors.py:{start + offset} `{lines[offset].strip()}`"


@pytest.mark.parametrize(
    ("module", "comment", "reason"),
    [
        (Branches, "the branch", "depends on the values of a tensor"),
        (Nonzero, "the size", r"depends on the values of a tensor .*aten\.nonzero"),
        (Masked, "the mask", r"depends on the values of a tensor .*aten\.index"),
        (Sized, "the item", "depends on the values of a tensor"),
        (Wrong, "the wrong shape", r"in module 'head\.1' \(Linear\)"),
        (Raises, "the raise", "KeyError: 'no such"),
    ],
)
def test_the_line_the_reason_and_the_way_out(
    module: type[nn.Module], comment: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TraceError, match=reason) as caught:
        trace(module(), torch.ones(2, 4))
    message = str(caught.value)
    assert message.startswith(f"{module.__name__}: ")
    assert "\n" not in message
    assert line_with(module, comment) in message
    assert "make the branch" in message or "Check number, names, shapes" in message
    # torch.export logs tracebacks and prints graphs; none of it reaches the user.
    assert capfd.readouterr() == ("", "")


def test_a_value_that_decides_no_size_and_no_branch_may_be_read() -> None:
    class Scaled(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * x.sum().item()

    assert trace(Scaled(), torch.ones(2, 4)).kernels.operator == ("aten.sum", "aten.mul")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"example_inputs": "image"}, "must be a tensor, or a tuple or list .* not str"),
        ({"example_inputs": np.ones(3)}, r"not numpy\.ndarray"),
        ({"example_inputs": {"x": torch.ones(2)}}, "pass keyword arguments as kwargs="),
        (
            {"example_inputs": (np.ones(3),)},
            r"inputs\[0\] is numpy\.ndarray; pass torch\.from_numpy",
        ),
        ({"example_inputs": ([torch.ones(2), {1}],)}, r"inputs\[0\]\[1\] is set"),
        ({"kwargs": {"x": object()}}, r"kwargs\['x'\] is object"),
        ({"kwargs": [1]}, "kwargs must be a dict"),
        ({"kwargs": {1: torch.ones(2)}}, "kwargs must be a dict of argument names"),
        ({}, "no tensor among the inputs tells the batch; pass batch="),
        ({"example_inputs": torch.ones(2), "batch": 0}, "batch must be a whole number"),
        ({"example_inputs": torch.ones(0, 4)}, "batch must be a whole number of at least 1, not 0"),
        ({"example_inputs": (torch.ones(2),) * 2}, "too many positional"),
        ({"kwargs": {"y": torch.ones(2)}}, "missing a required argument"),
    ],
)
def test_wrong_inputs(arguments: dict[str, Any], reason: str) -> None:
    with pytest.raises(TraceError, match=f"^Branches: .*{reason}"):
        trace(Branches(), **arguments)


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: torch.relu, "expected a torch.nn.Module"),
        (lambda: nn.Linear, "expected a torch.nn.Module"),
        (lambda: nn.LazyLinear(3), "uninitialized parameter"),
    ],
)
def test_wrong_modules(make: Callable[[], Any], reason: str) -> None:
    with pytest.raises(TraceError, match=reason):
        trace(make(), torch.ones(2, 4))


def test_the_cause_is_kept_for_who_wants_to_dig() -> None:
    with pytest.raises(PerfmodelError) as caught:
        trace(Raises(), torch.ones(2, 4))
    assert isinstance(caught.value.__cause__, KeyError)


def test_totals_beyond_64_bits_are_refused_in_one_line() -> None:
    layer = nn.Conv2d(8, 8, 3, groups=8)
    exact = trace(layer, torch.empty(2**40, 8, 16, 16, device="meta"))
    assert exact.flops == 2 * 2**40 * 8 * 14 * 14 * 9
    with pytest.raises(
        TraceError, match="beyond what a 64-bit integer holds; trace it at"
    ) as caught:
        trace(nn.Linear(2**12, 2**12), torch.empty(2**38, 2**12, device="meta"))
    assert "\n" not in str(caught.value)
