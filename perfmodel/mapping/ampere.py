"""AmpereOne and other Arm servers: NEON or SVE units, private L2, a system-level cache."""

from __future__ import annotations

from perfmodel.mapping.mapper import Mapper


class AmpereMapper(Mapper):
    """AmpereOne, and other Arm servers, with or without SVE and matrix instructions.

    AmpereOne has two 128-bit pipes per core with dot-product instructions and no matrix unit, one
    thread per core, and a clock that does not depend on the instruction mix. The system-level cache
    sits on the memory side of a mesh and serves all cores alike; the large private L2 holds
    activations.

    Neoverse cores have SVE, and matrix instructions (engine "mmla") that do twice the work of the
    dot products in the same slot: BFMMLA and SMMLA, with tiles of two rows. On AmpereOne these take
    two slots and bring nothing, so it has no such engine.
    """
