"""Graphs to test with: hand-built ones, and any that hypothesis can think of."""

from __future__ import annotations

from hypothesis import strategies as st

from perfmodel.published.nodes import KINDS, Convolution, Graph, Linear, Node


def graph(*rows: tuple[object, ...]) -> Graph:
    """A graph from (name, type, names of inputs[, options for Node]) in order.

    Type "in" is a placeholder, "out" the output, "get" an attribute, ".name" a method call; lower
    case is a function, the rest a module. Every value is a tensor of 10 elements unless told.
    """
    kinds = {"in": "placeholder", "out": "output", "get": "get_attr"}
    position: dict[str, int] = {}
    nodes = []
    for name, type_, inputs, *options in rows:
        assert isinstance(name, str)
        assert isinstance(type_, str)
        assert isinstance(inputs, str)
        kind = kinds.get(type_) or (
            "call_method"
            if type_.startswith(".")
            else "call_function"
            if type_.islower()
            else "call_module"
        )
        position[name] = len(nodes)
        extra: dict[str, object] = {"shape": (10,)}
        for option in options:
            assert isinstance(option, dict)
            extra |= option
        sources = tuple(position[i] for i in inputs.split())
        nodes.append(Node(name, kind, type_.strip("."), sources, **extra))  # type: ignore[arg-type]
    return Graph("hand-built", tuple(nodes))


SIZES = st.integers(1, 64)


@st.composite
def any_graph(draw: st.DrawFn) -> Graph:
    nodes = []
    for position in range(draw(st.integers(0, 8))):
        earlier = range(position)
        nodes.append(
            Node(
                name=f"n{position}",
                kind=draw(st.sampled_from(KINDS)),
                type=draw(st.sampled_from(["Conv2d", "Linear", "ReLU", "add"])),
                inputs=tuple(n for n in earlier if draw(st.booleans())),
                shape=draw(st.none() | st.lists(SIZES, max_size=4).map(tuple)),
                parameters=draw(st.integers(0, 1000)),
                convolution=draw(
                    st.none() | st.builds(Convolution, SIZES, SIZES, st.tuples(SIZES, SIZES), SIZES)
                ),
                linear=draw(st.none() | st.builds(Linear, SIZES, SIZES)),
            )
        )
    return Graph("generated", tuple(nodes))
