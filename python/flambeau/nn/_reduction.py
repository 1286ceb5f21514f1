"""The `reduction` argument of losses, and the two older arguments it replaced."""

import warnings

_CODES = {"none": 0, "mean": 1, "sum": 2}


def get_enum(reduction):
    """The number by which native losses know a reduction; ValueError for an unknown name."""
    code = _CODES.get(reduction)
    if code is None:
        if reduction != "elementwise_mean":
            raise ValueError(f"{reduction} is not a valid value for reduction")
        warnings.warn("reduction='elementwise_mean' is deprecated. Please use reduction='mean' instead.", stacklevel=3)
        code = 1
    return code


def legacy_get_string(size_average, reduce, emit_warning=True):
    """The reduction that `size_average` and `reduce` ask for; None stands for True in both."""
    if reduce is not None and not reduce:
        reduction = "none"
    else:
        reduction = "mean" if size_average is None or size_average else "sum"
    if emit_warning:
        warnings.warn(
            f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.",
            stacklevel=3,
        )
    return reduction


def legacy_get_enum(size_average, reduce, emit_warning=True):
    """The number of the reduction that `size_average` and `reduce` ask for."""
    return _CODES[legacy_get_string(size_average, reduce, emit_warning)]


def resolve(size_average, reduce, reduction):
    """The name of the reduction, the older arguments winning where given."""
    if size_average is not None or reduce is not None:
        return legacy_get_string(size_average, reduce)
    return reduction


def reduced(loss, reduction):
    """An elementwise loss under a reduction; unknown names leave it as it is."""
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    return loss
