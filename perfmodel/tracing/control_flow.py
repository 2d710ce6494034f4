"""Operators that take functions: branches, loops over a tensor, loops until a value says so.

How often a body runs and which branch is taken is not in the shapes, except for a loop over a
tensor. The rules, each repeated in the notes of the workload:

* of two branches the dearer one runs (by FLOPs, then by other operations, then by elements moved);
* a loop over a tensor (``scan``, ``map``) runs its body once for each slice;
* an associative scan of n slices applies its function n - 1 times, as one after the other would;
* a ``while_loop`` runs as often as the user says, by an attribute ``perfmodel_iterations`` of the
  module that is traced.

A body is recorded once and its kernels are repeated.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from torch import fx

from perfmodel.errors import TraceError

if TYPE_CHECKING:
    from perfmodel.tracing.recording import Recorder

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


def _items(groups: Sequence[Any]) -> list[Any]:
    return [item for group in groups for item in group]


def _graph(node: Any, module: fx.GraphModule) -> fx.GraphModule:
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
    count = slices[0].meta["val"].shape[0] - less
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
