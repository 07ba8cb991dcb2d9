// New tensors with an array's elements.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/DimVector.h>
#include <ndtorch/detail/allocate.h>
#include <ndtorch/detail/array.h>
#include <ndtorch/detail/device.h>
#include <ndtorch/detail/error.h>
#include <ndtorch/detail/interpreter.h>
#include <ndtorch/detail/parallel.h>
#include <ndtorch/detail/strided_copy.h>
#include <ndtorch/detail/strided_view.h>
#include <ndtorch/detail/tensor.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <algorithm>
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

// The order of a copy's axes in memory, the innermost first. Where it is kept it is the one that
// PyTorch gives a copy (empty_like with preserve_format): that of the source's strides. An axis of
// stride 0 has no place of its own and stays where it is; of equal strides, the shorter axis is the
// inner one.
inline c10::DimVector axes_by_stride(const array_source& source) {
  const strided_view& view = source.view;
  const auto step = [&](std::size_t axis) { return std::abs(source.array->strides[axis]); };
  const auto belongs_inside = [&](std::size_t a, std::size_t b) -> int {  // a inside b: 1, out: -1
    if (step(a) == 0 || step(b) == 0) return 0;
    if (step(a) != step(b)) return step(a) < step(b) ? 1 : -1;
    return view.size_of[a] < view.size_of[b] ? 1 : 0;
  };
  c10::DimVector order;
  for (std::size_t i = view.ndim; i-- > 0;) order.push_back(static_cast<std::int64_t>(i));
  const auto axis = [&](std::size_t i) { return static_cast<std::size_t>(order[i]); };
  for (std::size_t i = 1; i < view.ndim; ++i) {
    std::size_t moving = i;
    for (std::size_t other = i; other-- > 0;) {
      const int inside = belongs_inside(axis(moving), axis(other));
      if (inside < 0) break;
      if (inside == 0) continue;
      std::swap(order[moving], order[other]);
      moving = other;
    }
  }
  return order;
}

inline c10::DimVector copy_strides(const array_source& source, axis_order wanted) {
  const strided_view& view = source.view;
  if (wanted == axis_order::kept && source.why == refusal::none) {
    const at::Tensor same = borrow_tensor(view);
    if (same.is_non_overlapping_and_dense()) return c10::DimVector(view.strides());
  }
  c10::DimVector order;  // the innermost axis first
  if (wanted == axis_order::kept) {
    order = axes_by_stride(source);
  } else {
    for (std::size_t i = 0; i < view.ndim; ++i) order.push_back(static_cast<std::int64_t>(i));
    if (wanted == axis_order::c) std::reverse(order.begin(), order.end());
  }
  c10::DimVector strides(view.ndim);
  std::int64_t next = 1;
  for (const std::int64_t axis : order) {
    strides[static_cast<std::size_t>(axis)] = next;
    next *= std::max<std::int64_t>(view.size_of[static_cast<std::size_t>(axis)], 1);
  }
  return strides;
}

// Below this many bytes a copy takes less time than other threads need to notice a released GIL.
inline constexpr std::size_t long_copy = std::size_t{1} << 18;

// What one thread copies at a time, in bytes: a whole page, since two threads that meet a new page at
// once both fill it with zeros, and one of them in vain.
inline constexpr std::int64_t piece_of_copy = huge_page;

// A buffer that stays in the cache.
inline constexpr std::int64_t buffer_of_copy = std::int64_t{1} << 17;  // bytes

inline void copy_bytes(void* target, const void* source, std::size_t nbytes) {
  for_pieces(static_cast<std::int64_t>(nbytes), piece_of_copy,
             [&](std::int64_t begin, std::int64_t end) {
               std::memcpy(static_cast<std::byte*>(target) + begin,
                           static_cast<const std::byte*>(source) + begin,
                           static_cast<std::size_t>(end - begin));
             });
}

