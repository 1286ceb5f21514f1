"""What PyTorch's tracers of tensors tell programs about themselves."""
