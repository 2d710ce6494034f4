"""Finding and reading machine descriptions: the catalogue's, and the user's own.

One TOML file describes one CPU; ``core`` in it names the microarchitecture it is made of (a file of
``catalog/cores``, or a path relative to the file), or is a whole table, or a table with
``base = "name"`` and only the fields that differ. A CPU file can rest on another in the same way;
``without`` then lists the optional figures of the base that this CPU does not have. An instance of
a cloud provider is a part of such a CPU (:mod:`perfmodel.machine.rented`).
"""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import Any, Final

from perfmodel._files import read_toml
from perfmodel.errors import MachineError, PerfmodelError
from perfmodel.figures.checking import validated
from perfmodel.figures.files import extended, file_of, id_of, merged, read_description, referred
from perfmodel.figures.record import tree_of
from perfmodel.figures.remembering import remembered
from perfmodel.machine import rented
from perfmodel.machine.core import Core
from perfmodel.machine.parts import joined
from perfmodel.machine.rented import instances
from perfmodel.machine.schema import BANDWIDTH_PARTS, Machine

_CATALOG: Final = Path(__file__).parent / "catalog"
_CORES: Final = _CATALOG / "cores"
_ALIASES: Final = Path(__file__).parent / "aliases.toml"
#: What a file should have been that is not there.
_EXPECTED: Final = "a TOML file, see perfmodel cpus"
#: Figures whose change makes another chip of a CPU: one without the list price of its base.
IDENTITY: Final = (
    "cores.count", "cores.threads_per_core", "clock.base", "clock.max", "cache.l2", "cache.l3",
)  # fmt: skip


@functools.cache
def catalogue() -> tuple[str, ...]:
    """Ids of all CPUs that come with perfmodel, sorted."""
    return tuple(sorted(path.stem for path in _CATALOG.glob("*.toml")))


@functools.cache
def cores() -> tuple[str, ...]:
    """Names of all microarchitectures a CPU file can refer to, sorted."""
    return tuple(sorted(path.stem for path in _CORES.glob("*.toml")))


@functools.cache
def aliases() -> dict[str, str]:
    """Return other names of CPUs of the catalogue, each with the id it stands for."""
    return dict(read_toml(_ALIASES, _ALIASES.name, MachineError, "the catalogue's other ids"))


def load_machine(machine: str | os.PathLike[str] | Machine, *, sockets: int = 1) -> Machine:
    """Return a machine by catalogue id or alias, or from a TOML file; a Machine as it is.

    Args:
        machine: also the name of an instance (``c7i.8xlarge``), and a file of instances: by its
            path where it has one size, else as ``FILE.toml:SIZE``.
        sockets: as many of them as one machine (:func:`perfmodel.machine.parts.joined`).

    Raises:
        UnknownName: neither an id (the nearest is suggested) nor a path.
        MachineError: the file is not a valid description.
        PerfmodelError: a number of sockets that is none, or something else than one CPU.
    """
    found = machine if isinstance(machine, Machine) else _found(machine)
    return found if sockets == 1 else joined(found, sockets)


def _found(machine: str | os.PathLike[str]) -> Machine:
    if not isinstance(machine, (str, os.PathLike)):
        raise PerfmodelError(
            f"no CPU: {type(machine).__name__}; expected one id, path or machine "
            "(perfmodel.compare and perfmodel.rank take several)"
        )
    text = os.fspath(machine)
    if isinstance(machine, str) and text in catalogue():
        return _from_catalogue(text)
    if isinstance(machine, str) and text in aliases() and not Path(text).is_file():
        return _from_catalogue(aliases()[text])
    if isinstance(machine, str) and text in instances() and not Path(text).is_file():
        return _instance(text)
    named, size = rented.chosen(text)
    path = file_of(named if size or isinstance(machine, str) else machine, "CPU", known())
    family = rented.family_of(path, named)
    if family is None:
        if size is not None:
            raise MachineError(f"{named} describes one machine: leave {size!r} out")
        return _load(path, named, ())
    return _of_family(family, rented.size_of(family, size, named), path, named)


def known() -> tuple[str, ...]:
    """Return all that a CPU can be called by: ids of the catalogue and names of instances."""
    return (*catalogue(), *instances())


@functools.cache
def _instance(name: str) -> Machine:
    family = instances()[name]
    return _of_family(rented.family(family), name, Path(), f"{family}.toml")


def _of_family(family: rented.Family, name: str, path: Path, shown: str) -> Machine:
    if family.cpu in catalogue():
        cpu = _from_catalogue(family.cpu)
    else:
        file = referred(path, family.cpu, shown, "cpu", "CPU", catalogue())
        cpu = _load(file, str(file), ())
    return rented.machine_of(family, name, cpu, shown)


@functools.cache
def _from_catalogue(name: str) -> Machine:
    path = _CATALOG / f"{name}.toml"
    return remembered(Machine, path, lambda: _load(path, path.name, ()))


