"""Operators that take functions: branches, loops over a tensor, loops until a value says so.

How often a body runs and which branch is taken is not in the shapes, except for a loop over a
tensor. The rules, each repeated in the notes of the workload:

* of two branches the dearer one runs (by FLOPs, then by other operations, then by elements moved);
* a loop over a tensor (``scan``, ``map``) runs its body once for each slice;
* an associative scan of n slices applies its function n - 1 times, as one after the other would;
* a ``while_loop`` whose condition is known each time (a count) runs as often as that says; any
  other as often as an attribute ``perfmodel_iterations`` of the module that is traced says.

A body is recorded once and its kernels are repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import fx
from torch.utils import _pytree as pytree

from perfmodel.errors import TraceError

if TYPE_CHECKING:
    from perfmodel.tracing.program import Step
    from perfmodel.tracing.recording import Recorder
    from perfmodel.tracing.running import Runner

#: Operators that run a function once: position of the function, and of its first argument.
INLINED: Final = {
    "wrap_with_set_grad_enabled": (1, 2),
    "wrap_with_autocast": (4, 5),
    "wrap": (0, 1),
    "wrap_activation_checkpoint": (0, 1),
    "tag_activation_checkpoint": (0, 1),
    "invoke_subgraph": (0, 2),
}
BRANCH: Final = (
    "of the branches of a condition the dearer one is charged; which one runs depends on values"
)
ASSOCIATIVE: Final = "an associative scan is charged as one step after the other"
REPEATED: Final = "a loop is charged {count} runs of its body, as perfmodel_iterations says"


#: How often a loop whose condition is known is run to count its runs.
_MOST_RUNS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Body:
    """What one call of a function ran, and what it returned."""

    steps: list[Step]
    returned: Any


def record(recorder: Recorder, name: str, node: fx.Node, module: fx.GraphModule) -> bool:
    """Record ``node``, a call of the higher-order operator ``name``; False for one not known."""
    if name in INLINED:
        function, first = INLINED[name]
        recorder.body(_graph(node.args[function], module), node.args[first:], node.meta.get("val"))
    elif name == "cond":
        _cond(recorder, node, module)
    elif name == "scan":
        body, carried, slices, *rest = _arguments(node, "combine_fn init xs additional_inputs")
        operands = (*carried, *slices, *_items(rest))
        _over_slices(recorder, node, module, body, operands, slices, carried=len(carried))
    elif name in ("map", "map_impl"):
        body, slices, *rest = _arguments(node, "f xs pos_args")
        _over_slices(recorder, node, module, body, (*slices, *_items(rest)), slices)
    elif name == "associative_scan":
        body, slices, *rest = _arguments(node, "combine_fn xs additional_inputs")
        recorder.note(ASSOCIATIVE)
        operands = (*slices, *slices, *_items(rest))
        _over_slices(recorder, node, module, body, operands, slices, less=1)
    elif name == "while_loop":
        _while(recorder, node, module)
    else:
        return False
    return True


def _arguments(node: fx.Node, names: str) -> list[Any]:
    """The arguments of ``node`` in the order of ``names``, passed by position or by name."""
    rest = names.split()[len(node.args) :]
    return [*node.args, *(node.kwargs[name] for name in rest if name in node.kwargs)]


def _value(argument: Any) -> Any:
    return argument.meta["val"] if isinstance(argument, fx.Node) else argument


def _items(groups: Sequence[Any]) -> list[Any]:
    return [item for group in groups for item in group]


def _graph(node: Any, module: fx.GraphModule) -> fx.GraphModule | Body:
    """The body that was run, or that of an exported graph."""
    if isinstance(node, Body):
        return node
    graph: fx.GraphModule = getattr(module, node.target)
    return graph


def _cond(recorder: Recorder, node: fx.Node, module: fx.GraphModule) -> None:
    _, *branches, operands = _arguments(node, "pred true_fn false_fn operands")
    graphs = [_graph(branch, module) for branch in branches]
    costs = []
    for graph in graphs:
        mark = recorder.mark()
        recorder.body(graph, operands, None)
        costs.append(recorder.since(mark))
        recorder.cut(mark)
    recorder.note(BRANCH)
    recorder.body(graphs[costs.index(max(costs))], operands, node.meta.get("val"))


def _over_slices(
    recorder: Recorder,
    node: fx.Node,
    module: fx.GraphModule,
    body: Any,
    operands: Sequence[Any],
    slices: Sequence[Any],
    carried: int = 0,
    less: int = 0,
) -> None:
    """The body once for each slice of the first dimension.

    Each run writes a slice of those results that are no states carried on to the next.
    """
    first, *_ = slices
    count = _value(first).shape[0] - less
    outer = list(node.meta["val"])
    mark = recorder.mark()
    results = recorder.body(_graph(body, module), operands, outer[:carried])
    for whole, part in zip(outer[carried:], results[carried:], strict=True):
        recorder.store(node, part, whole)
    recorder.repeat(mark, count)


def _while(recorder: Recorder, node: fx.Node, module: fx.GraphModule) -> None:
    condition, body, *groups = _arguments(node, "cond_fn body_fn carried_inputs additional_inputs")
    operands = _items(groups)
    count = recorder.iterations
    if count is None:
        raise TraceError(
            f"{recorder.model}: a while_loop runs until a value says so, which a trace has not; "
            "say how often in an attribute perfmodel_iterations of the module"
        )
    mark = recorder.mark()
    recorder.body(_graph(condition, module), operands, None)
    recorder.body(_graph(body, module), operands, node.meta.get("val"))
    recorder.repeat(mark, count)
    recorder.note(REPEATED.format(count=count))


# Functions that are run rather than exported


def _run_cond(runner: Runner, func: Any, args: Any, kwargs: Any) -> Any:
    predicate, true, false, operands = _bound(args, kwargs, "pred true_fn false_fn operands")
    known = runner.values.decision(predicate)
    if known is not None:
        return runner.call(true if known else false, *operands)
    one, other = (runner.body(branch, *operands) for branch in (true, false))
    # Its own tensors: a branch may return what it was given.
    result = pytree.tree_map_only(torch.Tensor, torch.empty_like, one.returned)
    runner.step(func, (predicate, one, other, operands), pytree.tree_leaves(result))
    return result


def _run_scan(runner: Runner, func: Any, args: Any, kwargs: Any) -> Any:
    function, init, xs, additional = _bound(args, kwargs, "combine_fn init xs additional_inputs")
    body = runner.body(function, *_unknown(init), *(x[0] for x in xs), *additional)
    returned = pytree.tree_leaves(body.returned)
    carried, parts = returned[: len(init)], returned[len(init) :]
    result = [*carried, *(_stacked(part, xs) for part in parts)]
    runner.step(func, (body, init, xs, additional), result)
    return result


def _run_map(runner: Runner, func: Any, args: Any, kwargs: Any) -> Any:
    function, xs, additional = _bound(args, kwargs, "f xs pos_args")
    body = runner.body(function, *(x[0] for x in xs), *additional)
    result = [_stacked(part, xs) for part in pytree.tree_leaves(body.returned)]
    runner.step(func, (body, xs, additional), result)
    return result


def _run_while(runner: Runner, func: Any, args: Any, kwargs: Any) -> Any:
    names = "cond_fn body_fn carried_inputs additional_inputs"
    condition, function, carried, additional = _bound(args, kwargs, names)
    counted = _counted(runner, condition, function, carried, additional)
    if counted is not None:
        return counted
    changing = _unknown(carried)
    test = runner.body(condition, *changing, *additional)
    body = runner.body(function, *changing, *additional)
    runner.step(func, (test, body, carried, additional), body.returned)
    return body.returned


def _counted(runner: Runner, condition: Any, function: Any, carried: Any, additional: Any) -> Any:
    """What a loop returns whose condition is known each time, or None."""
    bodies: list[Body] = []
    while len(bodies) < 2 * _MOST_RUNS:
        test = runner.body(condition, *carried, *additional)
        (going,) = pytree.tree_leaves(test.returned)
        known = runner.values.decision(going)
        if known is None:
            break
        bodies.append(test)
        if not known:
            for body in bodies:
                runner.steps.extend(body.steps)
            return carried
        bodies.append(runner.body(function, *carried, *additional))
        carried = tuple(pytree.tree_leaves(bodies[-1].returned))
    return None


def _unknown(values: Sequence[Any]) -> list[Any]:
    """``values`` as any run of a body has them: what was known before the first holds no more."""
    return [
        torch.ops.aten.alias.default(value) if isinstance(value, torch.Tensor) else value
        for value in values
    ]


def _bound(args: Any, kwargs: Any, names: str) -> list[Any]:
    rest = names.split()[len(args) :]
    return [*args, *(kwargs.get(name, ()) for name in rest)]


def _stacked(part: torch.Tensor, slices: Sequence[torch.Tensor]) -> torch.Tensor:
    """A tensor that holds a ``part`` for each slice of those."""
    first, *_ = slices
    return part.new_empty((first.shape[0], *part.shape))


#: How a run takes the operators whose functions it must see.
RUNS: Final[dict[str, Callable[[Runner, Any, Any, Any], Any]]] = {
    "cond": _run_cond,
    "scan": _run_scan,
    "map": _run_map,
    "map_impl": _run_map,
    "while_loop": _run_while,
}
