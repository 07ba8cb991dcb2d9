"""Where the headers and the CMake files of ndtorch are, a C++ library between NumPy and LibTorch.

There is nothing to call from Python but this: ndtorch is for authors of C++ extensions.
"""

import pathlib
from importlib.metadata import version

__all__ = ["__version__", "get_cmake_dir", "get_include"]

__version__ = version("ndtorch")


def _installed(file: str) -> pathlib.Path:
    # Two folders where ndtorch is installed as editable: the sources, and what CMake installed.
    for folder in __path__:
        path = pathlib.Path(folder, file)
        if path.is_file():
            return path
    raise ImportError(f"ndtorch: {file} is missing; install ndtorch with pip")


def get_include() -> str:
    """The folder to give to the compiler with -I, for #include <ndtorch/ndtorch.h>."""
    return str(_installed("include/ndtorch/ndtorch.h").parents[1])


def get_cmake_dir() -> str:
    """The folder of ndtorchConfig.cmake, for CMake's -Dndtorch_DIR=."""
    return str(_installed("share/cmake/ndtorch/ndtorchConfig.cmake").parent)
