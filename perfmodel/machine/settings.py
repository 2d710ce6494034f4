"""What-if settings as people write them: ``epyc_9654.memory.bandwidth=576 GB/s``."""

from __future__ import annotations

from collections.abc import Sequence

from perfmodel.errors import MachineError, UnknownName
from perfmodel.machine.schema import Machine


def with_settings(machines: Sequence[Machine], settings: Sequence[str]) -> list[Machine]:
    """The machines with some figures changed, validated like a file.

    Args:
        settings: each ``ID.PATH=VALUE``: the id of one of ``machines``, a dotted path as in its
            TOML file, and a quantity as written there.

    Raises:
        MachineError: a setting of another form, an unknown path (the nearest is suggested), or a
            value that does not fit.
        UnknownName: an id that is none of ``machines``.
    """
    changes: dict[str, dict[str, str]] = {}
    ids = [machine.id for machine in machines]
    for setting in settings:
        target, equals, value = setting.partition("=")
        # An id may hold dots itself: the longest one that fits is meant.
        owners = [name for name in ids if target.strip().startswith(f"{name}.")]
        if not equals or "." not in target:
            raise MachineError(
                f"--set {setting!r}: expected ID.PATH=VALUE, such as "
                f'{ids[0]}.memory.bandwidth="576 GB/s"'
            )
        if not owners:
            raise UnknownName("CPU in --set", target.strip().split(".")[0], ids)
        owner = max(owners, key=len)
        path = target.strip().removeprefix(f"{owner}.")
        changes.setdefault(owner, {})[path] = value.strip().strip("\"'")
    return [
        machine.with_values(changes[machine.id]) if machine.id in changes else machine
        for machine in machines
    ]
