// NumPy -> LibTorch.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DefaultDtype.h>
#include <ndtorch/detail/array.h>
#include <ndtorch/detail/copy.h>
#include <ndtorch/detail/copy_on_write.h>
#include <ndtorch/detail/error.h>
#include <ndtorch/detail/holder.h>
#include <ndtorch/detail/numpy_api.h>
#include <ndtorch/detail/owner.h>
#include <ndtorch/detail/python_error.h>
#include <ndtorch/detail/sequence.h>
#include <ndtorch/detail/tensor.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <utility>

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

// Of a read-only array: says whether the view is to copy on write; throws what the policy asks for.
inline bool apply(on_read_only policy, const array_source& source) {
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
        detail::throw_python_error();
      }
      return false;
  }
  return true;
}

// What handles a warning may change the array, so it is read once more. (Apart, for the speed of others.)
[[gnu::noinline]] inline at::Tensor share_after_warning(py::handle array) {
  const strided_view view = require_array(array).view;
  return make_tensor(view, hold_object(view.data, array.ptr(), view.device));
}

// The array's memory as a tensor. Nothing is taken before all checks have passed.
inline at::Tensor share(py::handle array, const array_source& source, on_read_only policy) {
  if (source.why != refusal::none) throw_refused(source);
  const strided_view& view = source.view;
  if (!view.writable && !apply(policy, source)) return share_after_warning(array);
  at::Tensor tensor = make_tensor(view, hold_object(view.data, array.ptr(), view.device));
  if (!view.writable) make_copy_on_write(*tensor.storage().unsafeGetStorageImpl());
  return tensor;
}

enum class sharing { never, where_possible };

// Whether a conversion shares the array's memory, else it copies. Throws what is in the way of both.
inline bool shares(const array_source& source, const target& wanted, sharing rule) {
  if (!source.can_be_copied()) throw_refused(source);
  const at::ScalarType dtype = source.view.dtype;
  if (wanted.requires_grad) check_may_require_grad(wanted.dtype.value_or(dtype));
  return rule == sharing::where_possible && source.why == refusal::none &&
         wanted.dtype.value_or(dtype) == dtype && (!wanted.device || wanted.device->is_cpu()) &&
         !wanted.pinned;
}

inline at::Tensor share_or_copy_array(py::handle array, const target& wanted, sharing rule) {
  const array_source source = read_array(array);
  if (shares(source, wanted, rule)) return share(array, source, on_read_only::copy_on_write);
  return copy(source, wanted.dtype.value_or(source.view.dtype), wanted);
}

// A tensor on the memory of a holder other than an array, all of which can be copied.
inline at::Tensor share_to_convert(py::handle data, holder_kind kind, const target& wanted) {
  at::Tensor held = share_holder(data, kind);
  if (wanted.requires_grad) check_may_require_grad(wanted.dtype.value_or(held.scalar_type()));
  return held;
}

inline at::Tensor share_or_copy_holder(const at::Tensor& held, const target& wanted) {
  const bool same_device =
      !wanted.device || (held.is_cpu() ? wanted.device->is_cpu() : held.device() == *wanted.device);
  if (same_device && !wanted.pinned &&
      wanted.dtype.value_or(held.scalar_type()) == held.scalar_type()) {
    return held;
  }
  return copy(held, wanted);
}

// What tensor(), Tensor() and as_tensor() do: the one place that tells kinds of data apart.
inline at::Tensor convert(py::handle data, const target& wanted, sharing rule) {
  if (!data) throw py::type_error("can't convert a null handle to a tensor. Pass an object.");
  const auto from_array = [&](py::handle array) {
    return share_or_copy_array(array, wanted, rule);
  };
  const auto from_holder = [&](holder_kind kind) {
    const at::Tensor held = share_to_convert(data, kind, wanted);
    at::Tensor result =
        rule == sharing::never ? copy(detached(held), wanted) : share_or_copy_holder(held, wanted);
    // With libtorch_python it may be the caller's own tensor, which stays as it is.
    if (wanted.requires_grad && result.is_same(held) && !held.requires_grad()) {
      result = detached(held);
    }
    return result;
  };
  return with_python_errors([&] {
    at::Tensor result;
    if (api().is_array(data)) {
      result = from_array(data);
    } else if (const holder_kind kind =
                   api().is_scalar(data) ? holder_kind::none : find_holder(data);
               kind == holder_kind::none) {
      result = copy_nested(read_nested(data, wanted.dtype), wanted);
    } else if (is_read_by_numpy(kind)) {
      result = from_array(array_of(data, kind));
    } else {
      result = from_holder(kind);
    }
    if (wanted.requires_grad) result.set_requires_grad(true);
    return result;
  });
}

[[noreturn]] inline void throw_wrong_dtype(const array_source& source, at::ScalarType expected) {
  const char* const name = find_dtype(expected)->name;
  throw py::type_error(c10::str("expected np.ndarray of dtype ", name, " (got ", source.dtype->name,
                                "). Got ", describe(source.array),
                                ". Cast it with ndtorch::tensor<T>, or with array.astype(np.", name,
                                ") in Python."));
}

}  // namespace detail

