"""Extensions in C++, which are compiled against PyTorch's headers: there are none here, so that none can be built."""

__all__ = ["BuildExtension", "CUDAExtension", "CUDA_HOME", "CppExtension", "include_paths", "load", "load_inline"]

CUDA_HOME = ROCM_HOME = None


def _absent(name):
    def function(*args, **kwargs):
        raise NotImplementedError(f"torch.utils.cpp_extension.{name}: flambeau has no headers to build extensions with")

    function.__name__ = function.__qualname__ = name
    function.__doc__ = "Raises: extensions cannot be built."
    return function


BuildExtension, CUDAExtension, CppExtension = (
    _absent("BuildExtension"),
    _absent("CUDAExtension"),
    _absent("CppExtension"),
)
include_paths, load, load_inline = _absent("include_paths"), _absent("load"), _absent("load_inline")
