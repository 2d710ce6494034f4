"""What every room may know: operator families, number formats and precisions."""
