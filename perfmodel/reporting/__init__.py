"""The report: one self-contained HTML file that asks no server for anything."""

from __future__ import annotations

from perfmodel.reporting.reporting import report

__all__ = ["report"]
