"""From a PyTorch module to the graph of the published method, by ``torch.fx`` on the meta device.

Nothing is allocated or executed: only shapes flow. torch is imported when a function is called.
"""

from __future__ import annotations

import copy
import warnings
from typing import TYPE_CHECKING, Any, Final

from perfmodel.errors import TraceError, UnknownName
from perfmodel.published.nodes import Convolution, Graph, Linear, Node

if TYPE_CHECKING:
    import torch
    import torch.fx

#: torchvision's segmentation models, by how their names begin; every other name is a classifier.
SEGMENTATION: Final = ("deeplabv3_", "fcn_", "lraspp_")


def default_input_shape(model: str) -> tuple[int, int, int]:
    """Channels, height, width the comparison fed to a torchvision model of this name."""
    return (3, 512, 512) if model.startswith(SEGMENTATION) else (3, 224, 224)


def build(model: str) -> torch.nn.Module:
    """The torchvision classification or segmentation model of this name, without weights.

    Raises:
        UnknownName: torchvision has no such model, or it is of another kind.
    """
    from perfmodel.models._torchvision import import_torchvision, parameters_on_meta

    models = import_torchvision().models
    segmentation = models.list_models(module=models.segmentation)
    classification = models.list_models(module=models)
    if model not in segmentation and model not in classification:
        raise UnknownName("torchvision model", model, [*classification, *segmentation])
    options = {"weights_backbone": None} if model in segmentation else {}
    with warnings.catch_warnings(), parameters_on_meta():
        # Two old models announce that their slow initialisation will go; on meta it costs nothing.
        warnings.filterwarnings("ignore", "The default weight initialization", FutureWarning)
        return models.get_model(model, weights=None, **options)


def trace(
    module: torch.nn.Module,
    example_inputs: torch.Tensor | tuple[torch.Tensor, ...],
    name: str | None = None,
) -> Graph:
    """Trace ``module`` in eval mode; neither it nor the inputs are changed or computed with.

    Args:
        module: any module ``torch.fx.symbolic_trace`` can follow, on any device.
        example_inputs: its positional arguments; only their shapes matter.
        name: model name of the graph; the class name if not given.

    Raises:
        TraceError: ``torch.fx`` cannot trace the module, or it rejects the inputs.
    """
    import torch
    import torch.fx

    name = name or type(module).__name__
    inputs = example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)
    with torch.device("meta"), torch.no_grad():
        try:
            traced = torch.fx.symbolic_trace(_on_meta(module).eval())
        # Anything can come out of a forward that is run with proxies.
        except Exception as error:
            raise TraceError(
                f"{name}: torch.fx cannot trace it ({_reason(error)}). The published method needs "
                "a forward without control flow on values; use the roofline method instead"
            ) from error
        shapes = _shapes(traced, [x.to("meta") for x in inputs], name)
    nodes = list(traced.graph.nodes)
    position = {node: i for i, node in enumerate(nodes)}
    modules = dict(traced.named_modules())
    return Graph(name, tuple(_node(n, position, modules, shapes.get(n)) for n in nodes))


def _shapes(
    traced: torch.fx.GraphModule, inputs: list[torch.Tensor], name: str
) -> dict[torch.fx.Node, tuple[int, ...]]:
    """Shape of each node's value where that is a single tensor.

    This is what ``ShapeProp`` records, without its import of SymPy and its printed traceback.
    """
    import torch
    import torch.fx

    shapes: dict[torch.fx.Node, tuple[int, ...]] = {}
    current: torch.fx.Node | None = None

    class Shapes(torch.fx.Interpreter):  # type: ignore[misc]  # torch is Any to mypy
        def run_node(self, n: torch.fx.Node) -> Any:
            nonlocal current
            current = n
            value = super().run_node(n)
            if isinstance(value, torch.Tensor):
                shapes[n] = tuple(value.shape)
            return value

    interpreter = Shapes(traced)
    interpreter.extra_traceback = False
    try:
        interpreter.run(*inputs)
    except Exception as error:
        given = ", ".join("x".join(map(str, x.shape)) for x in inputs)
        raise TraceError(
            f"{name}: no shapes for inputs {given}: {current} fails ({_reason(error)})"
        ) from error
    return shapes


def _node(
    node: torch.fx.Node,
    position: dict[torch.fx.Node, int],
    modules: dict[str, torch.nn.Module],
    shape: tuple[int, ...] | None,
) -> Node:
    called = modules[str(node.target)] if node.op == "call_module" else None
    if called is not None:
        type_ = type(called).__name__
    else:
        type_ = getattr(node.target, "__name__", str(node.target))
    # Attributes of torch.nn modules are typed as Tensor | Module, hence Any.
    attributes: Any = called
    return Node(
        name=node.name,
        kind=node.op,
        type=type_,
        inputs=tuple(position[n] for n in node.all_input_nodes),
        shape=shape,
        parameters=sum(p.numel() for p in called.parameters()) if called is not None else 0,
        convolution=Convolution(
            attributes.in_channels,
            attributes.out_channels,
            tuple(attributes.kernel_size),
            attributes.groups,
        )
        if called is not None and type_ == "Conv2d"
        else None,
        linear=Linear(attributes.in_features, attributes.out_features)
        if called is not None and type_ == "Linear"
        else None,
    )


def _on_meta(module: torch.nn.Module) -> torch.nn.Module:
    """A copy of ``module`` whose tensors hold no data; shared tensors stay shared."""
    import torch

    memo: dict[int, Any] = {}
    for parameter in module.parameters():
        memo[id(parameter)] = torch.nn.Parameter(
            torch.empty_like(parameter, device="meta"), requires_grad=False
        )
    for buffer in module.buffers():
        memo[id(buffer)] = torch.empty_like(buffer, device="meta")
    return copy.deepcopy(module, memo)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
