"""Names of PyTorch's export of programs that packages mention. Programs are not captured here."""

__all__ = ["ExportedProgram", "export", "load", "save"]


class ExportedProgram:
    """A captured program: there is never one."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError("torch.export.ExportedProgram: flambeau does not capture programs")


def _absent(name):
    def function(*args, **kwargs):
        raise NotImplementedError(f"torch.export.{name}: flambeau does not capture programs")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Raises: programs are not captured."
    return function


export, load, save = _absent("export"), _absent("load"), _absent("save")
