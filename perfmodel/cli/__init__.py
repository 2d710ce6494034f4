"""The command line: parse, call the public functions, print.

Stdout carries data alone; progress, notes and errors go to stderr. Importing this package imports
nothing that a ``--help`` does not need.
"""

from __future__ import annotations

from perfmodel.cli.app import application, main

__all__ = ["application", "main"]
