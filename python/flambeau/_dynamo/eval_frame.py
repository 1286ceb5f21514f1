"""What `torch.compile` makes of a module."""

from ..nn.modules.module import Module as _Module


class OptimizedModule(_Module):
    """What `torch.compile` makes of a module: the module as `_orig_mod`, whose attributes are this one's too."""

    def __init__(self, mod, dynamo_ctx=None):
        super().__init__()
        self._modules["_orig_mod"] = mod

    def forward(self, *args, **kwargs):
        return self._modules["_orig_mod"](*args, **kwargs)

    @property
    def training(self):
        return self._modules["_orig_mod"].training

    @training.setter
    def training(self, mode):
        self._modules["_orig_mod"].training = mode

    def _is_own(self, name):
        return name == "_orig_mod" or name in self.__dict__ or hasattr(type(self), name)

    def __getattr__(self, name):
        modules = self.__dict__.get("_modules")
        if not modules:  # not yet filled by unpickling
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        return modules["_orig_mod"] if name == "_orig_mod" else getattr(modules["_orig_mod"], name)

    def __setattr__(self, name, value):
        if self._is_own(name):
            super().__setattr__(name, value)
        else:
            setattr(self._modules["_orig_mod"], name, value)

    def __delattr__(self, name):
        if self._is_own(name):
            super().__delattr__(name)
        else:
            delattr(self._modules["_orig_mod"], name)

    def __dir__(self):
        return sorted({*super().__dir__(), *dir(self._modules["_orig_mod"])})
