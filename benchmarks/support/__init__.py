"""The machinery of the regression suite: snapshots with a tolerance, and the report of shifts.

========== =======================================================================
tolerance  what counts as a difference between two JSON documents
extension  the syrupy extension that stores one readable JSON file per snapshot
documents  what is recorded of a workload and of an estimate
shifts     differences as a reviewer reads them: what shifted, by how much, and why
rendering  the shift report as terminal text and as Markdown
plugin     the pytest plugin that ties them together
ledger     speed held against targets
cpus       the CPUs that are ranked against each other
========== =======================================================================
"""