// torch.from_numpy(array): a tensor on the array's memory, of its dtype, shape and strides
// (elements there, bytes here); nothing is copied or converted. The array lives as long as any
// tensor on its memory does. A read-only array is shared as `policy` says. Needs the GIL; the
// tensor can be dropped anywhere, with the GIL or without it, and never waits for it. Throws, with
// PyTorch 2.13's words first:
//   type_error   not an array, a dtype outside the table, a masked array with masked values
//   value_error  a view is impossible: negative strides, strides that are no multiple of the item
//                size, foreign byte order, misaligned data (a complex number must be aligned as a
//                whole), all of which ndtorch::tensor copies; strides that span more than there is;
//                a read-only array, where `policy` says error
//   error_already_set  a warning that Python turns into an exception
//
// Strides of axes of length 0 or 1 never matter.
inline at::Tensor from_numpy(py::handle array, on_read_only policy = on_read_only::copy_on_write) {
  detail::check_gil("from_numpy");
  return detail::share(array, detail::require_array(array), policy);
}

// The same for an array that must be of T's dtype: a type_error names both where it isn't.
template <class T>
at::Tensor from_numpy(py::handle array, on_read_only policy = on_read_only::copy_on_write) {
  constexpr at::ScalarType type = scalar_type_of_v<T>;
  detail::check_gil("from_numpy");
  const detail::array_source source = detail::require_array(array);
  if (source.view.dtype != type) detail::throw_wrong_dtype(source, type);
  at::Tensor tensor = detail::share(array, source, policy);
  // What handles a warning may have changed the array.
  if (tensor.scalar_type() != type) detail::throw_wrong_dtype(detail::require_array(array), type);
  return tensor;
}

// torch.tensor(data, dtype=..., device=..., requires_grad=..., pin_memory=...): always a copy.
// `data` is an array of any strides, alignment and byte order, a NumPy scalar, a Python number,
// another holder of memory that as_tensor() takes, or a nested sequence of these. Without a dtype
// in `options` an array keeps its own; numbers follow PyTorch: bool, int64, the default dtype for
// floats and its complex twin, promoted where they mix. With a dtype, numbers of other kinds will do:
// Decimal, long double, what has __float__, __index__ or __complex__. A dense array's order of axes is kept, as
// in PyTorch. Needs the GIL, which long copies release. Throws
//   type_error     no such data, a dtype outside the table, a masked array with masked values
//   value_error    a ragged or too deep sequence, an int beyond 64 bits, a layout or memory format in
//                  `options`
//   runtime_error  requires_grad for an integer dtype, a device this build or machine lacks, pinned
//                  memory where there is none, a number that doesn't fit the integer dtype
//   bad_alloc      no memory: MemoryError in Python
inline at::Tensor tensor(py::handle data, const at::TensorOptions& options = {}) {
  detail::check_gil("tensor");
  return detail::convert(data, detail::read_options(options), detail::sharing::never);
}

// The same with T's dtype. A value_error where `options` name another one.
template <class T>
at::Tensor tensor(py::handle data, const at::TensorOptions& options = {}) {
  constexpr at::ScalarType type = scalar_type_of_v<T>;
  detail::check_gil("tensor");
  detail::target wanted = detail::read_options(options);
  if (wanted.dtype && *wanted.dtype != type) {
    throw py::value_error(c10::str("ndtorch::tensor<T> of dtype ", type,
                                   " was given options of dtype ", *wanted.dtype,
                                   ". Leave the dtype out of one of them."));
  }
  wanted.dtype = type;
  return detail::convert(data, wanted, detail::sharing::never);
}

// torch.Tensor(data): always a copy, always of the default dtype (float32 unless
// at::set_default_dtype says otherwise), on the CPU. Takes and throws what tensor() does. A number
// is a tensor with that value; PyTorch's legacy constructor reads an int as a size.
inline at::Tensor Tensor(py::handle data) {
  detail::check_gil("Tensor");
  detail::target wanted;
  wanted.dtype = c10::get_default_dtype_as_scalartype();
  wanted.device = at::Device(at::kCPU);
  return detail::convert(data, wanted, detail::sharing::never);
}

// torch.as_tensor(data, ...): a tensor on the data's own memory where that is what `options` ask
// for, else tensor(data, options). So an array is copied only where a view is refused, or where the
// dtype or device differ or pinned memory is asked for. Read-only memory is shared and copied on
// write. Beside arrays it shares the memory of torch.Tensor objects, of anything with __dlpack__ or
// __cuda_array_interface__, of DLPack capsules, which can be taken only once, and of buffers (bytes,
// bytearray, memoryview, array.array, mmap), which are taken with their own dtype (C's char as uint8)
// and on the device where they are. An object with __array__, such as
// a table of pandas, is taken as np.asarray() gives it. Needs the GIL.
// Throws what tensor() throws; runtime_error for a torch.Tensor that requires grad (while gradients
// are enabled), has the conj or neg bit, or has no memory (with ndtorch::torch_python it is taken as it
// is); type_error for one that is nested, not strided, on meta or of a dtype outside the table, and for a
// capsule that was taken before; value_error for memory of one of these that can't be a tensor's;
// whatever a producer raises.
inline at::Tensor as_tensor(py::handle data, const at::TensorOptions& options = {}) {
  detail::check_gil("as_tensor");
  return detail::convert(data, detail::read_options(options), detail::sharing::where_possible);
}

}  // namespace ndtorch
