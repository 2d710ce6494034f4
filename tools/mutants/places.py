"""Places worth breaking, and the sample of them that a seed draws."""

from __future__ import annotations

import ast
import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]
#: What is exchanged, of all that cosmic-ray knows: near misses, as people make them. A quotient
#: that becomes a bitwise or fails in any test and tells nothing.
OPERATORS: Final = (
    "core/AddNot",
    "core/NumberReplacer",
    "core/RemoveDecorator",
    "core/ReplaceAndWithOr",
    "core/ReplaceBinaryOperator_Add_Sub",
    "core/ReplaceBinaryOperator_BitAnd_BitOr",
    "core/ReplaceBinaryOperator_Div_Mul",
    "core/ReplaceBinaryOperator_FloorDiv_Div",
    "core/ReplaceBinaryOperator_Mod_FloorDiv",
    "core/ReplaceBinaryOperator_Mul_Div",
    "core/ReplaceBinaryOperator_Pow_Mul",
    "core/ReplaceBinaryOperator_Sub_Add",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceComparisonOperator_Eq_NotEq",
    "core/ReplaceComparisonOperator_GtE_Gt",
    "core/ReplaceComparisonOperator_Gt_GtE",
    "core/ReplaceComparisonOperator_IsNot_Is",
    "core/ReplaceComparisonOperator_Is_IsNot",
    "core/ReplaceComparisonOperator_LtE_Lt",
    "core/ReplaceComparisonOperator_Lt_LtE",
    "core/ReplaceComparisonOperator_NotEq_Eq",
    "core/ReplaceContinueWithBreak",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceUnaryOperator_Delete_Invert",
    "core/ReplaceUnaryOperator_Delete_Not",
    "core/ReplaceUnaryOperator_Delete_USub",
    "core/ZeroIterationForLoop",
)
#: Larger numbers are sizes and tolerances, and one more of them is the same.
LARGEST: Final = 2
#: Decorators that change the speed or the type of a call, not its value.
SILENT_DECORATORS: Final = frozenset({"cache", "lru_cache", "overload", "override", "final"})
#: Options of a class's decorator that say how it is kept.
SILENT_OPTIONS: Final = frozenset({"frozen", "slots", "repr"})
Span = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Place:
    """One place to break: the occurrence of what a cosmic-ray operator changes in a file."""

    room: str
    path: Path
    operator: str
    occurrence: int
    line: int
    #: Function or class around it, the text of its line, and which of the same on equal lines.
    inside: str
    text: str
    ordinal: int

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.operator.removeprefix('core/')}"

    @property
    def key(self) -> str:
        """A name that stays while the line and its function do, wherever in the file they are."""
        told = f"{self.text.strip()}\n{self.ordinal}"
        digest = hashlib.sha256(told.encode()).hexdigest()[:8]
        return (
            f"{self.path.as_posix()}::{self.inside} {self.operator.removeprefix('core/')} {digest}"
        )


def places(room: str) -> list[Place]:
    """Return every place of this room that is worth breaking, in a fixed order."""
    return [
        place
        for file in sorted((PROJECT / "perfmodel" / room).rglob("*.py"))
        for place in in_code(room, file.relative_to(PROJECT), file.read_text("utf-8"))
    ]


def in_code(room: str, path: Path, code: str) -> Iterator[Place]:
    """Yield the places of ``code``, the text of the file ``path``."""
    from cosmic_ray.ast import ast_nodes, get_ast, is_number
    from cosmic_ray.plugins import get_operator

    lines, names, untold = code.splitlines(), _names(ast.parse(code)), list(silent(code))
    nodes = list(ast_nodes(get_ast(code)))
    alike: Counter[tuple[str, str, str]] = Counter()
    for name in OPERATORS:
        operator = get_operator(name)()
        found = ((node, at) for node in nodes for at in operator.mutation_positions(node))
        for occurrence, (node, (start, _)) in enumerate(found):
            if is_number(node) and abs(float(ast.literal_eval(node.value))) > LARGEST:
                continue
            if node.parent is not None and node.parent.type == "parameters":
                # A bare * or /, which cosmic-ray takes for a product.
                continue
            if any(first <= start < end for first, end in untold):
                continue
            line, text = start[0], lines[start[0] - 1]
            same = (name, names.get(line, ""), text.strip())
            yield Place(room, path, name, occurrence, line, same[1], text, alike[same])
            alike[same] += 1


