"""Machines: validated records of one CPU each, in SI units. No models in here.

::

    machine = load_machine("epyc_9654")          # or the path of a TOML file
    machine.peak_ops("avx512", "int8")           # op/s, multiply and add are two
    machine.core.engines["avx512"].tile["int8"].rows
    machine.core.engines["avx512"].efficiency["linear"].typical
    machine.figures()["memory.sustained"]        # Figure(low, typical, high, unit, ...)
    machine.with_values({"memory.bandwidth": "576 GB/s"})
"""

from __future__ import annotations

from perfmodel.figures.figure import CONFIDENCES, Figure
from perfmodel.machine.catalog import catalogue, cores, load_machine
from perfmodel.machine.core import CacheBandwidth, Core, Engine, Tile
from perfmodel.machine.schema import Machine

__all__ = [
    "CONFIDENCES",
    "CacheBandwidth",
    "Core",
    "Engine",
    "Figure",
    "Machine",
    "Tile",
    "catalogue",
    "cores",
    "load_machine",
]
