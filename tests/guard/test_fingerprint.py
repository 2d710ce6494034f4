"""The digest of a module: the same while its trace is, another as soon as that may differ."""

from __future__ import annotations

import functools
import importlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from perfmodel import estimate
from perfmodel.errors import PerfmodelError
from perfmodel.guard import subjects
from perfmodel.guard.fingerprint import Opaque, fingerprint
from perfmodel.guard.subjects import subject
from perfmodel.scenario import Scenario

NETS = """
import torch
from torch import nn
from helpers import scale

WIDTH = 8

class Net(nn.Module):
    def __init__(self, width=WIDTH, act="relu"):
        super().__init__()
        self.fc = nn.Linear(4, width)
        self.act = act

    def forward(self, x):
        from lazy import last
        return last(scale(getattr(torch, self.act)(self.fc(x))))[:, : WIDTH // 2]

def factory():
    return Net(), (torch.zeros(2, 4),)
"""
HELPERS = "def scale(x):\n    return x * 2\n"
LAZY = "def last(x):\n    return x + 1\n"


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., object]]:
    """A function that (re)writes three modules of a user and imports the first."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PERFMODEL_CACHE_DIR", str(tmp_path / "cache"))
    names = ("nets", "helpers", "lazy")

    def write(nets: str = NETS, helpers: str = HELPERS, lazy: str = LAZY) -> object:
        for name, text in zip(names, (nets, helpers, lazy), strict=True):
            (tmp_path / f"{name}.py").write_text(text)
            sys.modules.pop(name, None)
        importlib.invalidate_caches()
        return importlib.import_module("nets")

    yield write
    for name in names:
        sys.modules.pop(name, None)


def of(module: nn.Module, *args: torch.Tensor) -> str:
    return fingerprint(module, args or (torch.zeros(2, 4),), None)


def test_the_same_module_made_twice_is_the_same(nets: Callable[..., object]) -> None:
    first, second = of(nets().Net()), of(nets().Net())
    assert first == second, "random weights do not count"


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"nets": NETS.replace("x * 2", "x")}, "unchanged"),
        ({"nets": NETS.replace("WIDTH // 2", "WIDTH // 4")}, "the forward"),
        ({"helpers": HELPERS.replace("* 2", "* 3")}, "a function it imports"),
        ({"lazy": LAZY.replace("+ 1", "+ 2")}, "a function it imports when it runs"),
        ({"nets": NETS.replace("WIDTH = 8", "WIDTH = 16")}, "a shape"),
    ],
)
def test_what_the_code_says_counts(
    nets: Callable[..., object], change: dict[str, str], text: str
) -> None:
    before, after = of(nets().Net()), of(nets(**change).Net())
    assert (before == after) == (text == "unchanged")


def test_a_value_that_a_forward_reads_from_its_module_file_counts(
    nets: Callable[..., object],
) -> None:
    module = nets()
    before = of(module.Net(8))
    module.WIDTH = 4
    assert of(module.Net(8)) != before


def test_attributes_shapes_and_inputs_count(nets: Callable[..., object]) -> None:
    net = nets().Net
    different = {
        of(net()), of(net(16)), of(net(act="tanh")), of(net(), torch.zeros(3, 4)),
        of(net(), torch.zeros(2, 4, dtype=torch.float64)), of(net().half()), of(net().train(False)),
    }  # fmt: skip
    assert len(different) == 7


def with_attribute(value: object) -> nn.Module:
    module = nn.Linear(4, 4)
    module.extra = value
    return module


def _closure(size: int) -> Callable[[int], int]:
    return lambda x: x + size


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ([1, 2], [1, 3]),
        ({"a": 1}, {"a": 2}),
        ({1, 2}, {1, 3}),
        (_closure(1), _closure(2)),
        (functools.partial(max, 1), functools.partial(max, 2)),
        (SimpleNamespace(hidden=1), SimpleNamespace(hidden=2)),
        (torch.tensor([3, 4]), torch.tensor([3, 5])),
        (torch.ones(99, dtype=torch.bool), torch.zeros(99, dtype=torch.bool)),
        (torch.float32, torch.float16),
        (nn.Linear, nn.Conv2d),
        (range(3), range(4)),
    ],
)
def test_what_an_attribute_holds_counts(one: object, other: object) -> None:
    assert of(with_attribute(one)) == of(with_attribute(one))
    assert of(with_attribute(one)) != of(with_attribute(other))


def test_a_hook_and_a_tied_weight_count() -> None:
    plain, hooked = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)), nn.Linear(4, 4)
    before = of(hooked)
    hooked.register_forward_hook(lambda module, args, output: output * 2)
    assert of(hooked) != before
    apart = of(plain)
    plain[1].weight = plain[0].weight
    assert of(plain) != apart


def test_a_circle_ends() -> None:
    module = nn.Linear(4, 4)
    module.around = [module]
    assert of(module) == of(module)


@pytest.mark.parametrize("value", [torch.Generator(), iter([1]), (i for i in range(3))])
def test_what_cannot_be_seen_into_is_refused(value: object) -> None:
    with pytest.raises(Opaque, match=r"Linear.*extra"):
        of(with_attribute(value))


# -- the cache -------------------------------------------------------------------------------------


def test_a_trace_is_cached_and_never_stale(nets: Callable[..., object]) -> None:
    run = Scenario()
    first = subject(nets().factory, run)
    again = subject(nets().factory, run)
    assert (first.cached, again.cached) == (False, True)
    assert again.workload == first.workload
    changed = subject(nets(helpers="def scale(x):\n    return x * 2 + x\n").factory, run)
    assert not changed.cached
    assert len(changed.workload) > len(first.workload)
    assert changed.module != first.module


def test_another_tracer_finds_nothing(
    nets: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    subject(nets().factory, Scenario())
    monkeypatch.setattr(subjects, "tracer_digest", lambda: "another")
    assert not subject(nets().factory, Scenario()).cached


def test_an_opaque_module_is_traced_every_time(nets: Callable[..., object]) -> None:
    module = with_attribute(torch.Generator())
    for _ in range(2):
        found = subject(module, Scenario(), inputs=torch.zeros(2, 4))
        assert not found.cached
        assert found.module is None
        assert "Generator" in found.opaque


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        (lambda: 3, "returned int; it must return"),
        (lambda: (nn.Linear(4, 4),), "returned a tuple of 1; it must return"),
        (nn.Linear(4, 4), "a module needs example inputs"),
    ],
)
def test_what_is_no_factory_says_what_one_returns(factory: object, reason: str) -> None:
    with pytest.raises(PerfmodelError, match=reason):
        subject(factory, Scenario())


def test_a_batch_needs_a_factory_that_takes_one() -> None:
    def fixed() -> object:
        return nn.Linear(4, 4), (torch.zeros(2, 4),)

    def free(batch: int) -> object:
        return nn.Linear(4, 4), (torch.zeros(batch, 4),)

    assert subject(free, Scenario(batch=3)).workload.batch == 3
    with pytest.raises(PerfmodelError, match="takes no batch"):
        subject(fixed, Scenario(batch=3))


def test_a_cached_trace_is_found_and_estimated_on_three_cpus_in_under_0_3_seconds(
    nets: Callable[..., object],
) -> None:
    factory = nets().factory

    def guard() -> None:
        found = subject(factory, Scenario())
        for cpu in ("graviton4", "epyc_9654", "xeon_8490h"):
            estimate(found.workload, cpu, "bf16")

    guard()
    start = time.process_time()
    guard()
    assert time.process_time() - start < 0.3


def test_weights_on_meta_are_not_initialised_and_others_are(nets: Callable[..., object]) -> None:
    made: dict[str, nn.Module] = {}

    def factory(device: str) -> Callable[[], object]:
        def make() -> object:
            with torch.device(device):
                made[device] = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 4))
                return made[device], (torch.zeros(2, 3, dtype=torch.int64),)

        return make

    workloads = [subject(factory(d), Scenario(), name="x").workload for d in ("meta", "cpu")]
    assert workloads[0] == workloads[1]
    assert all(bool(p.abs().sum() > 0) for p in made["cpu"].parameters())


@pytest.mark.parametrize(("room", "changed"), [("models", "module"), ("tracing", "tracer")])
def test_of_a_named_model_a_changed_zoo_is_told_from_a_changed_tracer(
    monkeypatch: pytest.MonkeyPatch, room: str, changed: str
) -> None:
    before, original = subject("resnet50", Scenario()), subjects.sources_digest
    monkeypatch.setattr(
        subjects, "sources_digest", lambda *rooms: "another" if room in rooms else original(*rooms)
    )
    after = subject("resnet50", Scenario())
    assert (before.module != after.module) == (changed == "module")
    assert (before.tracer != after.tracer) == (changed == "tracer")
