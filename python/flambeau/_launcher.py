"""Running PyTorch programs unchanged: ``torch`` and ``torch.anything`` become names of flambeau."""

import importlib
import importlib.abc
import importlib.machinery
import sys


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds ``torch.x`` as ``flambeau.x``: the same module object under both names."""

    def find_spec(self, fullname, path=None, target=None):
        if fullname == "torch" or fullname.startswith("torch."):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec):
        name = "flambeau" + spec.name[len("torch") :]
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
    sys.modules["torch"] = flambeau


def main(argv):
    """``python -m flambeau script.py args…``, ``-m module args…`` or ``-c code args…``."""
    import runpy

    usage = "usage: python -m flambeau [-c code | -m module | script.py] [args ...]"
    if not argv or argv[0] in ("-h", "--help"):
        print(usage + "\n\nRuns a PyTorch program with flambeau in place of torch.")
        return 0 if argv else 2
    install()
    if argv[0] == "-c":
        if len(argv) < 2:
            print(usage, file=sys.stderr)
            return 2
        sys.argv = ["-c", *argv[2:]]
        sys.path.insert(0, "")
        import types

        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        exec(compile(argv[1], "<string>", "exec"), module.__dict__)
    elif argv[0] == "-m":
        if len(argv) < 2:
            print(usage, file=sys.stderr)
            return 2
        sys.argv = argv[1:]
        sys.path.insert(0, "")
        runpy.run_module(argv[1], run_name="__main__", alter_sys=True)
    else:
        import os

        sys.argv = argv
        sys.path.insert(0, os.path.dirname(os.path.abspath(argv[0])))
        runpy.run_path(argv[0], run_name="__main__")
    return 0
