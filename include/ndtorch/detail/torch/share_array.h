// An array's memory as a tensor, without a copy.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/numpy/describe.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <string>

namespace ndtorch {

// What a view of a read-only array is. A tensor has no read-only flag of its own.
enum class on_read_only {
  // Shares until the first write, which gives the tensor memory of its own; the array keeps its
  // content (before LibTorch 2.13 that write throws).
  copy_on_write,
  // PyTorch's UserWarning, then a plain view: writing to it is undefined behaviour.
  warn,
  // A value_error.
  error
};

namespace [[gnu::visibility("hidden")]] detail {

inline std::string refusal_text(const array_source& source) {
  return value_or_refusal([&]() -> std::string { throw_refused(source, caller::python); },
                          [](std::string text) { return text; });
}

// Whether the view of a read-only array is to copy on write. Throws, or warns, as the policy says.
inline bool copies_on_write(on_read_only policy, const array_source& source) {
  switch (policy) {
    case on_read_only::copy_on_write:
      break;
    case on_read_only::error:
      throw py::value_error(c10::str("the given NumPy array is not writable. Got ",
                                     describe(source.array),
                                     ". Copy it with ndtorch::tensor, or make it writable."));
    case on_read_only::warn:
      // torch/csrc/utils/tensor_numpy.cpp, PyTorch 2.13
      if (PyErr_WarnEx(
              PyExc_UserWarning,
              "The given NumPy array is not writable, and PyTorch does not support non-writable "
              "tensors. This means writing to this tensor will result in undefined behavior. You "
              "may want to copy the array to protect its data or make it writable before "
              "converting it to a tensor.",
              1) != 0) {
        throw_python_error();
      }
      return false;
  }
  return true;
}

// What handles a warning may change the array, so it is read once more. (Apart, for the speed of others.)
[[gnu::noinline]] inline at::Tensor share_after_warning(py::handle array) {
  const strided_view view = require_array(array).view;
  return make_tensor(view, hold_object(view.data, array.ptr(), device_of(view)));
}

// The array's memory as a tensor. Nothing is taken before all checks have passed.
inline at::Tensor share_array(py::handle array, const array_source& source, on_read_only policy) {
  if (source.why != refusal::none) throw_refused(source);
  const strided_view& view = source.view;
  if (!view.writable && !copies_on_write(policy, source)) return share_after_warning(array);
  at::Tensor tensor = make_tensor(view, hold_object(view.data, array.ptr(), device_of(view)));
  if (!view.writable) make_copy_on_write(*tensor.storage().unsafeGetStorageImpl());
  return tensor;
}

[[noreturn]] inline void throw_wrong_dtype(const array_source& source, at::ScalarType expected) {
  const char* const name = find_dtype(expected)->name;
  throw py::type_error(c10::str("expected np.ndarray of dtype ", name, " (got ", source.dtype->name,
                                "). Got ", describe(source.array),
                                ". Cast it with ndtorch::tensor<T>, or with array.astype(np.", name,
                                ") in Python."));
}

}  // namespace detail
}  // namespace ndtorch
