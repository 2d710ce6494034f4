"""Workloads whose sizes are expressions of named dimensions."""
