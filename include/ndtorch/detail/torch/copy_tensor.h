// New tensors with another tensor's elements.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/TensorOptions.h>
#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/allocate.h>
#include <ndtorch/detail/torch/bools.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/request.h>
#include <ndtorch/detail/torch/storage.h>
#include <ndtorch/detail/torch/transfer.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <cstdint>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Tensor.detach(), hidden from tracers and modes unless the tensor is followed (is_followed()).
inline at::Tensor detached(const at::Tensor& tensor) {
  const own_work unseen(tensor);
  return tensor.detach();
}

inline axis_list reversed_axes(const at::Tensor& tensor) {
  axis_list axes;
  for (std::int64_t i = tensor.dim(); i-- > 0;) axes.push_back(i);
  return axes;
}

// A new tensor with the elements of `given`. The result may be unpinned although `pinned` asks for it:
// the caller pins it then. Call it inside own_work, unless the tensor is followed.
inline at::Tensor copy_to(const at::Tensor& given, at::ScalarType dtype, at::Device device,
                          bool pinned) {
  const at::Tensor source = readable(given, dtype);
  const auto options = at::TensorOptions().dtype(dtype).device(device);
  if (is_followed(source) || device.is_meta() || (!source.is_cpu() && !device.is_cpu())) {
    return source.to(options, /*non_blocking=*/false, /*copy=*/true);
  }
  if (!source.is_cpu()) return to_cpu(source, dtype, pinned);
  const axis_list strides = strides_of_copy(source);
  if (device.is_cpu()) {
    at::Tensor result = new_cpu_tensor(source.sizes(), strides, dtype, pinned);
    result.copy_(source);
    return result;
  }
  at::Tensor result = source.new_empty_strided(source.sizes(), strides, options);
  to_device(source, result);
  return result;
}

// The same of a tensor, which stays on its device unless another is wanted.
inline at::Tensor copy_tensor(const at::Tensor& source, const request& wanted) {
  check_storage(source);
  return with_python_errors([&] {
    const gil_release without_gil;
    const own_work unseen(source);
    at::Tensor result = copy_to(source, wanted.dtype.value_or(source.scalar_type()),
                                wanted.device.value_or(source.device()),
                                wanted.pinned && wanted.order == axis_order::kept);
    if (!has_order(result.sizes(), result.strides(), wanted.order)) {
      if (wanted.order != axis_order::f)
        result = result.contiguous();
      else {
        const axis_list axes = reversed_axes(result);
        result = result.permute(axes).contiguous().permute(axes);
      }
    }
    return wanted.pinned ? result.pin_memory() : result;
  });
}

}  // namespace detail
}  // namespace ndtorch
