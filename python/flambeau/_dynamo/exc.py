"""Errors of compilers that programs catch."""

__all__ = ["InvalidBackend", "TorchDynamoException"]


class TorchDynamoException(RuntimeError):
    """The base of the errors of compilers."""


class InvalidBackend(TorchDynamoException):
    """There is no compiler of the name."""

    def __init__(self, name):
        super().__init__(f"Invalid backend: {name!r}. See `torch._dynamo.list_backends()` for available backends.")
