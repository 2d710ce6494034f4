"""Tools for those who work on perfmodel; no part of the package."""
