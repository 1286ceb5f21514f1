"""Where PyTorch keeps its function transforms: the modules that programs name. They are `flambeau.func`'s."""

from . import apis, eager_transforms, functional_call, make_functional, package, vmap
