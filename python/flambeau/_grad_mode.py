"""Context managers, also usable as decorators, that switch recording."""

import functools

from . import _C

__all__ = ["no_grad", "enable_grad", "set_grad_enabled", "inference_mode"]


class _Mode:
    """A mode that is set on entry and restored on exit; decorates functions and generators."""

    __slots__ = ()

    def __call__(self, function):
        if isinstance(function, type):
            function.__init__ = self(function.__init__)
            return function
        code = getattr(function, "__code__", None)
        if code is not None and code.co_flags & 0x20:
            return self._wrap_generator(function)

        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            with self.clone():
                return function(*args, **kwargs)

        return wrapped

    def _wrap_generator(self, function):
        @functools.wraps(function)
        def wrapped(*args, **kwargs):
            generator = function(*args, **kwargs)
            value, call = None, generator.send
            try:
                while True:
                    try:
                        with self.clone():
                            item = call(value)
                    except StopIteration as stop:
                        return stop.value
                    try:
                        value, call = (yield item), generator.send
                    except GeneratorExit:
                        raise
                    except BaseException as error:
                        value, call = error, generator.throw
            finally:
                generator.close()

        return wrapped

    def clone(self):
        return type(self)()


class no_grad(_C._NoGrad, _Mode):
    """Switches recording off: results never require a gradient."""

    __slots__ = ()

    def __reduce__(self):
        return type(self), ()


class enable_grad(_C._EnableGrad, _Mode):
    """Switches recording on."""

    __slots__ = ()

    def __reduce__(self):
        return type(self), ()


class set_grad_enabled(_Mode):
    """Switches recording on or off, at once and until the end of a ``with`` block."""

    def __init__(self, mode):
        self.mode = mode
        self._previous = _C._set_grad_enabled(mode)

    def __call__(self, function):
        _C._set_grad_enabled(self._previous)
        return super().__call__(function)

    def __enter__(self):
        _C._set_grad_enabled(self.mode)

    def __exit__(self, *_):
        _C._set_grad_enabled(self._previous)

    def clone(self):
        return set_grad_enabled(self.mode)


class inference_mode(_Mode):
    """Switches recording and version counting off for tensors made inside."""

    def __new__(cls, mode=True):
        if isinstance(mode, bool):
            return object.__new__(cls)
        out = object.__new__(cls)
        out.mode = True
        return out(mode)

    def __init__(self, mode=True):
        if isinstance(mode, bool):
            self.mode = mode

    def __enter__(self):
        self._inference = _C._set_inference_mode(self.mode)
        self._grad = _C._set_grad_enabled(not self.mode if self._inference or self.mode else _C.is_grad_enabled())

    def __exit__(self, *_):
        _C._set_inference_mode(self._inference)
        _C._set_grad_enabled(self._grad)

    def clone(self):
        return inference_mode(self.mode)
