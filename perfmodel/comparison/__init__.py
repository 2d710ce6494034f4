"""Models on CPUs, side by side: results, the orders they make, and why methods disagree.

:func:`compare` evaluates, :func:`rankings` orders, :func:`disagreements` explains where two methods
order differently; :mod:`perfmodel.ranking` says what an order is worth. The *roofline* method is
perfmodel's own (:mod:`perfmodel.mapping`); the *published* one reproduces the comparison of
2025-10-24 (:mod:`perfmodel.published`), which exists for INT8 at batch 1 on eight CPUs only.
"""

from __future__ import annotations

from perfmodel.comparison.chosen import DEFAULT_CPUS, Cpu, usual_cpus
from perfmodel.comparison.comparing import compare
from perfmodel.comparison.disagreement import Disagreement, disagreements
from perfmodel.comparison.orders import Order, rankings

__all__ = [
    "DEFAULT_CPUS",
    "Cpu",
    "Disagreement",
    "Order",
    "compare",
    "disagreements",
    "rankings",
    "usual_cpus",
]
