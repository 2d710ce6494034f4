"""The report in a real browser; ``nox -s browser`` runs it where Chromium is installed."""
