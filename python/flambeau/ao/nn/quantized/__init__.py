"""Operations as modules, which a quantization would replace. Tensors are not quantized here."""

import flambeau as torch
from flambeau.nn import Identity, Module

__all__ = ["FloatFunctional"]


class FloatFunctional(Module):
    """Sums and products of floating-point tensors as methods of a module; the results go through
    `activation_post_process`, where a quantization looks at them.
    """

    def __init__(self):
        super().__init__()
        self.activation_post_process = Identity()

    def forward(self, x):
        raise RuntimeError("FloatFunctional is not intended to use the 'forward'. Please use the underlying operation")

    def add(self, x, y):
        """``x + y``."""
        return self.activation_post_process(torch.add(x, y))

    def add_scalar(self, x, y):
        """``x + y`` of a number, which is not looked at."""
        return torch.add(x, y)

    def mul(self, x, y):
        """``x * y``."""
        return self.activation_post_process(torch.mul(x, y))

    def mul_scalar(self, x, y):
        """``x * y`` of a number, which is not looked at."""
        return torch.mul(x, y)

    def cat(self, x, dim=0):
        """The tensors one after another."""
        return self.activation_post_process(torch.cat(x, dim=dim))

    def add_relu(self, x, y):
        """``relu(x + y)``."""
        return self.activation_post_process(torch.nn.functional.relu(torch.add(x, y)))

    def matmul(self, x, y):
        """``x @ y``."""
        return self.activation_post_process(torch.matmul(x, y))


def __getattr__(name):
    raise AttributeError(f"flambeau does not have 'torch.ao.nn.quantized.{name}' (yet): tensors are not quantized")
