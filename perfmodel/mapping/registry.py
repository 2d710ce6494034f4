"""Which mapper maps which machines; one of one's own can be added from outside the package."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

from perfmodel.errors import PerfmodelError, UnknownName
from perfmodel.machine import Machine
from perfmodel.mapping.amd import AmdMapper
from perfmodel.mapping.ampere import AmpereMapper
from perfmodel.mapping.intel import IntelMapper
from perfmodel.mapping.mapper import Mapper
from perfmodel.mapping.roofline import FloatArray

#: Entry points of installed packages that bring mappers: ``name = "package.module:Mapper"``.
ENTRY_POINTS: Final = "perfmodel.mappers"

_mappers: dict[str, type[Mapper]] = {
    "amd": AmdMapper,
    "ampere": AmpereMapper,
    "intel": IntelMapper,
}


def register_mapper(name: str, mapper: type[Mapper], *, replace: bool = False) -> None:
    """Let machine files ask for ``mapper`` by ``mapper = "NAME"``.

    An installed package can do without this call, by an entry point of :data:`ENTRY_POINTS`.

    Raises:
        PerfmodelError: the name is taken and ``replace`` is false, or no subclass of Mapper.
    """
    if not (isinstance(mapper, type) and issubclass(mapper, Mapper)):
        raise PerfmodelError(f"mapper {name!r}: expected a subclass of Mapper, found {mapper!r}")
    if name in _mappers and not replace:
        raise PerfmodelError(f"mapper {name!r} is {_mappers[name].__name__}; replace=True replaces")
    _mappers[name] = mapper
    _typical.cache_clear()


def mapper_for(machine: Machine, values: Mapping[str, float | FloatArray] | None = None) -> Mapper:
    """Return the mapper of this machine's kind, with ``values`` in place of typical figures.

    Raises:
        UnknownName: no mapper of the name in the machine's file, or no figure of a path in
            ``values``.
    """
    return _typical(machine) if values is None else _kind(machine)(machine, values)


# A machine is found by its identity first; one that is asked about again has the same rates.
@functools.lru_cache(maxsize=8)
def _typical(machine: Machine) -> Mapper:
    return _kind(machine)(machine)


def _kind(machine: Machine) -> type[Mapper]:
    if machine.mapper not in _mappers:
        from importlib import metadata

        for point in metadata.entry_points(group=ENTRY_POINTS, name=machine.mapper):
            register_mapper(machine.mapper, point.load())
    if machine.mapper not in _mappers:
        raise UnknownName(f"mapper of {machine.id}", machine.mapper, _mappers)
    return _mappers[machine.mapper]
