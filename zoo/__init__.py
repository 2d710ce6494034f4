"""Public models by the hundred, each traced and held to PyTorch's own counter."""
