"""Greedy fusion of work nodes into chains, and what each chain costs before any CPU is known."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from perfmodel.published.nodes import BYTES_PER_ELEMENT, Graph, Node

_CONV_ACTIVATIONS: Final = ("ReLU", "ReLU6", "SiLU", "Swish")

#: Which type may follow which within a chain.
FUSIBLE: Final = {
    "Conv2d": frozenset({"BatchNorm2d", "Sigmoid", *_CONV_ACTIVATIONS}),
    "BatchNorm2d": frozenset({"Hardswish", *_CONV_ACTIVATIONS}),
    "Linear": frozenset({"BatchNorm1d", "ReLU", "GELU", "SiLU", "Dropout"}),
    "add": frozenset({"ReLU", "ReLU6", "SiLU"}),
    "AdaptiveAvgPool2d": frozenset({"Conv2d"}),
    "SiLU": frozenset({"Conv2d", "Dropout"}),
    "Sigmoid": frozenset({"mul"}),
    "ReLU": frozenset({"Dropout"}),
    "GELU": frozenset({"Dropout", "Linear"}),
    "LayerNorm": frozenset({"MultiheadAttention", "Linear"}),
    "MultiheadAttention": frozenset({"Dropout"}),
    "Dropout": frozenset({"add"}),
    "StochasticDepth": frozenset({"add"}),
    "stochastic_depth": frozenset({"add"}),
}

#: The gate of a squeeze-excitation block multiplies two tensors and is fused all the same.
JOINS: Final = frozenset({("Sigmoid", "mul")})

#: ``ChainTable.channels`` where the rule for the core count has no channel count to read.
UNDEFINED: Final = -1


def partition(graph: Graph) -> list[tuple[int, ...]]:
    """The chains of ``graph``, each as positions of its nodes; every work node is in exactly one.

    A chain grows from its last node to that node's only work-node user, if no other chain has it,
    it reads no other work node (:data:`JOINS` excepted), and the two types are in :data:`FUSIBLE`.
    Users and producers that are not work nodes do not count.
    """
    visited: set[int] = set()
    chains = []
    for start, node in enumerate(graph.nodes):
        if not node.is_work or start in visited:
            continue
        chain = [start]
        visited.add(start)
        while (following := _next(graph, chain[-1])) is not None and following not in visited:
            chain.append(following)
            visited.add(following)
        chains.append(tuple(chain))
    return chains


def _next(graph: Graph, position: int) -> int | None:
    """The node that may follow in the chain, visited or not."""
    nodes = graph.nodes
    users = [u for u in graph.users[position] if nodes[u].is_work]
    if len(users) != 1:
        return None
    user = users[0]
    pair = (nodes[position].type, nodes[user].type)
    if pair[1] not in FUSIBLE.get(pair[0], ()):
        return None
    producers = sum(nodes[p].is_work for p in nodes[user].inputs)
    return user if producers <= 1 or pair in JOINS else None


def node_ops(node: Node) -> int:
    """Operations the method counts for a node (a MAC is 2, biases are not counted).

    Only Conv2d and Linear count. Kept as published although wrong: a grouped convolution is
    counted as a dense one unless it is depthwise; a Linear is counted for the first dimension of
    its output only, not for all leading ones; attention counts nothing.
    """
    if node.shape is None:
        return 0
    if node.convolution is not None:
        conv = node.convolution
        batch = node.shape[0] if len(node.shape) == 4 else 1
        per_pixel = conv.in_channels * math.prod(conv.kernel)
        if not conv.depthwise:
            per_pixel *= conv.out_channels
        return 2 * batch * math.prod(node.shape[-2:]) * per_pixel
    if node.linear is not None:
        return 2 * node.shape[0] * node.linear.in_features * node.linear.out_features
    return 0


def uses_matrix_kernel(node: Node) -> bool:
    """A Linear, or a convolution that is neither depthwise nor 1x1."""
    conv = node.convolution
    if conv is not None:
        return not conv.depthwise and conv.kernel != (1, 1)
    return node.linear is not None


@dataclass(frozen=True, eq=False)
class ChainTable:
    """The chains of one model as columns, each of shape (chains,).

    Attributes:
        model: name of the model.
        names: names of the chain's nodes.
        types: types of the chain's nodes.
        ops: operations, as :func:`node_ops` counts them.
        input_bytes: tensors read from outside the chain, once per node that reads them.
        output_bytes: tensors read outside the chain, or by nobody.
        weight_bytes: parameters of the chain's modules.
        channels: dimension 1 of the first node's output if that has four, else UNDEFINED.
        matrix: whether a node of the chain uses a matrix kernel.
    """

    model: str
    names: tuple[tuple[str, ...], ...]
    types: tuple[tuple[str, ...], ...]
    ops: npt.NDArray[np.float64]
    input_bytes: npt.NDArray[np.float64]
    output_bytes: npt.NDArray[np.float64]
    weight_bytes: npt.NDArray[np.float64]
    channels: npt.NDArray[np.int64]
    matrix: npt.NDArray[np.bool_]

    @property
    def bytes(self) -> npt.NDArray[np.float64]:
        """All bytes a chain moves."""
        return self.input_bytes + self.output_bytes + self.weight_bytes


def tabulate(graph: Graph) -> ChainTable:
    """The chains of ``graph`` with their operations and bytes."""
    chains = partition(graph)
    nodes = graph.nodes

    def column(value: Callable[[tuple[int, ...]], int]) -> npt.NDArray[np.float64]:
        return np.array([value(chain) for chain in chains], dtype=np.float64)

    def input_bytes(chain: tuple[int, ...]) -> int:
        return sum(nodes[p].bytes for c in chain for p in nodes[c].inputs if p not in chain)

    def output_bytes(chain: tuple[int, ...]) -> int:
        return sum(nodes[c].bytes for c in chain if leaves(c, chain))

    def leaves(position: int, chain: tuple[int, ...]) -> bool:
        users = graph.users[position]
        return not users or any(user not in chain for user in users)

    return ChainTable(
        model=graph.model,
        names=tuple(tuple(nodes[c].name for c in chain) for chain in chains),
        types=tuple(tuple(nodes[c].type for c in chain) for chain in chains),
        ops=column(lambda chain: sum(node_ops(nodes[c]) for c in chain)),
        input_bytes=column(input_bytes),
        output_bytes=column(output_bytes),
        weight_bytes=column(
            lambda chain: BYTES_PER_ELEMENT * sum(nodes[c].parameters for c in chain)
        ),
        channels=np.array([_channels(nodes[chain[0]]) for chain in chains], dtype=np.int64),
        matrix=np.array(
            [any(uses_matrix_kernel(nodes[c]) for c in chain) for chain in chains], dtype=np.bool_
        ),
    )


def _channels(node: Node) -> int:
    return node.shape[1] if node.shape is not None and len(node.shape) == 4 else UNDEFINED
