"""Files of users: reading TOML with one clear error, writing whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from perfmodel.errors import PerfmodelError


def read_toml(
    path: Path, shown: str, error: type[PerfmodelError], expected: str | None = None
) -> dict[str, Any]:
    """The TOML table in ``path``; a byte-order mark is skipped.

    Raises ``error`` with a line that begins with ``shown``: no such file (with what was
    ``expected``), not readable, not UTF-8, not TOML.
    """
    import tomllib  # Shipped files are mostly read from the cache, and workloads are JSON.

    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as fault:
        if expected is not None and isinstance(fault, FileNotFoundError):
            raise error(f"{shown}: no such file; expected {expected}") from None
        raise error(f"{shown}: cannot be read: {fault.strerror}") from None
    except UnicodeDecodeError as fault:
        raise error(f"{shown}: not UTF-8 text (byte {fault.start})") from None
    except tomllib.TOMLDecodeError as fault:
        raise error(f"{shown}: not valid TOML: {fault}") from None
    except ValueError as fault:  # a null byte in the path
        raise error(f"{shown!r}: cannot be read: {fault}") from None


def write_atomically(path: Path, text: str) -> None:
    """Replace ``path`` by ``text`` (UTF-8) so that a reader, or a crash, sees the old or the new.

    The text goes to a temporary file in the same folder, which is then renamed. A symbolic link is
    followed; what is not a regular file (a terminal, ``/dev/null``) is written to, not replaced.
    Raises :class:`OSError`, and leaves no temporary file behind then.
    """
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        target.write_text(text, encoding="utf-8")
        return
    # Opened by name rather than by tempfile, which would narrow the permissions to the owner.
    temporary = target.with_name(f".{target.name[:100]}-{os.urandom(8).hex()}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
