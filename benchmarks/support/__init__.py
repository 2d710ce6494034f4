"""What only this project's suite needs; the rest of it is perfmodel.guard, as anyone has it.

========= =======================================================================
cases     the models whose figures are held
cpus      the CPUs that are ranked against each other, and those that are held
documents what is recorded of a workload and of an estimate beside its latency
ledger    speed held against targets
========= =======================================================================
"""
