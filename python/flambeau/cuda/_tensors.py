"""The typed constructors of tensors on a CUDA device, which no tensor is."""

from .._legacy import _TYPES

__all__ = list(_TYPES)


class _TypedOnDevice(type):
    def __call__(cls, *args, **kwargs):
        raise TypeError(f"type torch.cuda.{cls.__name__} not available. Torch not compiled with CUDA enabled.")

    def __instancecheck__(cls, instance):
        return False

    def __repr__(cls):
        return f"<class 'torch.cuda.{cls.__name__}'>"


for _name, _dtype in _TYPES.items():
    globals()[_name] = _TypedOnDevice(_name, (), {"dtype": _dtype, "__module__": "torch.cuda"})
