"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


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
    temporary = target.with_name(f".{target.name[:100]}-{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("x", encoding="utf-8", newline="\n") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
