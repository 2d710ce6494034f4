"""One software on one machine: its figures, or samples of them, by path."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from perfmodel.errors import MachineError
from perfmodel.figures.figure import Figure, nearest
from perfmodel.mapping.roofline import FloatArray, Rate
from perfmodel.software.catalog import catalogue
from perfmodel.software.schema import ANY, PREFIX, Software
from perfmodel.vocabulary import families as f
from perfmodel.vocabulary.precision import FORMATS


class Applied:
    """What a mapper reads of a software.

    Args:
        software: as its description has it.
        own: what the machine's file states of software, in tables by id.
        machine: whose file that is, for errors.
        read: gives a figure's value in SI units, or samples of shape (samples, 1, 1), by its path
            in a run and its figure.

    Raises:
        MachineError: the machine's file states what no software has.
    """

    def __init__(
        self,
        software: Software,
        own: Mapping[str, Any],
        machine: str,
        read: Callable[[str, Figure], Rate],
    ) -> None:
        file = f"{machine}: {PREFIX}.{software.id}"
        for name in own:
            near = nearest(name, catalogue())
            if name != software.id and name not in catalogue() and near:
                raise MachineError(f"{machine}: {PREFIX}.{name}: unknown software{near}")
        #: The description without what the machine states.
        self.given = software
        self.software = software.overlaid(own.get(software.id, {}), file)
        self._figures = self.software.figures()
        self._prefix = f"{PREFIX}.{software.id}"
        self._read = read
        # What is the same for every workload.
        self._kept: dict[tuple[object, ...], FloatArray] = {}

    def value(self, path: str, absent: float = 0.0) -> Rate:
        """Return the figure at ``path``, or ``absent`` where the software has none."""
        full = f"{self._prefix}.{path}"
        figure = self._figures.get(full)
        return absent if figure is None else self._read(full, figure)

    def launch(self) -> FloatArray:
        """Return seconds to launch one kernel by family code, (families,) or (samples, 1, ...)."""
        stated = self.software.launch
        keys = (family if family in stated else "default" for family in f.FAMILIES)
        return self._keep(("launch",), lambda: [self.value(f"launch.{key}") for key in keys])

    def beside(self, precision: str) -> FloatArray:
        """Return kernels launched beside each one, by family: (1, F) or (samples, 1, F)."""
        stated = self.software.beside.get(precision, {})
        paths = (f"beside.{precision}.{n}" if n in stated else None for n in f.FAMILIES)
        return self._keep(
            ("beside", precision),
            lambda: [0.0 if path is None else self.value(path) for path in paths],
        )

    def efficiencies(
        self, families: tuple[str, ...], engine: str, kind: str, fmt: str
    ) -> FloatArray:
        """Return :meth:`efficiency` of several families: (1, F) or (samples, 1, F)."""
        return self._keep(
            (families, engine, kind, fmt),
            lambda: [self.efficiency(family, engine, kind, fmt) for family in families],
        )

    def _keep(self, key: tuple[object, ...], rates: Callable[[], list[Rate]]) -> FloatArray:
        if key not in self._kept:
            self._kept[key] = by_family(rates())
        return self._kept[key]

    def runs(self, engine: str, family: str, fmt: str) -> bool:
        """Return whether it has kernels of ``family`` for ``engine`` in a format."""
        formats = self.software.formats
        able = formats.get(family, formats.get("default"))
        missing = {engine, f"{engine}_{fmt}"} & set(self.software.without)
        return not missing and (able is None or fmt in able)

    def efficiency(
        self, family: str, engine: str, kind: str, fmt: str, precision: str = ""
    ) -> Rate:
        """Return the share of the rate of ``engine`` that kernels of ``family`` reach.

        Of the tables, that of the precision comes first (unless it is called like a format), then
        those of the engine in the format, of the engine, of its kind ("matrix", "vector"), of the
        format, and the one for any.
        """
        own = () if precision in FORMATS else (precision,)
        for key in (*own, f"{engine}_{fmt}", engine, kind, fmt, ANY):
            if family in self.software.efficiency.get(key, {}):
                return self.value(f"efficiency.{key}.{family}")
        return 1.0


def by_family(rates: list[Rate]) -> FloatArray:
    """Return rates of all families side by side: shape (1, families) or (samples, 1, families)."""
    if all(isinstance(rate, float) for rate in rates):
        return np.array([rates], dtype=np.float64)
    lead = np.broadcast_shapes((1, 1), *{np.shape(rate) for rate in rates})
    found = np.empty((*lead[:-1], len(rates)))
    for place, rate in enumerate(rates):
        found[..., place : place + 1] = rate
    return found
