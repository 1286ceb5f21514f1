"""The names that a PyTorch program sees under the launcher: modules, classes and functions say ``torch.x``, not ``flambeau.x``.

A module's ``__name__`` is what classes, functions, loggers and warnings made in it are named by, so a module read while the
launcher is in place carries PyTorch's name from its first line; those read before it are renamed. Imports inside the package
go by ``__package__``, which stays.
"""

import importlib.machinery
import sys
import types

from . import _C

# Files that hold what PyTorch has in another module: the members with public names are named by that one.
_HOMES = {
    "_checks": "",
    "_functional": "functional",
    "_grad_mode": "autograd.grad_mode",
    "_legacy": "",
    "_library.definitions": "library",
    "_library.schema": "library",
    "_more": "",
    "_settings": "",
    "_streams": "",
    "_typed_storage": "storage",
    "_untyped_storage": "storage",
    "autograd._function": "autograd.function",
    "cuda._absent": "cuda",
    "distributions._transform": "distributions.transforms",
    "nn._functional.activation": "nn.functional",
    "nn._functional.attention": "nn.functional",
    "nn._functional.loss": "nn.functional",
    "nn._functional.norm": "nn.functional",
    "nn._functional.pooling": "nn.functional",
    "nn._functional.resize": "nn.functional",
    "nn._functional.sparse": "nn.functional",
    "nn.modules.attention": "nn.modules.activation",
    "optim._adafactor": "optim",
    "optim._muon": "optim",
    "profiler._profile": "profiler.profiler",
    "serialization._options": "serialization",
    "serialization._places": "serialization",
    "serialization._restricted": "serialization",
    "serialization._types": "serialization",
}
# Members of such files that are in yet another place.
_ELSEWHERE = {
    "is_complex": "torch",
    "is_floating_point": "torch",
    "is_nonzero": "torch",
    "kineto_available": "torch.profiler",
}
_HOMES = {f"torch.{file}": f"torch.{home}".rstrip(".") for file, home in _HOMES.items()}


def torch_name(name):
    """``flambeau.x`` as ``torch.x``."""
    return "torch" + name[len("flambeau") :]


def _is_ours(name):
    return isinstance(name, str) and (name == "flambeau" or name.startswith("flambeau."))


# What a module holds: packages that are read lazily read everything when they are asked for their `__dict__`.
_names = types.ModuleType.__dict__["__dict__"].__get__


class _Loader:
    """Reads a module as another loader does, under PyTorch's name and known by it too."""

    def __init__(self, loader):
        self._loader = loader

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        name = module.__spec__.name
        code = self._loader.get_code(name)
        module.__loader__ = module.__spec__.loader = self._loader
        module.__name__ = torch_name(name)
        known = sys.modules.setdefault(module.__name__, module)
        try:
            exec(code, _names(module))
        except BaseException:
            if known is module:
                sys.modules.pop(module.__name__, None)
            raise
        _rename_members(module)


class _Finder:
    """Finds the modules of the package as ever, and has `_Loader` read those written in Python."""

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        if not fullname.startswith("flambeau."):
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and hasattr(spec.loader, "get_code") and spec.origin and spec.origin.endswith(".py"):
            spec.loader = _Loader(spec.loader)
        return spec


def _rename_members(module):
    """Names what a module of the package holds by PyTorch's names, also where its source says the name."""
    for value in list(_names(module).values()):
        if not isinstance(value, (type, types.FunctionType)):
            continue
        old = value.__module__
        name = torch_name(old) if _is_ours(old) else old
        if not value.__qualname__.startswith("_"):
            home = _HOMES.get(name, name)
            name = _ELSEWHERE.get(value.__qualname__, home) if home != name else name
        if name != old:
            try:
                value.__module__ = name
            except (AttributeError, TypeError):
                pass  # an immutable class keeps its name


def _rename(module, old):
    """Gives a module that has been read PyTorch's name, and all that it defines."""
    _rename_members(module)
    if hasattr(module, "__file__") and module.__file__ and module.__file__.endswith(".py"):
        module.__name__ = torch_name(old)
    if not hasattr(module, "__path__"):
        # So that finders are asked for `torch._C._functorch` and other attributes that stand for modules.
        module.__path__ = []
    sys.modules.setdefault(torch_name(old), module)


def install():
    """Gives what has been read PyTorch's names, and what will be read."""
    if _Finder in sys.meta_path:
        return
    sys.meta_path.insert(0, _Finder)
    _C._use_torch_names()
    for name, module in list(sys.modules.items()):
        if _is_ours(name) and isinstance(module, types.ModuleType):
            _rename(module, name)
