// New tensors with an array's elements.
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/memory/parallel.h>
#include <ndtorch/detail/memory/strided_copy.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/allocate.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/device.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/detail/torch/threads.h>
#include <ndtorch/detail/torch/transfer.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
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
  if (wanted.device) {
    check_device(*wanted.device);
    // As in PyTorch, a device without a number is the current one.
    if (!wanted.device->has_index() && !wanted.device->is_cpu() && !wanted.device->is_meta()) {
      wanted.device = c10::impl::VirtualGuardImpl(wanted.device->type()).getDevice();
    }
  }
  return wanted;
}

inline axis_list copy_strides(const array_source& source, axis_order wanted) {
  const strided_view& view = source.view;
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

// A buffer that stays in the cache.
inline constexpr std::int64_t buffer_of_copy = std::int64_t{1} << 17;  // bytes

// Whether LibTorch's own copy can't read the array: it is no tensor's, or holds bools, which LibTorch
// takes to be 0 or 1.
inline bool needs_reader(const array_source& source) {
  return source.why != refusal::none || source.view.dtype == at::kBool;
}

// Reads such arrays, in the order of a dense result's memory.
class refused_reader {
 public:
  refused_reader(const array_source& source, int_list result_strides)
      : dtype_(source.view.dtype), reader_(reader_of(source, result_strides)) {}

  // The elements of these numbers to `target`, which may be of another dtype.
  void read(void* target, at::ScalarType dtype, std::int64_t begin, std::int64_t end) const {
    auto* const bytes = static_cast<std::byte*>(target);
    const auto item = static_cast<std::int64_t>(c10::elementSize(dtype_));
    if (dtype == dtype_) {
      for_pieces(end - begin, piece_of_copy / item, threads_for_copies(),
                 [&](std::int64_t from, std::int64_t to) {
                   reader_.read(bytes + from * item, begin + from, begin + to);
                 });
      return;
    }
    // Cast through a small buffer.
    const std::int64_t size = std::min(end - begin, buffer_of_copy / item);
    const at::Tensor buffer = new_cpu_tensor({size}, dtype_, /*pinned=*/false);
    const auto row_of = [](void* data, at::ScalarType type, std::int64_t count) {
      strided_view row;
      row.ndim = 1;
      row.size_of[0] = count;
      row.dtype = type;
      row.data = data;
      set_dense_strides(row, c10::elementSize(type));
      return borrow_tensor(row);
    };
    void* const native = buffer.mutable_data_ptr();
    const auto target_item = static_cast<std::int64_t>(c10::elementSize(dtype));
    for (std::int64_t from = begin; from < end; from += size) {
      const std::int64_t count = std::min(size, end - from);
      reader_.read(static_cast<std::byte*>(native), from, from + count);
      row_of(bytes + (from - begin) * target_item, dtype, count)
          .copy_(row_of(native, dtype_, count));
    }
  }

 private:
  static strided_reader reader_of(const array_source& source, int_list result_strides) {
    const strided_view& view = source.view;
    const auto item = static_cast<std::int64_t>(c10::elementSize(view.dtype));
    // A complex number is two words, each in its own byte order; but ml_dtypes reverses its
    // complex32 as a whole.
    const bool halves = c10::isComplexType(view.dtype) && source.dtype->is_built_in();
    const std::int64_t words = halves ? 2 : 1;
    return {view.dtype,
            static_cast<const std::byte*>(view.data),
            view.sizes(),
            int_list(source.array->strides, view.ndim),
            axes_of_dense(result_strides),
            static_cast<std::size_t>(item / words),
            words,
            is_foreign_byte_order(source)};
  }

  at::ScalarType dtype_;
  strided_reader reader_;
};

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
inline at::Tensor copy(const array_source& source, at::ScalarType dtype, const target& wanted) {
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

// Tensor.detach(), of which only those hear whom the tensor concerns.
inline at::Tensor detached(const at::Tensor& tensor) {
  const own_work unseen(tensor);
  return tensor.detach();
}

inline axis_list reversed_axes(const at::Tensor& tensor) {
  axis_list axes;
  for (std::int64_t i = tensor.dim(); i-- > 0;) axes.push_back(i);
  return axes;
}

// A new tensor with the elements of another. It may be unpinned all the same. Inside of own_work, but
// for a tensor that is followed.
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
inline at::Tensor copy(const at::Tensor& source, const target& wanted) {
  check_storage(source);
  return with_python_errors([&] {
    const gil_release without_gil;
    const own_work unseen(source);
    at::Tensor result = copy_to(source, wanted.dtype.value_or(source.scalar_type()),
                                wanted.device.value_or(source.device()),
                                wanted.pinned && wanted.order == axis_order::kept);
    if (wanted.order == axis_order::c) result = result.contiguous();
    if (wanted.order == axis_order::f) {
      result = result.permute(reversed_axes(result)).contiguous().permute(reversed_axes(result));
    }
    return wanted.pinned ? result.pin_memory() : result;
  });
}

}  // namespace detail
}  // namespace ndtorch
