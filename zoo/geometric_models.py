"""Layers and models of torch_geometric, on a graph without loops and parallel edges."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torch_geometric import nn as geometric

from zoo.case import Built, Case

_NODES, _WIDTH = 40, 16
#: By name, what makes the layer, for 16 features in and 8 out.
MODELS: dict[str, Callable[[], nn.Module]] = {
    "GCNConv": lambda: geometric.GCNConv(_WIDTH, 8),
    "GATConv": lambda: geometric.GATConv(_WIDTH, 8, heads=2),
    "GATv2Conv": lambda: geometric.GATv2Conv(_WIDTH, 8, heads=2),
    "SAGEConv": lambda: geometric.SAGEConv(_WIDTH, 8),
    "GraphConv": lambda: geometric.GraphConv(_WIDTH, 8),
    "GINConv": lambda: geometric.GINConv(nn.Linear(_WIDTH, 8)),
    "TransformerConv": lambda: geometric.TransformerConv(_WIDTH, 8),
    "ChebConv": lambda: geometric.ChebConv(_WIDTH, 8, K=2),
    "TAGConv": lambda: geometric.TAGConv(_WIDTH, 8),
    "SGConv": lambda: geometric.SGConv(_WIDTH, 8, K=2),
    "EdgeConv": lambda: geometric.EdgeConv(nn.Linear(2 * _WIDTH, 8)),
    "ResGatedGraphConv": lambda: geometric.ResGatedGraphConv(_WIDTH, 8),
    "GatedGraphConv": lambda: geometric.GatedGraphConv(_WIDTH, num_layers=2),
    "GCN": lambda: geometric.models.GCN(_WIDTH, 8, 2, 4),
    "GraphSAGE": lambda: geometric.models.GraphSAGE(_WIDTH, 8, 2, 4),
    "GIN": lambda: geometric.models.GIN(_WIDTH, 8, 2, 4),
    "GAT": lambda: geometric.models.GAT(_WIDTH, 8, 2, 4),
    "PNAConv": lambda: geometric.PNAConv(
        _WIDTH, 8, ["mean", "max"], ["identity"], torch.tensor([0, 20, 20])
    ),
    "LEConv": lambda: geometric.LEConv(_WIDTH, 8),
    "ARMAConv": lambda: geometric.ARMAConv(_WIDTH, 8),
}


def _build(name: str) -> Built:
    torch.manual_seed(0)
    nodes = torch.arange(_NODES)
    # 160 edges, each node to the four that follow it.
    edges = torch.stack(
        [nodes.repeat(4), (nodes.repeat(4) + torch.arange(1, 5).repeat_interleave(_NODES)) % _NODES]
    )
    return Built(MODELS[name]().eval(), (torch.randn(_NODES, _WIDTH), edges), allow_masks=True)


def cases() -> list[Case]:
    """Return a case for each layer and model."""
    return [Case(f"torch_geometric/{name}", lambda name=name: _build(name)) for name in MODELS]
