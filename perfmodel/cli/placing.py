"""What ``serve`` says of the best division: its memory, what to set, and a script to measure it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from perfmodel._text import significant
from perfmodel.cli.rendering import Column, Facts, Table, note, optional
from perfmodel.errors import PerfmodelError

if TYPE_CHECKING:
    from perfmodel.mapping import Result
    from perfmodel.serving import Search


def memory_table(found: Sequence[Search]) -> Table:
    """What the best of each CPU keeps in memory."""
    table = Table(
        [
            Column("CPU", "left"),
            Column("weights\nGiB"),
            Column("copies"),
            Column("KV cache\nGiB"),
            Column("activations\nGiB"),
            Column("in all\nGiB"),
            Column("memory\nGiB"),
        ],
        title="Memory of the best",
        caption="KV cache and activations: of one instance.",
    )
    for result in found:
        need = None if result.best is None else result.best.memory
        if need is None:
            continue
        sizes = (need.weights, need.state, need.activations, need.total)
        weights, state, activations, total = (significant(size / 2**30) for size in sizes)
        table.add(
            result.cpu,
            weights,
            str(need.copies),
            state,
            activations,
            total,
            optional(need.capacity, lambda size: significant(size / 2**30)),
        )
    return table


def winner(found: Sequence[Search]) -> Result:
    """The highest throughput of all CPUs, of which some serves something."""
    best = [result.best for result in found if result.best is not None]
    return max(best, key=lambda served: served.throughput_fps)


def settings_facts(served: Result) -> Facts:
    """What to set for one division."""
    from perfmodel.serving.settings import settings

    title = f"What to set: {served.cpu}, {served.partition}, batch {served.batch}"
    labels = {
        "last_instance": f"instance {served.partition.instances}, the last",
        "software": str(served.software),
    }
    facts = [
        (labels.get(key, key.replace("_", " ")), line) for key, line in settings(served).items()
    ]
    return Facts(facts, title=title)


def write_script(path: Path, served: Result, model: str, cpus: Sequence[str], sockets: int) -> None:
    """Write the program that measures ``served``.

    Raises:
        PerfmodelError: what cannot be measured so, or a file that is there already.
    """
    from perfmodel._files import write_atomically
    from perfmodel.serving.script import script

    named = next((cpu for cpu in cpus if Path(cpu).stem == served.cpu), served.cpu)
    machine = str(Path(named).resolve()) if Path(named).is_file() else named
    text = script(served, model, machine, sockets, path.name)
    if path.exists():
        raise PerfmodelError(f"{path} is there already: remove it, or name another file")
    try:
        write_atomically(path, text)
    except OSError as error:
        raise PerfmodelError(f"{path}: cannot be written: {error.strerror}") from None
    note(f"wrote {path}: run it on {served.cpu} with python {path}")
