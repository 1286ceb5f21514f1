"""Questions about sizes that PyTorch's tracers may not know yet. Here all sizes are numbers, which answer for themselves."""

__all__ = [
    "free_symbols", "free_unbacked_symbols", "guard_bool", "guard_int", "guard_or_false", "guard_or_true",
    "has_free_symbols", "is_concrete_bool", "is_concrete_float", "is_concrete_int", "is_symbolic", "statically_known_true",
]  # fmt: skip


class GuardOnDataDependentSymNode(RuntimeError):
    """A tracer met a decision that depends on elements; nothing here raises it."""


def _known(kind):
    def answer(a):
        if not isinstance(a, kind) or (kind is int and isinstance(a, bool)):
            raise AssertionError(f"Expected {kind.__name__}, got {type(a)}")
        return a

    return answer


guard_bool, guard_int, guard_float = _known(bool), _known(int), _known(float)
guard_or_false, guard_or_true, statically_known_true = _known(bool), _known(bool), _known(bool)


def free_symbols(val):
    """The unknowns of a value: none."""
    return set()


def free_unbacked_symbols(x):
    """The unknowns of a value that nothing bounds: none."""
    return set()


def has_free_symbols(val):
    """False: everything is known."""
    return False


def is_symbolic(val):
    """False: everything is known."""
    return False


def is_concrete_int(a):
    """Whether a number is known, as all are."""
    return guard_int(a) is not None


def is_concrete_bool(a):
    """Whether a truth value is known, as all are."""
    return guard_bool(a) is not None


def is_concrete_float(a):
    """Whether a number is known, as all are."""
    return guard_float(a) is not None
