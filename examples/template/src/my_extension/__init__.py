"""Works on clouds of points: arrays of shape (points, 3)."""

try:
    from . import _core as _core
except ImportError as error:
    # LibTorch is looked for beside this package, which is where pip puts it. In a virtual environment
    # over another one it is elsewhere: then PyTorch loads it.
    if "libtorch" not in str(error) and "libc10" not in str(error):
        raise
    import torch as torch

from ._core import nearest, normalize

__all__ = ["nearest", "normalize"]
