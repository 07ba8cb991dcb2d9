// What the caller asks a new tensor to be.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/TensorOptions.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/device.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <optional>
#include <stdexcept>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// What the caller's TensorOptions ask for, read once and checked before anything is made.
struct request {
  std::optional<at::ScalarType> dtype;
  std::optional<at::Device> device;
  axis_order order = axis_order::kept;
  bool requires_grad = false;
  bool pinned = false;
};

// PyTorch's words (torch/csrc/autograd/python_variable.cpp, 2.13).
inline void check_may_require_grad(at::ScalarType type) {
  if (c10::isFloatingType(type) || c10::isComplexType(type)) return;
  throw std::runtime_error(
      c10::str("Only Tensors of floating point and complex dtype can require gradients. Got ", type,
               ": ask for a floating dtype in the options too, or leave requires_grad out."));
}

inline request read_options(const at::TensorOptions& options) {
  request wanted;
  wanted.dtype = c10::optTypeMetaToScalarType(options.dtype_opt());
  wanted.device = options.device_opt();
  wanted.requires_grad = options.requires_grad_opt().value_or(false);
  wanted.pinned = options.pinned_memory_opt().value_or(false);
  if (options.layout_opt().value_or(at::kStrided) != at::kStrided) {
    throw py::value_error(c10::str("can't make a tensor of layout ", options.layout(),
                                   " from an array: take the layout out of the options and convert "
                                   "the result, for example with tensor.to_sparse()."));
  }
  if (options.has_memory_format()) {
    throw py::value_error(
        "a copy keeps the order of the array's axes: take the memory format out of the options "
        "and "
        "call tensor.contiguous(memory_format).");
  }
  if (wanted.dtype && find_dtype(*wanted.dtype) == nullptr) {
    throw py::type_error(c10::str("Got unsupported ScalarType ", *wanted.dtype,
                                  ". The only supported types are: ", supported_dtypes(), "."));
  }
  if (wanted.pinned && wanted.device && !wanted.device->is_cpu()) {
    throw std::runtime_error(c10::str("Only dense CPU tensors can be pinned. Got device ",
                                      *wanted.device,
                                      ": take the device or pinned_memory out of the options."));
  }
  if (wanted.requires_grad && wanted.dtype) check_may_require_grad(*wanted.dtype);
  if (wanted.device) {
    check_device(*wanted.device);
    // As in PyTorch, a device without a number is the current one.
    if (!wanted.device->has_index() && !wanted.device->is_cpu() && !wanted.device->is_meta()) {
      wanted.device = c10::impl::VirtualGuardImpl(wanted.device->type()).getDevice();
    }
  }
  return wanted;
}

}  // namespace detail
}  // namespace ndtorch
