"""How the library was built and how many threads it runs on, in words."""

import flambeau as torch

from . import version


def _settings():
    """Settings by name, as PyTorch's description of itself lists them."""
    from . import backends, cuda, distributed

    return {
        "BUILD_TYPE": "Debug" if version.debug else "Release",
        "BLAS_INFO": "own",
        "LAPACK_INFO": "own",
        "TORCH_VERSION": version.torch,
        "USE_CUDA": cuda.is_available(),
        "USE_CUDNN": backends.cudnn.is_available(),
        "USE_GLOO": distributed.is_available() and distributed.is_gloo_available(),
        "USE_MKL": backends.mkl.is_available(),
        "USE_MKLDNN": backends.mkldnn.is_available(),
        "USE_MPI": distributed.is_available() and distributed.is_mpi_available(),
        "USE_NCCL": distributed.is_available() and distributed.is_nccl_available(),
        "USE_OPENMP": backends.openmp.is_available(),
    }


def show():
    """A description of the build: its versions and what it uses, settings as `NAME=ON` or `NAME=OFF`."""
    words = {True: "ON", False: "OFF"}
    settings = ", ".join(f"{name}={words.get(value, value)}" for name, value in _settings().items())
    return f"flambeau {version.flambeau} built with:\n  - Rust\n  - Build settings: {settings}, \n"


def parallel_info():
    """A description of the threads that operators run on."""
    return f"Threads within operators : {torch.get_num_threads()}\nThreads between operators : {torch.get_num_interop_threads()}\n"


def _cxx_flags():
    """Empty: no C++ compiler took part."""
    return ""
