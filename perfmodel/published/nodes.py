"""The graph the published comparison counts on: plain data, no torch.

Every node of the ``torch.fx`` graph is kept, in graph order, because nodes that do no work
(placeholders, method calls, attribute reads, the output) still produce and consume tensors.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from perfmodel.errors import WorkloadFormatError

#: Version of the JSON form, and of what tracing puts into it; part of the cache key.
FORMAT: Final = 1

#: The method charges every tensor and parameter as FP32, whatever the precision or dtype.
BYTES_PER_ELEMENT: Final = 4

#: The kinds of ``torch.fx`` node; the method schedules only the last two.
KINDS: Final = (
    "placeholder",
    "get_attr",
    "call_method",
    "output",
    "call_module",
    "call_function",
)
WORK_KINDS: Final = frozenset(KINDS[-2:])


@dataclass(frozen=True, slots=True)
class Convolution:
    """The attributes of a Conv2d the method reads; ``kernel`` is (height, width)."""

    in_channels: int
    out_channels: int
    kernel: tuple[int, int]
    groups: int

    @property
    def depthwise(self) -> bool:
        """As many groups as input channels, and more than one."""
        return self.groups == self.in_channels > 1


@dataclass(frozen=True, slots=True)
class Linear:
    """The attributes of a Linear the method reads."""

    in_features: int
    out_features: int


@dataclass(frozen=True, slots=True)
class Node:
    """One node.

    Attributes:
        name: unique name in the graph.
        kind: one of :data:`KINDS`.
        type: class name of the called module, ``__name__`` of the called function, else the target.
        inputs: positions of the distinct nodes it reads, all before its own.
        shape: of its value if that is a single tensor, else None.
        parameters: number of parameters of the called module, buffers not counted.
        convolution, linear: set for modules of type Conv2d and Linear only.
    """

    name: str
    kind: str
    type: str
    inputs: tuple[int, ...] = ()
    shape: tuple[int, ...] | None = None
    parameters: int = 0
    convolution: Convolution | None = None
    linear: Linear | None = None

    @property
    def is_work(self) -> bool:
        """Whether the method schedules this node."""
        return self.kind in WORK_KINDS

    @property
    def bytes(self) -> int:
        """Size of its value in bytes, as FP32; 0 if it is not a single tensor."""
        return 0 if self.shape is None else BYTES_PER_ELEMENT * math.prod(self.shape)


@dataclass(frozen=True)
class Graph:
    """A model as nodes in graph order.

    Raises:
        ValueError: a node reads itself, a later node, or one node twice.
    """

    model: str
    nodes: tuple[Node, ...]
    users: tuple[tuple[int, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Derive ``users`` (positions of the distinct nodes that read each node)."""
        users: list[list[int]] = [[] for _ in self.nodes]
        for position, node in enumerate(self.nodes):
            if len(set(node.inputs)) != len(node.inputs):
                raise ValueError(f"node {node.name!r} lists an input twice")
            for source in node.inputs:
                if not 0 <= source < position:
                    raise ValueError(f"node {node.name!r} reads node {source}, not one before it")
                users[source].append(position)
        object.__setattr__(self, "users", tuple(map(tuple, users)))

    def to_dict(self) -> dict[str, object]:
        """A JSON object; :meth:`from_dict` is its inverse."""
        return {"format": FORMAT, "model": self.model, "nodes": [_encode(n) for n in self.nodes]}

    @classmethod
    def from_dict(cls, document: Mapping[str, object]) -> Graph:
        """Read what :meth:`to_dict` wrote.

        Raises:
            WorkloadFormatError: it is of another version, incomplete, or no graph at all.
        """
        if document.get("format") != FORMAT:
            raise WorkloadFormatError(
                f"published graph: format {document.get('format')!r}, this release reads {FORMAT}"
            )
        model, rows = document.get("model"), document.get("nodes")
        if not isinstance(model, str) or not isinstance(rows, list):
            raise WorkloadFormatError("published graph: 'model' or 'nodes' is missing")
        try:
            return cls(model, tuple(_decode(row) for row in rows))
        except (KeyError, TypeError, ValueError) as error:
            raise WorkloadFormatError(f"published graph of {model}: {error!r}") from error


def _encode(node: Node) -> dict[str, object]:
    row: dict[str, object] = {"name": node.name, "kind": node.kind, "type": node.type}
    if node.inputs:
        row["inputs"] = list(node.inputs)
    if node.shape is not None:
        row["shape"] = list(node.shape)
    if node.parameters:
        row["parameters"] = node.parameters
    if node.convolution is not None:
        conv = node.convolution
        row["convolution"] = [conv.in_channels, conv.out_channels, *conv.kernel, conv.groups]
    if node.linear is not None:
        row["linear"] = [node.linear.in_features, node.linear.out_features]
    return row


def _decode(row: Mapping[str, object]) -> Node:
    name, kind, type_ = row["name"], row["kind"], row["type"]
    if not (isinstance(name, str) and isinstance(type_, str)) or kind not in KINDS:
        raise ValueError(f"node {name!r} of kind {kind!r}")
    convolution = linear = None
    if "convolution" in row:
        in_channels, out_channels, height, width, groups = _counts(row["convolution"])
        convolution = Convolution(in_channels, out_channels, (height, width), groups)
    if "linear" in row:
        linear = Linear(*_counts(row["linear"]))
    (parameters,) = _counts([row.get("parameters", 0)])
    return Node(
        name=name,
        kind=str(kind),
        type=type_,
        inputs=_counts(row.get("inputs", [])),
        shape=_counts(row["shape"]) if "shape" in row else None,
        parameters=parameters,
        convolution=convolution,
        linear=linear,
    )


def _counts(values: object) -> tuple[int, ...]:
    """``values`` as a tuple, if it is a list of integers that are not negative."""
    if not isinstance(values, list) or any(type(v) is not int or v < 0 for v in values):
        raise ValueError(f"expected a list of non-negative integers, found {values!r}")
    return tuple(values)
