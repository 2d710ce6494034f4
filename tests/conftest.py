"""Hypothesis settings of the whole suite."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

# The same examples in every run of CI, and no deadline: a busy machine is not a failure.
# 40 examples: most laws draw whole workloads and machines, milliseconds each. What is cheap asks
# for more. So many are also what tools/mutants sees its mutants by.
settings.register_profile(
    "ci", max_examples=40, derandomize=True, deadline=None, database=None, print_blob=True
)
settings.register_profile("dev", max_examples=40, deadline=None)
# Of tools/mutants, which wants to know that a law fails, and not the least example.
settings.register_profile(
    "mutants",
    parent=settings.get_profile("ci"),
    phases=[Phase.explicit, Phase.generate],
    # A busy machine is not what it asks for either.
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci" if os.environ.get("CI") else "dev")
