from __future__ import annotations

import json

import pytest
from hypothesis import given

from perfmodel.errors import WorkloadFormatError
from perfmodel.published.nodes import Graph, Node
from tests.published.builders import any_graph


@given(any_graph())
def test_json_round_trip_changes_nothing(graph: Graph) -> None:
    again = Graph.from_dict(json.loads(json.dumps(graph.to_dict())))
    assert again == graph
    assert again.users == graph.users


@given(any_graph())
def test_users_are_the_inverse_of_inputs(graph: Graph) -> None:
    forward = {(s, i) for i, node in enumerate(graph.nodes) for s in node.inputs}
    backward = {(s, i) for s, users in enumerate(graph.users) for i in users}
    assert forward == backward


def node(**changes: object) -> dict[str, object]:
    return {"name": "x", "kind": "placeholder", "type": "x", "shape": [1, 3], **changes}


@pytest.mark.parametrize(
    "row",
    [
        {"kind": "placeholder", "type": "x"},
        node(kind="call_nothing"),
        node(shape=[1, -3]),
        node(shape=[1.5]),
        node(shape="13"),
        node(inputs=[0]),
        node(inputs=[7]),
        node(linear=[3]),
        node(convolution=[3, 4, 1]),
        node(parameters=None),
    ],
    ids=str,
)
def test_a_damaged_node_is_refused(row: dict[str, object]) -> None:
    good = {"format": 1, "model": "m", "nodes": [node()]}
    assert Graph.from_dict(good).nodes[0].shape == (1, 3)
    with pytest.raises(WorkloadFormatError, match="published graph of m"):
        Graph.from_dict(good | {"nodes": [row]})


@pytest.mark.parametrize("change", [{"format": 99}, {"model": None}, {"nodes": {}}], ids=str)
def test_a_damaged_document_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(WorkloadFormatError):
        Graph.from_dict({"format": 1, "model": "m", "nodes": []} | change)


def test_a_node_may_not_list_an_input_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        Graph("m", (Node("a", "placeholder", "a"), Node("b", "call_module", "ReLU", (0, 0))))


def test_bytes_are_those_of_fp32() -> None:
    assert Node("x", "placeholder", "x", shape=(2, 3, 5)).bytes == 120
    assert Node("scalar", "placeholder", "x", shape=()).bytes == 4
    assert Node("tuple", "call_module", "MultiheadAttention", shape=None).bytes == 0
