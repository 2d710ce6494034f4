"""Intel Xeon: AMX tiles beside AVX-512, one last-level cache for the whole socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from perfmodel.mapping.mapper import Mapper


class IntelMapper(Mapper):
    """Xeon Scalable, Xeon 6, and Core processors.

    AMX executes BF16 and INT8 convolutions, linear layers, matrix products and attention in tiles
    of 16 rows of 64 bytes; AVX-512 executes the rest, FP32 included, and takes over where padding a
    few rows to a tile costs more than AMX brings. Each engine has the clock it holds under its own
    load. The mesh makes all slices of the L3 one cache. Client cores have AVX2 alone.
    """

    instructions: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "amx": {"bf16": "amx_bf16", "fp16": "amx_fp16", "int8": "amx_int8"},
        "avx512": {"bf16": "avx512_bf16", "fp16": "avx512_fp16", "int8": "avx512_vnni"},
        "avx2": {"bf16": "avx_ne_convert", "fp16": "avx10", "int8": "avx_vnni"},
    }
