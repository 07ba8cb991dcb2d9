// New tensors with an array's elements.
#pragma once

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty_strided.h>
#include <c10/util/DimVector.h>
#include <ndtorch/detail/array.h>
#include <ndtorch/detail/device.h>
#include <ndtorch/detail/error.h>
#include <ndtorch/detail/numpy_api.h>
#include <ndtorch/detail/strided_view.h>
#include <ndtorch/detail/tensor.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// The order of a copy's axes in memory.
enum class axis_order { kept, c, f };

// What the caller's TensorOptions ask for, read once and checked before anything is made.
struct target {
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

inline target read_options(const at::TensorOptions& options) {
  target wanted;
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
  if (wanted.device) check_device(*wanted.device);
  return wanted;
}

// The strides that PyTorch gives a copy whose order is kept (empty_like with preserve_format):
// those of the source where it is dense, else dense ones whose axes are in the same order. An
// axis of stride 0 has no place of its own and stays where it is; of equal strides, the shorter
// axis is the inner one.
inline c10::DimVector copy_strides(const array_source& source, axis_order wanted) {
  const strided_view& view = source.view;
  const std::size_t ndim = view.ndim;
  if (wanted == axis_order::kept && source.why == refusal::none) {
    const at::Tensor same = borrow_tensor(view);
    if (same.is_non_overlapping_and_dense()) return c10::DimVector(view.strides());
  }
  const auto step = [&](std::size_t axis) { return std::abs(source.array->strides[axis]); };
  const auto belongs_inside = [&](std::size_t a,
                                  std::size_t b) -> int {  // a inside b: 1, out: -1
    if (step(a) == 0 || step(b) == 0) return 0;
    if (step(a) != step(b)) return step(a) < step(b) ? 1 : -1;
    return view.size_of[a] < view.size_of[b] ? 1 : 0;
  };
  c10::DimVector order;  // the innermost axis first
  for (std::size_t i = ndim; i-- > 0;) order.push_back(static_cast<std::int64_t>(i));
  const auto axis = [&](std::size_t i) { return static_cast<std::size_t>(order[i]); };
  if (wanted == axis_order::f) std::reverse(order.begin(), order.end());
  for (std::size_t i = 1; i < ndim && wanted == axis_order::kept; ++i) {
    std::size_t moving = i;
    for (std::size_t other = i; other-- > 0;) {
      const int inside = belongs_inside(axis(moving), axis(other));
      if (inside < 0) break;
      if (inside == 0) continue;
      std::swap(order[moving], order[other]);
      moving = other;
    }
  }
  c10::DimVector strides(ndim);
  std::int64_t next = 1;
  for (std::size_t i = 0; i < ndim; ++i) {
    strides[axis(i)] = next;
    next *= std::max<std::int64_t>(view.size_of[axis(i)], 1);
  }
  return strides;
}

// Below this many bytes a copy takes less time than other threads need to notice a released GIL.
inline constexpr std::size_t long_copy = std::size_t{1} << 18;

// Copies the elements into `result`, a CPU tensor of the same shape, cast to its dtype.
inline void copy_elements(const array_source& source, const at::Tensor& result) {
  if (result.numel() == 0) return;
  if (source.why == refusal::none) {
    const strided_view& view = source.view;
    const bool same_dtype = view.dtype == result.scalar_type();
    const auto nbytes = static_cast<std::size_t>(result.nbytes());
    if (same_dtype && nbytes < long_copy && nbytes == view.nbytes &&
        (result.dim() == 0 || result.strides() == view.strides())) {
      std::memcpy(result.mutable_data_ptr(), view.data, nbytes);
      return;
    }
    const at::Tensor from = borrow_tensor(view);
    std::optional<py::gil_scoped_release> without_gil;
    if (nbytes >= long_copy) without_gil.emplace();
    result.copy_(from);
    return;
  }
  // NumPy reads what no tensor can describe. It gives up the GIL itself where the copy is long.
  if (source.view.dtype != result.scalar_type()) {
    const at::Tensor native =
        at::detail::empty_strided_cpu(result.sizes(), result.strides(), source.view.dtype);
    copy_elements(source, native);
    const py::gil_scoped_release without_gil;
    result.copy_(native);
    return;
  }
  const py::array view = make_array(result.mutable_data_ptr(), true, result.sizes(),
                                    result.strides(), new_descr(result.scalar_type()), {});
  const auto from = reinterpret_cast<PyObject*>(const_cast<array_object*>(source.array));
  if (api().copy_into(view.ptr(), from) != 0) throw py::error_already_set();
}

// A new tensor of the wanted dtype and device with the array's elements.
inline at::Tensor copy(const array_source& source, at::ScalarType dtype, const target& wanted) {
  const c10::DimVector strides = copy_strides(source, wanted.order);
  return with_python_errors([&]() -> at::Tensor {
    const at::IntArrayRef sizes = source.view.sizes();
    const at::Device device = wanted.device.value_or(at::Device(at::kCPU));
    if (device.is_cpu()) {
      at::Tensor result = at::detail::empty_strided_cpu(sizes, strides, dtype, wanted.pinned);
      copy_elements(source, result);
      return result;
    }
    at::Tensor from;
    if (source.why == refusal::none) {
      from = borrow_tensor(source.view);
    } else {
      from = at::detail::empty_strided_cpu(sizes, strides, source.view.dtype);
      copy_elements(source, from);
    }
    const py::gil_scoped_release without_gil;
    at::Tensor result =
        at::empty_strided(sizes, strides, at::TensorOptions().dtype(dtype).device(device));
    result.copy_(from);
    return result;
  });
}

inline c10::DimVector reversed_axes(const at::Tensor& tensor) {
  c10::DimVector axes;
  for (std::int64_t i = tensor.dim(); i-- > 0;) axes.push_back(i);
  return axes;
}

// The same of a tensor, which stays on its device unless another is wanted.
inline at::Tensor copy(const at::Tensor& source, const target& wanted) {
  return with_python_errors([&] {
    const py::gil_scoped_release without_gil;
    at::Tensor result = source.to(at::TensorOptions()
                                      .dtype(wanted.dtype.value_or(source.scalar_type()))
                                      .device(wanted.device.value_or(source.device())),
                                  /*non_blocking=*/false, /*copy=*/true);
    if (wanted.order == axis_order::c) result = result.contiguous();
    if (wanted.order == axis_order::f) {
      result = result.permute(reversed_axes(result)).contiguous().permute(reversed_axes(result));
    }
    return wanted.pinned ? result.pin_memory() : result;
  });
}

}  // namespace detail
}  // namespace ndtorch
