"""``python -m perfmodel``, and where the ``perfmodel`` command begins."""

from __future__ import annotations

import os
import signal
import sys

#: What a shell says of a program that Ctrl-C ended.
INTERRUPTED = 130


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly, while it is still being imported, too."""
    # Within the machinery of imports Python prints an interrupt and goes on; there is nothing to
    # clean up yet.
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    from perfmodel.cli import main as run

    signal.signal(signal.SIGINT, before)
    try:
        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
