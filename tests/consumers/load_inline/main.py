"""Builds an extension with load_inline and calls it, on an array and on a tensor with a gradient."""

import numpy as np
import torch
from torch.utils.cpp_extension import load_inline

import ndtorch

SOURCE = """
#include <ndtorch/ndtorch.h>

void add_one(ndtorch::tensor_t<float> x) { x.add_(1); }
at::Tensor squares(const at::Tensor& x) { return x.square(); }
pybind11::object halves(pybind11::handle x) { return ndtorch::to_torch(ndtorch::as_tensor(x).div(2)); }
"""

inline = load_inline(
    "inline",
    SOURCE,
    functions=["add_one", "squares", "halves"],
    extra_include_paths=[ndtorch.get_include()],
    extra_cflags=["-fvisibility=hidden", "-DNDTORCH_TORCH_PYTHON"],
)

array = np.arange(4, dtype="float32")
inline.add_one(array)
assert array.tolist() == [1, 2, 3, 4], array

tensor = torch.tensor([1.0, 3.0], requires_grad=True)
assert inline.squares(tensor).tolist() == [1, 9]  # by torch's caster, beside ndtorch's
halves = inline.halves(tensor)
assert halves.tolist() == [0.5, 1.5] and halves.requires_grad
print("add_one, squares, halves:", inline.__name__)
