"""What ``nox -s benchmarks`` runs: expected rankings, latency snapshots, speed."""