@functools.cache
def _core_from_catalogue(name: str) -> Core:
    return _load_core(_CORES / f"{name}.toml", f"cores/{name}.toml", ())


def _load(path: Path, shown: str, chain: tuple[Path, ...]) -> Machine:
    """The machine in ``path``; ``chain`` holds the files that rest on it, against circles."""
    tree, origin = read_description(path, shown, _EXPECTED)
    chain = extended(chain, path, shown)
    tree.setdefault("id", id_of(path, "machine"))
    below = _base(tree.pop("base", None), path, shown, chain)
    without = tree.pop("without", None)
    own_core = tree.pop("core", None)
    if below is not None:
        under, memory = tree_of(below), tree.get("memory")
        if isinstance(memory, dict) and any(part in memory for part in BANDWIDTH_PARTS):
            # A listed peak would win over the new transfer rate.
            under["memory"].pop("bandwidth", None)
        _drop(under, without, shown)
        stated = tree
        tree = merged(under, tree)
    elif without is not None:
        raise MachineError(f"{shown}: without: there is no base to leave figures out of")
    if own_core is not None:
        tree["core"] = _core_tree(own_core, tree.get("core"), path, shown, chain, "core")
    second = tree.get("efficiency_cores")
    if isinstance(second, dict) and "core" in second:
        field = "efficiency_cores.core"
        tree["efficiency_cores"] = second | {
            "core": _core_tree(second["core"], None, path, shown, chain, field)
        }
    machine = validated(Machine, tree, origin)
    if below is not None and "launch" not in stated.get("price", {}) and differing(machine, below):
        # What another chip costs says nothing of this one.
        tree["price"].pop("launch", None)
        machine = validated(Machine, tree, origin)
    machine.check_clocks(shown)
    return machine


def _base(base: Any, path: Path, shown: str, chain: tuple[Path, ...]) -> Machine | None:
    """The machine that the file ``path`` rests on by ``base = ...``."""
    if base is None:
        return None
    if not isinstance(base, str):
        raise MachineError(f"{shown}: base: {base!r}; expected a CPU id or a path")
    if base in catalogue():
        return _from_catalogue(base)
    if base in instances():
        return _instance(base)
    file = referred(path, base, shown, "base", "CPU", known())
    return _load(file, str(file), chain)


def base_of(file: Path) -> tuple[dict[str, Any], Machine | None]:
    """Return what a CPU file states itself, as nested tables, and the machine it rests on."""
    shown = str(file)
    tree, _ = read_description(file, shown, _EXPECTED)
    return tree, _base(tree.get("base"), file, shown, extended((), file, shown))


def _load_core(path: Path, shown: str, chain: tuple[Path, ...]) -> Core:
    tree, origin = read_description(path, shown, _EXPECTED)
    chain = extended(chain, path, shown)
    if "base" in tree:
        tree = _core_tree(tree, None, path, shown, chain, "the file")
    return validated(Core, tree, origin)


def _core_tree(
    raw: Any, inherited: Any, path: Path, shown: str, chain: tuple[Path, ...], field: str
) -> Any:
    """What ``core`` in the file ``path`` stands for, ready to be validated."""
    if isinstance(raw, str):
        raw = {"base": raw}
        inherited = None
    if not isinstance(raw, dict):
        raise MachineError(
            f"{shown}: {field}: {raw!r}; expected the name of a core ({', '.join(cores())}), "
            "a path, or a table"
        )
    raw = dict(raw)
    base = raw.pop("base", None)
    if base is None:
        return raw if inherited is None else merged(inherited, raw)
    if not isinstance(base, str):
        raise MachineError(f"{shown}: {field}.base: {base!r}; expected a core's name or a path")
    if base in cores():
        below = _core_from_catalogue(base)
    else:
        file = referred(path, base, shown, field, "core", cores())
        below = _load_core(file, str(file), chain)
    return merged(tree_of(below), raw)


def differing(machine: Machine, below: Machine) -> list[str]:
    """Return the paths of :data:`IDENTITY` at which two machines are not the same chip."""
    ours, theirs = machine.figures(), below.figures()
    return [path for path in IDENTITY if ours[path].typical != theirs[path].typical]


def _drop(tree: dict[str, Any], without: Any, shown: str) -> None:
    """Take the figures at the dotted paths ``without`` out of the ``tree`` of a base."""
    if without is None:
        return
    if not isinstance(without, list) or not all(isinstance(path, str) for path in without):
        raise MachineError(f"{shown}: without: {without!r}; expected a list of dotted paths")
    for path in without:
        *parents, leaf = path.split(".")
        node: Any = tree
        for parent in parents:
            node = node.get(parent) if isinstance(node, dict) else None
        if not isinstance(node, dict) or leaf not in node:
            raise MachineError(f"{shown}: without: the base has no {path!r}")
        del node[leaf]