// Copies what no tensor can describe into `result`, whose strides are dense.
inline void copy_refused(const array_source& source, const at::Tensor& result) {
  const strided_view& view = source.view;
  const auto ndim = static_cast<std::size_t>(result.dim());
  c10::DimVector order;
  for (std::size_t i = ndim; i-- > 0;) order.push_back(static_cast<std::int64_t>(i));
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return result.stride(a) < result.stride(b);
  });
  c10::DimVector byte_strides(ndim);
  for (std::size_t i = 0; i < ndim; ++i) byte_strides[i] = source.array->strides[i];
  const auto item = static_cast<std::int64_t>(c10::elementSize(view.dtype));
  // A complex number is two words, each in its own byte order; but ml_dtypes reverses its complex32
  // as a whole.
  const bool halves = c10::isComplexType(view.dtype) && source.dtype->is_built_in();
  const std::int64_t words = halves ? 2 : 1;
  const strided_reader reader(static_cast<const std::byte*>(view.data), view.sizes(), byte_strides,
                              order, static_cast<std::size_t>(item / words), words,
                              is_foreign_byte_order(source));
  auto* const target = static_cast<std::byte*>(result.mutable_data_ptr());
  if (view.dtype == result.scalar_type()) {
    for_pieces(result.numel(), piece_of_copy / item, [&](std::int64_t begin, std::int64_t end) {
      reader.read(target + begin * item, begin, end);
    });
    return;
  }
  // Cast through a small buffer.
  strided_view part;
  part.ndim = 1;
  part.size_of[0] = std::min(result.numel(), buffer_of_copy / item);
  const at::Tensor buffer = new_cpu_tensor({part.size_of[0]}, view.dtype, /*pinned=*/false);
  auto* const native = static_cast<std::byte*>(buffer.mutable_data_ptr());
  const auto result_item = static_cast<std::int64_t>(c10::elementSize(result.scalar_type()));
  const std::int64_t size = part.size_of[0];
  for (std::int64_t begin = 0; begin < result.numel(); begin += size) {
    const std::int64_t end = std::min(result.numel(), begin + size);
    reader.read(native, begin, end);
    part.size_of[0] = end - begin;
    part.dtype = view.dtype;
    part.data = native;
    set_dense_strides(part);
    const at::Tensor from = borrow_tensor(part);
    part.dtype = result.scalar_type();
    part.data = target + begin * result_item;
    set_dense_strides(part);
    borrow_tensor(part).copy_(from);
  }
}

// Copies the elements into `result`, a dense CPU tensor of the same shape, cast to its dtype.
inline void copy_elements(const array_source& source, const at::Tensor& result) {
  if (result.numel() == 0) return;
  const strided_view& view = source.view;
  const auto nbytes = static_cast<std::size_t>(result.nbytes());
  std::optional<gil_release> without_gil;
  if (nbytes >= long_copy) without_gil.emplace();
  if (source.why != refusal::none) {
    copy_refused(source, result);
  } else if (view.dtype == result.scalar_type() && nbytes == view.nbytes &&
             (result.dim() == 0 || result.strides() == view.strides())) {
    copy_bytes(result.mutable_data_ptr(), view.data, nbytes);
  } else {
    result.copy_(borrow_tensor(view));
  }
}

// A new tensor of the wanted dtype and device with the array's elements.
inline at::Tensor copy(const array_source& source, at::ScalarType dtype, const target& wanted) {
  const c10::DimVector strides = copy_strides(source, wanted.order);
  return with_python_errors([&]() -> at::Tensor {
    const at::IntArrayRef sizes = source.view.sizes();
    const at::Device device = wanted.device.value_or(at::Device(at::kCPU));
    if (device.is_cpu()) {
      at::Tensor result = new_cpu_tensor(sizes, strides, dtype, wanted.pinned);
      copy_elements(source, result);
      return result;
    }
    at::Tensor from;
    if (source.why == refusal::none) {
      from = borrow_tensor(source.view);
    } else {
      from = new_cpu_tensor(sizes, strides, source.view.dtype, /*pinned=*/false);
      copy_elements(source, from);
    }
    const gil_release without_gil;
    // Not at::empty_strided: its header would make this one take twice as long to compile.
    at::Tensor result =
        from.new_empty_strided(sizes, strides, at::TensorOptions().dtype(dtype).device(device));
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
    const gil_release without_gil;
    const at::ScalarType dtype = wanted.dtype.value_or(source.scalar_type());
    const at::Device device = wanted.device.value_or(source.device());
    at::Tensor result;
    if (source.is_cpu() && device.is_cpu() && !source.requires_grad() &&
        source.is_non_overlapping_and_dense()) {
      result = new_cpu_tensor(source.sizes(), source.strides(), dtype, /*pinned=*/false);
      result.copy_(source);
    } else {
      result = source.to(at::TensorOptions().dtype(dtype).device(device), /*non_blocking=*/false,
                         /*copy=*/true);
    }
    if (wanted.order == axis_order::c) result = result.contiguous();
    if (wanted.order == axis_order::f) {
      result = result.permute(reversed_axes(result)).contiguous().permute(reversed_axes(result));
    }
    return wanted.pinned ? result.pin_memory() : result;
  });
}

}  // namespace detail
}  // namespace ndtorch
