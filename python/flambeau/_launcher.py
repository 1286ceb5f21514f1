"""Running PyTorch programs unchanged: ``torch`` and ``torch.anything`` become names of flambeau."""

import importlib
import importlib.abc
import importlib.machinery
import sys


# The packages that come with PyTorch, and where they are here.
_PACKAGES = {"torch": "flambeau", "functorch": "flambeau._functorch.package"}


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``torch.x`` as ``flambeau.x``: the same module object under both names."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname.partition(".")[0] in _PACKAGES:
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    @staticmethod
    def find_distributions(context):
        """Answers `importlib.metadata.version("torch")`, by which packages find out what they may use."""
        if (context.name or "").lower() == "torch":
            from ._distribution import Torch

            return [Torch()]
        return []

    def create_module(self, spec):
        package, dot, rest = spec.name.partition(".")
        name = _PACKAGES[package] + dot + rest
        try:
            module = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name is not None and (error.name == name or name.startswith(error.name + ".")):
                # A name that is an attribute, not a module file, such as torch.nn.functional written natively.
                parent, _, leaf = name.rpartition(".")
                found = getattr(sys.modules.get(parent), leaf, None) if parent else None
                if found is not None:
                    return found
                raise ModuleNotFoundError(
                    f"flambeau does not have '{spec.name}' (yet): this part of PyTorch is missing", name=spec.name
                ) from None
            raise
        # The import system writes the names of the spec into the module; they are put back in exec_module.
        spec._flambeau = {
            key: getattr(module, key, None) for key in ("__spec__", "__loader__", "__package__", "__name__")
        }
        return module

    def exec_module(self, module):
        saved = getattr(module.__spec__, "_flambeau", None)
        if saved:
            for key, value in saved.items():
                if value is not None:
                    setattr(module, key, value)


_FINDER = _Finder()


def install():
    """Makes ``import torch`` mean flambeau in this process. PyTorch must not have been imported before."""
    present = sys.modules.get("torch")
    import flambeau

    if present is not None and present is not flambeau:
        raise RuntimeError("PyTorch has already been imported in this process; call flambeau.install() before it")
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)
    if present is None:
        from . import _naming, version

        # Programs ask `torch.__version__` for features: it names the PyTorch that this library behaves as.
        flambeau.__version__ = version.__version__ = version.torch
        # Packages find out whose array they were given by the module of its class, pickles where to look for it.
        _naming.install()
    sys.modules["torch"] = flambeau


USAGE = "usage: python -m flambeau [-c code | -m module | script.py | -] [args ...]"


def main(argv):
    """``python -m flambeau script.py args…``, ``-m module args…`` or ``-c code args…``."""
    if not argv or argv[0] in ("-h", "--help"):
        print(USAGE + "\n\nRuns a PyTorch program with flambeau in place of torch.")
        return 0 if argv else 2
    if argv[0] in ("-V", "--version"):
        from .version import flambeau

        print("flambeau", flambeau)
        return 0
    if argv[0] in ("-c", "-m") and len(argv) < 2:
        print(USAGE, file=sys.stderr)
        return 2
    install()
    kind, target, rest = (argv[0], argv[1], argv[2:]) if argv[0] in ("-c", "-m") else ("", argv[0], argv[1:])
    _serve_children(kind, target)
    if kind == "-c":
        sys.argv = ["-c", *rest]
        _run_code(target, "<string>")
    elif kind == "-m":
        import runpy

        sys.argv = [target, *rest]
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    elif target == "-":
        sys.argv = ["-", *rest]
        _run_code(sys.stdin.read(), "<stdin>")
    else:
        import os
        import runpy

        sys.argv = [target, *rest]
        folder = os.path.dirname(os.path.abspath(target))
        # As Python itself: the script's folder stands where `-m` had put the working directory.
        if sys.path and sys.path[0] in ("", os.getcwd()):
            sys.path[0] = folder
        else:
            sys.path.insert(0, folder)
        runpy.run_path(target, run_name="__main__")
    return 0


def _run_code(code, name):
    import types

    module = types.ModuleType("__main__")
    sys.modules["__main__"] = module
    exec(compile(code, name, "exec"), module.__dict__)


def _serve_children(kind, target):
    """Lets processes that `multiprocessing` starts afresh read the program as this one does, with torch in place."""
    from multiprocessing import spawn

    if kind == "-c" or target == "-":
        return
    prepare = spawn.get_preparation_data

    def get_preparation_data(name):
        data = prepare(name)
        data["sys_argv"] = list(data["sys_argv"])
        data.pop("init_main_from_path", None)
        data["init_main_from_name"] = "flambeau._child"
        data["sys_argv"][1:1] = [_MARK, kind, target]
        return data

    spawn.get_preparation_data = get_preparation_data


_MARK = "flambeau child"


def child(namespace):
    """Reads the program in a child: as its ``__mp_main__``, whose names go to `namespace`."""
    import runpy

    if sys.argv[1:2] != [_MARK]:
        return
    kind, target = sys.argv[2:4]
    del sys.argv[1:4]
    install()
    if kind == "-m":
        namespace.update(runpy.run_module(target, run_name="__mp_main__", alter_sys=True))
    else:
        namespace.update(runpy.run_path(target, run_name="__mp_main__"))
