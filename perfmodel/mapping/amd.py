"""AMD EPYC: AVX-512 units only, and an L3 that belongs to a core complex, not to the socket."""

from __future__ import annotations

from perfmodel.mapping.mapper import Mapper


class AmdMapper(Mapper):
    """EPYC of the Zen 4 and Zen 5 families.

    A core can allocate only in the L3 of its own core complex (CCD or CCX), so a tensor that cores
    of several complexes read occupies a copy in each. Work is spread over the complexes first. Each
    reaches memory through a link of its own (``memory.per_domain``), which limits how much a few
    complexes can draw. All of that is data: ``cache.l3_domains`` says how many complexes there are.
    """
