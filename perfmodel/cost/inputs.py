"""What serving costs beside CPUs: inputs.toml, a file of the user's over it, and single values."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from perfmodel._files import read_toml
from perfmodel.errors import MachineError
from perfmodel.figures.figure import Count, Expect, Figure, Fraction, Origin, Power, Price
from perfmodel.figures.record import Record, fault_at, tree_of, validated, walk

EnergyPrice = Annotated[Figure, Expect("USD/J", "0.12 USD/kWh")]
Ratio = Annotated[Figure, Expect("", "1.4")]

#: What the paths of these figures begin with, to tell them from a machine's.
PREFIX: Final = "cost."


class _Energy(Record):
    price: EnergyPrice
    pue: Ratio

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.pue.low < 1:
            raise fault_at(("pue",), f"{self.pue}", "at least 1: what reaches the servers is in it")
        return self


class _Purchase(Record):
    capital_rate: Fraction
    maintenance: Fraction


class _Service(Record):
    utilization: Fraction


class _Server(Record):
    sockets: Count
    price: Price
    power: Power


class Inputs(Record):
    """Prices and rates, each with its range and source; see the file for what they mean.

    Attributes:
        energy: ``price``, and ``pue``: power of the data centre over that of its servers.
        purchase: shares of it per year, ``capital_rate`` (interest) and ``maintenance``.
        service: ``utilization``, the share of a socket's throughput that is planned for.
        server: ``sockets`` of one, its ``price`` without CPUs, its ``power`` beside them.
    """

    sources: Mapping[str, str] = Field(default_factory=dict)
    energy: _Energy
    purchase: _Purchase
    service: _Service
    server: _Server

    def figures(self) -> dict[str, Figure]:
        """Every figure by its dotted path, all beginning with :data:`PREFIX`."""
        return {f"{PREFIX}{path}": figure for path, figure in walk(self)}


@functools.cache
def _defaults() -> str:
    return resources.files("perfmodel.cost").joinpath("inputs.toml").read_text("utf-8")


def load_inputs(path: str | Path | None = None) -> Inputs:
    """The defaults, with what the TOML file ``path`` states laid over them.

    Raises:
        MachineError: the file cannot be read, or states something that does not fit; names the
            field.
    """
    tree = tomllib.loads(_defaults())
    found = validated(Inputs, tree, Origin("inputs.toml", tree["sources"]))
    if path is None:
        return found
    own = read_toml(Path(path), str(path), MachineError)
    sources = own.pop("sources", {})
    if not isinstance(sources, dict):
        raise MachineError(f"{path}: sources: {sources!r}; expected a table of key = citation")
    merged = tree_of(found)
    for name, table in own.items():
        below = merged.get(name)
        both = isinstance(below, dict) and isinstance(table, dict)
        merged[name] = below | table if both else table
    return validated(Inputs, merged, Origin(str(path), sources))
