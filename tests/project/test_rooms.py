"""The order of the package's rooms: imports go down, never up and never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import perfmodel

PACKAGE = Path(perfmodel.__file__).parent

#: Lowest first. A module may import from its own row and from those above it in this list.
ROOMS = (
    ("errors", "_collecting", "_installed", "_lazy", "_text", "_toml", "_version"),
    ("_files", "charts"),
    ("cache",),
    ("sources",),
    ("vocabulary", "figures"),
    # The three that do not know each other.
    ("workload", "machine", "software"),
    ("scenario", "certainty"),
    ("tracing", "mapping"),
    ("models",),
    ("published", "resolve", "serving", "ranking"),
    ("evidence",),
    ("cost", "calibration"),
    ("comparison",),
    ("running", "exploration"),
    ("reporting",),
    ("disagreement",),
    ("guard",),
    ("perfmodel",),
    ("cli", "__main__"),
)
FLOOR = {room: floor for floor, rooms in enumerate(ROOMS) for room in rooms}
#: Rooms on one floor that must not know each other.
APART = [{"workload", "machine", "software"}, {"vocabulary", "figures"}, {"tracing", "mapping"}]


def modules() -> dict[str, Path]:
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts).removesuffix(".__init__")] = path
    return found


MODULES = modules()


def imports(name: str) -> Iterator[str]:
    """What a module imports of the package, also inside functions."""
    tree = ast.parse(MODULES[name].read_text(encoding="utf-8"))
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            skipped |= set(ast.walk(node)) - {node}
        if node in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("perfmodel"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else str(node.module)
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.startswith("perfmodel"))


def room(module: str) -> str:
    _, _, inside = module.partition(".")
    return inside.partition(".")[0] or "perfmodel"


def test_every_module_is_in_a_room_of_the_list() -> None:
    assert {room(module) for module in MODULES} <= FLOOR.keys()


def test_no_import_goes_up_or_between_rooms_that_do_not_know_each_other() -> None:
    wrong = []
    for module in sorted(MODULES):
        own = room(module)
        for other in imports(module):
            theirs = room(other)
            apart = own != theirs and any({own, theirs} <= rooms for rooms in APART)
            if FLOOR[theirs] > FLOOR[own] or apart:
                wrong.append(f"{module} imports {other}")
    assert not wrong, "\n".join(wrong)


def test_no_modules_import_each_other_in_a_circle_not_even_lazily() -> None:
    graph = {module: set(imports(module)) - {module} for module in MODULES}
    TopologicalSorter(graph).prepare()
