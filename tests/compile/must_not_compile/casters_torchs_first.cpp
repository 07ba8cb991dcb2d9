// error: ndtorch/tensor_caster.h and torch/extension.h both make at::Tensor an argument of pybind11
// clang-format off: the order is what is tested
#include <torch/extension.h>
#include <ndtorch/tensor_caster.h>