def silent(code: str) -> Iterator[Span]:
    """Yield where no value is computed: annotations, texts of errors, decorators of form."""
    lines = code.splitlines()
    for node in ast.walk(ast.parse(code)):
        told: list[ast.expr | None] = []
        if isinstance(node, ast.FunctionDef):
            told.append(node.returns)
        elif isinstance(node, ast.arg | ast.AnnAssign):
            told.append(node.annotation)
        elif isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            told += [*node.exc.args, *(given.value for given in node.exc.keywords)]
        elif isinstance(node, ast.Call) and _called(node) == "warn":
            told += node.args
        elif isinstance(node, ast.Call) and _called(node) == "zip":
            # That what is paired is of one length holds whether it is asserted or not.
            told += [given.value for given in node.keywords]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            told.append(node.test)
        for decorator in getattr(node, "decorator_list", []):
            if _called(decorator) in SILENT_DECORATORS:
                # From the @ on.
                start, end = _span(decorator, lines)
                yield (start[0], 0), end
            elif isinstance(decorator, ast.Call):
                told += [k.value for k in decorator.keywords if k.arg in SILENT_OPTIONS]
        yield from (_span(part, lines) for part in told if part is not None)


def _called(node: ast.expr) -> str:
    """Last word of what a call or decorator names."""
    return ast.unparse(node.func if isinstance(node, ast.Call) else node).rpartition(".")[2]


def _span(node: ast.expr, lines: Sequence[str]) -> Span:
    """First position of a node and the one after it; columns in characters, as parso counts."""

    def column(line: int, offset: int) -> int:
        return len(lines[line - 1].encode()[:offset].decode())

    last, end = node.end_lineno or node.lineno, node.end_col_offset or 0
    return (node.lineno, column(node.lineno, node.col_offset)), (last, column(last, end))


def _names(tree: ast.AST, outer: str = "") -> dict[int, str]:
    """By line: the function or class around it."""
    found: dict[int, str] = {}
    for node in ast.iter_child_nodes(tree):
        inner = outer
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            inner = f"{outer}.{node.name}".lstrip(".")
            found |= dict.fromkeys(range(node.lineno, (node.end_lineno or 0) + 1), inner)
        found |= _names(node, inner)
    return found


def statement(code: str, line: int) -> range:
    """Return the lines of the innermost statement at ``line``; of one with a body, its head."""
    lines = range(line, line + 1)
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.stmt):
            continue
        body = getattr(node, "body", [])
        end = body[0].lineno if body else (node.end_lineno or node.lineno) + 1
        first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
        if line in range(first, end):
            lines = range(first, end)
    return lines


def drawn(found: Mapping[str, Sequence[Place]], seed: int) -> list[Place]:
    """Return places in the order in which a sample takes them: one of each room in turn.

    A place's turn depends on its key and the seed alone, so that a change elsewhere leaves the
    sample as it is. Of the places of one line one is drawn.
    """

    def turn(place: Place) -> bytes:
        return hashlib.sha256(f"{seed} {place.key}".encode()).digest()

    rooms: list[list[Place]] = []
    for inside in found.values():
        by_line: dict[tuple[Path, int], Place] = {}
        for place in sorted(inside, key=turn):
            by_line.setdefault((place.path, place.line), place)
        rooms.append([*by_line.values()])
    return [place for place in chain(*zip_longest(*rooms)) if place is not None]


def broken(code: str, place: Place) -> str:
    """Return ``code`` with this place broken; unchanged where the operator finds nothing."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    changed: str | None = mutate_code(code, get_operator(place.operator)(), place.occurrence)
    return code if changed is None else changed
