"""The CUDA backend: not linked in."""

import contextlib


def is_built():
    """False."""
    return False


class _Matmul:
    allow_tf32 = False
    allow_fp16_reduced_precision_reduction = True
    allow_bf16_reduced_precision_reduction = True


matmul = _Matmul()


# Which implementations of attention may be chosen. There is one; the switches are remembered, as PyTorch does
# without a device.
_attention = {"flash": True, "math": True, "mem_efficient": True, "cudnn": True, "reduced": False}


def flash_sdp_enabled():
    """Whether flash attention may be chosen."""
    return _attention["flash"]


def enable_flash_sdp(enabled):
    """Sets whether flash attention may be chosen."""
    _attention["flash"] = bool(enabled)


def math_sdp_enabled():
    """Whether attention may be computed by its definition."""
    return _attention["math"]


def enable_math_sdp(enabled):
    """Sets whether attention may be computed by its definition."""
    _attention["math"] = bool(enabled)


def mem_efficient_sdp_enabled():
    """Whether memory-efficient attention may be chosen."""
    return _attention["mem_efficient"]


def enable_mem_efficient_sdp(enabled):
    """Sets whether memory-efficient attention may be chosen."""
    _attention["mem_efficient"] = bool(enabled)


def cudnn_sdp_enabled():
    """Whether cuDNN's attention may be chosen."""
    return _attention["cudnn"]


def enable_cudnn_sdp(enabled):
    """Sets whether cuDNN's attention may be chosen."""
    _attention["cudnn"] = bool(enabled)


def fp16_bf16_reduction_math_sdp_allowed():
    """Whether half types may be summed in their own precision."""
    return _attention["reduced"]


def allow_fp16_bf16_reduction_math_sdp(enabled):
    """Sets whether half types may be summed in their own precision."""
    _attention["reduced"] = bool(enabled)


def is_ck_sdpa_available():
    """False: the composable kernels are not built in."""
    return False


@contextlib.contextmanager
def sdp_kernel(enable_flash=True, enable_math=True, enable_mem_efficient=True, enable_cudnn=True):
    """Sets what may be chosen, for a ``with`` block."""
    before = dict(_attention)
    _attention.update(flash=enable_flash, math=enable_math, mem_efficient=enable_mem_efficient, cudnn=enable_cudnn)
    try:
        yield {}
    finally:
        _attention.update(before)
