"""``python -m perfmodel``, and where the ``perfmodel`` command begins."""

from __future__ import annotations

import gc
import os
import signal
import sys

from perfmodel._collecting import seldom

#: What a shell says of a program that Ctrl-C ended.
INTERRUPTED = 130


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly, while it is still being imported, too."""
    # Within the machinery of imports Python prints an interrupt and goes on; there is nothing to
    # clean up yet.
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    with seldom():
        from perfmodel.cli.app import NAME, asked

        program = asked()
        signal.signal(signal.SIGINT, before)
        try:
            program(prog_name=NAME)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)
        finally:
            # The process ends, and Python would search all that is left of it for garbage.
            gc.freeze()


if __name__ == "__main__":
    main()
