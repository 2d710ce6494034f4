"""Intel Xeon and Core: AMX tiles beside AVX-512, sub-NUMA clusters as L3 domains."""

from __future__ import annotations

from perfmodel.mapping.mapper import Mapper


class IntelMapper(Mapper):
    """Xeon Scalable, Xeon 6, and Core processors.

    AMX executes BF16 and INT8 convolutions, linear layers, matrix products and attention in tiles
    of 16 rows of 64 bytes; AVX-512 executes the rest, FP32 included, and takes over where padding a
    few rows to a tile costs more than AMX brings. Each engine has the clock it holds under its own
    load. The mesh makes all slices of the L3 one cache, unless sub-NUMA clusters divide it: each is
    a domain then. All of that is data; nothing else sets these CPUs apart.
    """
