"""Walking a tree of modules: the iterators and look-ups by dotted name."""

from flambeau._C import _module_parameters


def _get_name(self):
    return type(self).__name__


def children(self):
    """Iterates over the immediate submodules, each once."""
    for _, module in self.named_children():
        yield module


def named_children(self):
    """Iterates over (name, module) of the immediate submodules, each once."""
    seen = set()
    for name, module in self._modules.items():
        if module is not None and module not in seen:
            seen.add(module)
            yield name, module


def modules(self, remove_duplicate=True):
    """Iterates over this module and all below it; a shared one comes once unless told otherwise."""
    for _, module in self.named_modules(remove_duplicate=remove_duplicate):
        yield module


def named_modules(self, memo=None, prefix="", remove_duplicate=True):
    """Iterates over (dotted name, module) of this module and all below it, parents first.

    `memo` is a set of modules to leave out; it grows by those that were met.
    """
    memo = set() if memo is None else memo
    if self in memo:
        return
    if remove_duplicate:
        memo.add(self)
    yield prefix, self
    for name, module in self._modules.items():
        if module is not None:
            path = f"{prefix}.{name}" if prefix else name
            yield from module.named_modules(memo, path, remove_duplicate)


def _named_members(self, get_members_fn, prefix="", recurse=True, remove_duplicate=True):
    """Iterates over (dotted name, member) where `get_members_fn(module)` gives one module's (name, member) pairs."""
    owners = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
    seen = set()
    for path, module in owners:
        for name, member in get_members_fn(module):
            if member is None or member in seen:
                continue
            if remove_duplicate:
                seen.add(member)
            yield (f"{path}.{name}" if path else name), member


def parameters(self, recurse=True):
    """Iterates over the parameters of this module and, with `recurse`, of all below it; a shared one comes once."""
    if not _plain_walk(self):
        for _, parameter in self.named_parameters(recurse=recurse):
            yield parameter
        return
    found = _module_parameters(self, named_modules) if recurse else None
    if found is not None:
        yield from found
        return
    seen = set()
    for module in _subtree(self, set(), []) if recurse else (self,):
        for parameter in module._parameters.values():
            if parameter is not None and parameter not in seen:
                seen.add(parameter)
                yield parameter


def _plain_walk(module):
    """Whether a class leaves the iterators as `Module` defines them, so that a walk need not build names."""
    cls = type(module)
    return (
        cls.named_parameters is named_parameters
        and cls.named_modules is named_modules
        and cls._named_members is _named_members
    )


def _subtree(module, seen, found):
    """The modules of `named_modules`, in its order, appended to `found`."""
    if module not in seen:
        seen.add(module)
        found.append(module)
        for child in module._modules.values():
            if child is None:
                continue
            if type(child).named_modules is named_modules:
                _subtree(child, seen, found)
            else:
                found.extend(below for _, below in child.named_modules(seen))
    return found


def named_parameters(self, prefix="", recurse=True, remove_duplicate=True):
    """Iterates over (dotted name, parameter); names start with `prefix`."""
    yield from self._named_members(lambda module: module._parameters.items(), prefix, recurse, remove_duplicate)


def buffers(self, recurse=True):
    """Iterates over the buffers of this module and, with `recurse`, of all below it; a shared one comes once."""
    for _, buffer in self.named_buffers(recurse=recurse):
        yield buffer


def named_buffers(self, prefix="", recurse=True, remove_duplicate=True):
    """Iterates over (dotted name, buffer); names start with `prefix`."""
    yield from self._named_members(lambda module: module._buffers.items(), prefix, recurse, remove_duplicate)


# Look-up by dotted name


def get_submodule(self, target):
    """The module at a dotted name; AttributeError if there is none or it is not a module."""
    module = self
    for name in target.split(".") if target else ():
        module = _step(module, name)
    return module


def _step(module, name):
    from .module import Module

    if not hasattr(module, name):
        raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    child = getattr(module, name)
    if not isinstance(child, Module):
        raise AttributeError(f"`{name}` is not an nn.Module")
    return child


def set_submodule(self, target, module, strict=False):
    """Puts `module` at a dotted name, whose parent must exist; with `strict` the name must hold a module already."""
    from .module import Module

    if target == "":
        raise ValueError("Cannot set the submodule without a target name!")
    *path, name = target.split(".")
    if not isinstance(module, Module):
        raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
    parent = self.get_submodule(".".join(path)) if path else self
    if strict and not hasattr(parent, name):
        raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
    if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
        raise AttributeError(f"`{name}` is not an nn.Module")
    setattr(parent, name, module)


def _member(self, target):
    path, _, name = target.rpartition(".")
    owner = self.get_submodule(path)
    if not hasattr(owner, name):
        raise AttributeError(f"{owner._get_name()} has no attribute `{name}`")
    return owner, name, getattr(owner, name)


def get_parameter(self, target):
    """The parameter at a dotted name; AttributeError if there is none."""
    from ..parameter import Parameter

    _, name, value = _member(self, target)
    if not isinstance(value, Parameter):
        raise AttributeError(f"`{name}` is not an nn.Parameter")
    return value


def get_buffer(self, target):
    """The buffer at a dotted name; AttributeError if there is none."""
    owner, name, value = _member(self, target)
    if name not in owner._buffers:
        raise AttributeError(f"`{name}` is not a buffer")
    return value
