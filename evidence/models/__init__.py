"""Factories of measured networks that perfmodel does not know by name, one module per source."""
