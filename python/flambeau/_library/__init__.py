"""What `torch.library` is made of."""

from .definitions import CustomOpDef as CustomOpDef
