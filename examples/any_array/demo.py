"""Calls one extension with the arrays of everyone, and shows whose memory it reads and writes.

    python demo.py

`any_array` has to be importable: put the directory with the built module on PYTHONPATH.
"""

import array
import importlib.util
import re

import numpy as np
import torch

import any_array

VALUES = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0]


def holders():
    """The same six numbers, held by everyone who is installed: name, object, address."""
    floats = np.array(VALUES, "float32")
    yield "numpy.ndarray", floats, floats.ctypes.data

    read_only = np.array(VALUES, "float32")
    read_only.flags.writeable = False
    yield "numpy, read-only", read_only, read_only.ctypes.data

    tensor = torch.tensor(VALUES)
    yield "torch.Tensor", tensor, tensor.data_ptr()

    numbers = array.array("f", VALUES)
    yield "array.array", numbers, numbers.buffer_info()[0]

    view = memoryview(numbers)[::2]
    yield "memoryview [::2]", view, numbers.buffer_info()[0]

    if importlib.util.find_spec("jax"):
        import jax.numpy

        immutable = jax.numpy.array(VALUES, "float32")
        yield "jax.Array", immutable, immutable.unsafe_buffer_pointer()

    if importlib.util.find_spec("cupy"):
        import cupy

        on_gpu = cupy.array(VALUES, "float32")
        yield "cupy.ndarray", on_gpu, on_gpu.data.ptr

    yield "list", VALUES, None


def clipped(holder):
    """The values after a write in place, or why there was none."""
    try:
        any_array.clip(holder, 2, 5)
    except TypeError as error:
        return re.search(r"expected \w[\w ]*\w", str(error)).group()
    return np.array([float(value) for value in holder])


def main():
    line = "{:<17} {:<27} {:<7} {}"
    print(line.format("holder", "moving_average(x, 3)", "memory", "clip(x, 2, 5), in place"))
    for name, holder, address in holders():
        means = any_array.moving_average(holder, 3)
        shared = address is not None and any_array.address(holder) == address
        memory = "shared" if shared else "copied"
        print(line.format(name, str(means.round(2)), memory, clipped(holder)))

    ramp = any_array.ramp(3)
    print("\nramp(3) for NumPy:", np.from_dlpack(ramp))
    print("ramp(3) for torch:", torch.from_dlpack(ramp))
    if importlib.util.find_spec("jax"):
        import jax.numpy

        print("ramp(3) for JAX:  ", jax.numpy.from_dlpack(ramp))


if __name__ == "__main__":
    main()
