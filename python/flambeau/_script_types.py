"""The types of values in TorchScript, of which programs name some in annotations. There is no such compiler here."""

__all__ = """AnyType BoolType DeviceObjType DictType FloatType IntType ListType NoneType NumberType OptionalType
    StringType TensorType TupleType""".split()


class _ScriptType:
    """A type of values in TorchScript: there is never one."""

    def __init__(self, *args, **kwargs):
        raise NotImplementedError(f"torch.{type(self).__name__}: flambeau does not compile programs")

    @classmethod
    def get(cls):
        """Raises: programs are not compiled."""
        return cls()


for _name in __all__:
    globals()[_name] = type(_name, (_ScriptType,), {"__module__": "flambeau", "__doc__": _ScriptType.__doc__})
