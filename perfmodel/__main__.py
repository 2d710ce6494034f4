"""``python -m perfmodel``, and where the ``perfmodel`` command begins."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections.abc import Callable

from perfmodel._collecting import seldom

#: What a shell says of a program that Ctrl-C ended.
INTERRUPTED = 130


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly, while it is still being imported, too."""
    # There is nothing to clean up yet, and modules catch what they like while they are imported.
    before = signal.signal(signal.SIGINT, lambda *_: os._exit(INTERRUPTED))
    sys.unraisablehook = _end_on_interrupt(sys.unraisablehook)
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


def _end_on_interrupt(
    report: Callable[[sys.UnraisableHookArgs], object],
) -> Callable[[sys.UnraisableHookArgs], object]:
    """Make a hook that ends the process where Python would print an interrupt and go on.

    That is so in the callbacks of weak references, which every import runs, and in finalisers.
    """

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            os._exit(INTERRUPTED)
        report(unraisable)

    return hook


if __name__ == "__main__":
    main()
