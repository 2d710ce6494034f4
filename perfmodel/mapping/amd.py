"""AMD EPYC: AVX-512 units only, and an L3 that belongs to a core complex, not to the socket."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from perfmodel.mapping.columns import Columns
from perfmodel.mapping.mapper import Mapper
from perfmodel.mapping.roofline import FloatArray, Rate
from perfmodel.vocabulary import families as f


class AmdMapper(Mapper):
    """EPYC of the Zen 4 and Zen 5 families.

    A core can allocate only in the L3 of its own core complex (CCD or CCX), so a tensor that cores
    of several complexes read occupies a copy in each. Work is spread over the complexes first. Each
    reaches memory through a link of its own, which limits how much a few complexes can draw.
    """

    instructions: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "avx512": {"bf16": "avx512_bf16", "fp16": "avx512_fp16", "int8": "avx512_vnni"},
        "avx2": {"bf16": "avx_ne_convert", "fp16": "avx10", "int8": "avx_vnni"},
    }

    def domains(self, cores: FloatArray) -> FloatArray:
        """Core complexes in use: threads are spread over as many as there are."""
        complexes: FloatArray = np.minimum(cores, self.figure("cache.l3_domains"))
        return complexes

    def l3_capacity(self) -> Rate:
        """Bytes of L3 in one core complex."""
        return self.figure("cache.l3") / self.figure("cache.l3_domains")

    def resident_weights(self, columns: Columns) -> float:
        """Weights and state, split over the complexes as far as there are blocks of them.

        Weights are split by output channel; the keys and values of an attention by position and, as
        its loops have it, by sample and head.
        """
        work = columns.work
        weights = work.moved[0] * columns.count
        total = float(weights.sum())
        if total == 0.0:
            return columns.resident_bytes
        lanes = self.machine.core.engines[self.vector_engine].tile["fp32"].columns
        blocks = np.ceil(work.loops[:, 2] / lanes)
        blocks *= np.where(columns.family == f.CODE[f.ATTENTION], work.loops[:, 0], 1.0)
        complexes = float(np.max(self.figure("cache.l3_domains")))
        held = float(np.sum(weights / np.minimum(complexes, blocks)))
        # resident_bytes counts a shared weight once; the columns count it at every use.
        return columns.resident_bytes * held / total

    def dram_bandwidth(self, cores: FloatArray) -> FloatArray:
        """Memory bandwidth, no more than the links of the complexes in use carry."""
        links = self.domains(cores) * self.optional("memory.per_domain", np.inf)
        bandwidth: FloatArray = np.minimum(super().dram_bandwidth(cores), links)
        return bandwidth
