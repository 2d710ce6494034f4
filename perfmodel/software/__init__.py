"""What software does with a model's kernels: launch, fusion, copies, and the share of a cache.

A description holds no CPU and no model. docs/model.md says how the formula uses it.
"""
