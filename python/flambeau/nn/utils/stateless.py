"""Calling a module with other parameters than its own."""

from contextlib import contextmanager

__all__ = ["functional_call"]


def functional_call(module, parameters_and_buffers, args=None, kwargs=None, *, tie_weights=True, strict=False):
    """Calls a module with the tensors of a dict by dotted name in place of its parameters and buffers.

    With `tie_weights`, other names of a replaced tensor are replaced too; `strict` wants a tensor for every one.
    """
    args = () if args is None else args if isinstance(args, tuple) else (args,)
    with _replaced(module, parameters_and_buffers, tie_weights, strict):
        return module(*args, **(kwargs or {}))


def _slots(module):
    """{dotted name: (owner's table, name)} of all parameters and buffers, other names of shared ones included."""
    slots = {}
    for prefix, owner in module.named_modules(remove_duplicate=False):
        for table in (owner._parameters, owner._buffers):
            for name, value in table.items():
                if value is not None:
                    slots[f"{prefix}.{name}" if prefix else name] = table, name
    return slots


@contextmanager
def _replaced(module, given, tie_weights, strict):
    slots = _slots(module)
    unexpected = [key for key in given if key not in slots]
    if strict:
        missing = [key for key in slots if key not in given]
        if missing or unexpected:
            text = f"Error(s) in reparametrizing for {type(module).__name__}:\n\t"
            if unexpected:
                text += "Unexpected key(s): " + ", ".join(map(repr, sorted(unexpected))) + ".\n\t"
            if missing:
                text += "Missing key(s): " + ", ".join(map(repr, sorted(missing))) + ".\n\t"
            raise RuntimeError(text.rstrip())
    replacements = {key: value for key, value in given.items() if key in slots}
    if tie_weights:
        aliases = {}
        for key, (table, name) in slots.items():
            aliases.setdefault(id(table[name]), []).append(key)
        for keys in aliases.values():
            values = {id(replacements[key]): replacements[key] for key in keys if key in replacements}
            if len(values) > 1:
                raise ValueError(
                    f"functional_call got multiple values for keys {sorted(keys)}, which are tied. Consider using "
                    "tie_weights=False"
                )
            for value in values.values():
                replacements.update(dict.fromkeys(keys, value))
    saved = []
    try:
        for key, value in replacements.items():
            table, name = slots[key]
            saved.append((table, name, table[name]))
            table[name] = value
        yield
    finally:
        for table, name, value in reversed(saved):
            table[name] = value
