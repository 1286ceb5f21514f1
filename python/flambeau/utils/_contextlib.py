"""Context managers that are decorators too."""

import functools
import inspect

__all__ = ["context_decorator"]


def context_decorator(ctx, func):
    """`func` in a context that is made anew (`ctx()`, or `ctx` itself) for every call, and every step of a generator."""
    make = ctx
    if hasattr(ctx, "__enter__") and not inspect.isclass(ctx):
        make = ctx.clone if hasattr(ctx, "clone") else lambda: ctx
    if inspect.isgeneratorfunction(func):

        @functools.wraps(func)
        def steps(*args, **kwargs):
            generator = func(*args, **kwargs)
            send = generator.send
            value = None
            while True:
                try:
                    with make():
                        found = send(value)
                except StopIteration as stop:
                    return stop.value
                send = generator.send
                try:
                    value = yield found
                except GeneratorExit:
                    with make():
                        generator.close()
                    raise
                except BaseException as error:
                    send, value = generator.throw, error

        return steps

    @functools.wraps(func)
    def wrapped(*args, **kwargs):
        with make():
            return func(*args, **kwargs)

    return wrapped


class _DecoratorContextManager:
    """Base of context managers that decorate functions; `clone` makes another for each call."""

    def __call__(self, orig_func):
        if inspect.isclass(orig_func):
            orig_func.__init__ = self(orig_func.__init__)
            return orig_func
        return context_decorator(self.clone, orig_func)

    def __enter__(self):
        raise NotImplementedError

    def __exit__(self, exc_type, exc_value, traceback):
        raise NotImplementedError

    def clone(self):
        return self.__class__()


class _NoParamDecoratorContextManager(_DecoratorContextManager):
    """One without parameters, which decorates with or without parentheses."""

    def __new__(cls, orig_func=None):
        if orig_func is None:
            return super().__new__(cls)
        return cls()(orig_func)
