"""Small types and helpers of the module that stand for themselves."""

from .. import _C


class SourceChangeWarning(Warning):
    """The source of a class differs from the one that a file was written with."""


class StorageType:
    """Stands for a class of storages, by its name, where only the dtype matters."""

    def __init__(self, name):
        from .._typed_storage import _dtype_of_name

        self._dtype = _dtype_of_name(name)

    @property
    def dtype(self):
        return self._dtype

    def __str__(self):
        return f"StorageType(dtype={self.dtype})"

    __repr__ = __str__


def _get_layout(name):
    """The layout that a file names, such as ``torch.strided``."""
    if not isinstance(name, str):
        raise TypeError("the name of a layout must be text")
    layout = getattr(_C, name.rsplit(".", 1)[-1], None)
    if not isinstance(layout, _C.layout):
        raise KeyError(name)
    return layout


def mkdtemp():
    """A context manager: a fresh folder that is gone afterwards."""
    from tempfile import TemporaryDirectory

    return TemporaryDirectory()


def normalize_storage_type(storage_type):
    """The class of storages that a class of storages stands for: itself."""
    return storage_type


def storage_to_tensor_type(storage):
    """The class of tensors that belongs to a storage's class, such as `FloatTensor`."""
    import flambeau

    name = storage.pickle_storage_type() if hasattr(storage, "pickle_storage_type") else type(storage).__name__
    return getattr(flambeau, name.replace("Storage", "Tensor"))


def check_module_version_greater_or_equal(module, req_version_tuple, error_if_malformed=True):
    """Whether a module's ``__version__`` is at least the one given."""
    try:
        found = tuple(type(part)(text) for part, text in zip(req_version_tuple, module.__version__.split(".")))
        return found >= tuple(req_version_tuple)
    except Exception as error:
        message = f"'{module.__name__}' module version string is malformed '{module.__version__}'"
        if error_if_malformed:
            raise RuntimeError(message) from error
        import warnings

        warnings.warn(message + ", but continuing assuming that version requirement is met", stacklevel=2)
        return True
