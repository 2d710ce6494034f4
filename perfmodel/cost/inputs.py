"""What serving costs beside CPUs: inputs.toml, a file of the user's over it, and single values."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Mapping
from dataclasses import field
from importlib import resources
from pathlib import Path
from typing import Annotated, Final

import numpy as np

from perfmodel._files import read_toml
from perfmodel.errors import MachineError, UnknownName
from perfmodel.figures import record
from perfmodel.figures.checking import validated
from perfmodel.figures.figure import Expect, Figure, Fraction, Origin, PartCount, Power, Price
from perfmodel.figures.record import Record, tree_of, walk
from perfmodel.vocabulary import ranges

EnergyPrice = Annotated[
    Figure,
    Expect("USD/J", "0.12 USD/kWh", plausible=(ranges.ELECTRICITY.least, ranges.ELECTRICITY.most)),
]
#: What reaches the servers is in it, so it is at least 1.
Pue = Annotated[Figure, Expect("", "1.4", plausible=(ranges.PUE.least, ranges.PUE.most))]
Utilization = Annotated[
    Figure,
    Expect("", "0.7", "fraction", plausible=(ranges.UTILIZATION.least, ranges.UTILIZATION.most)),
]

#: What the paths of these figures begin with, to tell them from a machine's.
PREFIX: Final = "cost."


class _Energy(Record):
    price: EnergyPrice
    pue: Pue


class _Purchase(Record):
    capital_rate: Fraction
    maintenance: Fraction


class _Service(Record):
    utilization: Utilization


class _Server(Record):
    sockets: PartCount
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

    sources: Mapping[str, str] = field(default_factory=dict)
    energy: _Energy
    purchase: _Purchase
    service: _Service
    server: _Server

    def figures(self) -> dict[str, Figure]:
        """Every figure by its dotted path, all beginning with :data:`PREFIX`."""
        return {f"{PREFIX}{path}": figure for path, figure in walk(self)}


def settable() -> dict[str, Expect]:
    """Every input by its dotted path, with what it may be."""
    return dict(record.settable(load_inputs(), PREFIX.removesuffix(".")))


def check_inputs(values: Mapping[str, float]) -> None:
    """Hold values in SI, by dotted path, to what the inputs may be.

    Raises:
        UnknownName: no such input.
        MachineError: a value out of its plausible range, or no number.
    """
    known = settable()
    for path, value in values.items():
        if path not in known:
            raise UnknownName("input", path, known)
        known[path].check_all(np.array([value]), path.removeprefix(PREFIX))


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
