"""The former place of :mod:`perfmodel.models.zoo`; the name still works."""

from __future__ import annotations

import sys
from importlib import import_module

sys.modules[__name__] = import_module("perfmodel.models.zoo")
