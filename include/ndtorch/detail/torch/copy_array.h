// New tensors with an array's elements.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/TensorOptions.h>
#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/memory/strided_copy.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/allocate.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/refused_reader.h>
#include <ndtorch/detail/torch/request.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/detail/torch/threads.h>
#include <ndtorch/detail/torch/transfer.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

inline axis_list copy_strides(const array_source& source, axis_order wanted) {
  const strided_view& view = source.view;
  if (wanted == axis_order::c_or_f) {
    axis_list strides = copy_strides(source, axis_order::kept);
    return has_order(view.sizes(), strides, wanted) ? strides : copy_strides(source, axis_order::c);
  }
  if (wanted == axis_order::kept) {
    if (source.why == refusal::none) return strides_of_copy(borrow_tensor(view));
    const int_list in_bytes(source.array->strides, view.ndim);
    return dense_strides(view.sizes(), axes_by_stride(view.sizes(), in_bytes));
  }
  axis_list order;  // the innermost axis first
  for (std::size_t i = 0; i < view.ndim; ++i) order.push_back(static_cast<std::int64_t>(i));
  if (wanted == axis_order::c) std::reverse(order.begin(), order.end());
  return dense_strides(view.sizes(), order);
}

// Below this many bytes a copy takes less time than other threads need to notice a released GIL.
inline constexpr std::size_t long_copy = std::size_t{1} << 18;

// Copies the elements into `result`, a dense CPU tensor of the same shape, cast to its dtype.
inline void copy_elements(const array_source& source, const at::Tensor& result) {
  if (result.numel() == 0) return;
  const strided_view& view = source.view;
  const auto nbytes = static_cast<std::size_t>(result.nbytes());
  // Made with the GIL: it looks at the array, which others may give another shape without it.
  std::optional<refused_reader> reader;
  if (needs_reader(source)) reader.emplace(source, result.strides());
  std::optional<gil_release> without_gil;
  if (nbytes >= long_copy) without_gil.emplace();
  if (reader) {
    reader->read(result.mutable_data_ptr(), result.scalar_type(), 0, result.numel());
  } else if (view.dtype == result.scalar_type() && nbytes == view.nbytes &&
             (result.dim() == 0 || result.strides() == array_ref(view.strides()))) {
    copy_bytes(result.mutable_data_ptr(), view.data, nbytes, threads_for_copies());
  } else {
    result.copy_(borrow_tensor(view));
  }
}

// The same into dense memory of a device's, of an array of dtype `dtype`.
inline void send_refused(const refused_reader& reader, at::ScalarType dtype,
                         const at::Tensor& result) {
  const at::ScalarType wire = dtype_on_bus(dtype, result.scalar_type());
  const auto buffers = buffers_for(result.numel(), wire, result.device(), large_import);
  if (buffers == nullptr) {
    const at::Tensor from =
        new_cpu_tensor(result.sizes(), result.strides(), wire, /*pinned=*/false);
    reader.read(from.mutable_data_ptr(), wire, 0, from.numel());
    to_device(from, result);
    return;
  }
  sender out(result, wire, *buffers);
  const std::int64_t most = buffers->most_elements(wire);
  for (std::int64_t first = 0; first < result.numel(); first += most) {
    const std::int64_t count = std::min(most, result.numel() - first);
    const at::Tensor row = out.next(count);
    reader.read(row.mutable_data_ptr(), wire, first, first + count);
    out.send(row, first);
  }
  out.finish();
}

// A new tensor of the wanted dtype and device with the array's elements.
inline at::Tensor copy_array(const array_source& source, at::ScalarType dtype,
                             const request& wanted) {
  const axis_list strides = copy_strides(source, wanted.order);
  return with_python_errors([&]() -> at::Tensor {
    const own_work unseen;
    const at::IntArrayRef sizes = array_ref(source.view.sizes());
    const at::Device device = wanted.device.value_or(at::Device(at::kCPU));
    if (device.is_cpu()) {
      at::Tensor result = new_cpu_tensor(sizes, strides, dtype, wanted.pinned);
      copy_elements(source, result);
      return result;
    }
    std::optional<refused_reader> reader;  // made with the GIL, as above
    if (needs_reader(source)) reader.emplace(source, strides);
    const gil_release without_gil;
    // Not at::empty_strided: its header would make this one take twice as long to compile.
    const at::Tensor like = new_cpu_tensor({0}, dtype, /*pinned=*/false);
    at::Tensor result = like.new_empty_strided(sizes, strides, at::TensorOptions().device(device));
    if (device.is_meta()) return result;
    if (reader) {
      send_refused(*reader, source.view.dtype, result);
    } else {
      to_device(borrow_tensor(source.view), result);
    }
    return result;
  });
}

}  // namespace detail
}  // namespace ndtorch
