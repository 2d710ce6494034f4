"""``python -m perfmodel``, and where the ``perfmodel`` command begins."""

from __future__ import annotations

import sys

#: What a shell says of a program that Ctrl-C ended.
INTERRUPTED = 130


def main() -> None:
    """Run the command line; Ctrl-C ends it quietly, while it is still being imported, too."""
    try:
        from perfmodel.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


if __name__ == "__main__":
    main()
