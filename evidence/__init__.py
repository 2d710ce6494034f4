"""Development tools of the shipped evidence: where the saved workloads come from."""
