"""What others measured, and the networks they ran; docs/evidence.md describes both."""
