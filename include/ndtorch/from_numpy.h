// NumPy -> LibTorch.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DefaultDtype.h>
#include <c10/core/TensorOptions.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/from_any.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/request.h>
#include <ndtorch/detail/torch/share_array.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

namespace ndtorch {

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
  return detail::share_array(array, detail::require_array(array), policy);
}

// The same for an array that must be of T's dtype: a type_error names both where it isn't.
template <class T>
at::Tensor from_numpy(py::handle array, on_read_only policy = on_read_only::copy_on_write) {
  constexpr at::ScalarType type = scalar_type_of_v<T>;
  detail::check_gil("from_numpy");
  const detail::array_source source = detail::require_array(array);
  if (source.view.dtype != type) detail::throw_wrong_dtype(source, type);
  at::Tensor tensor = detail::share_array(array, source, policy);
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
  return detail::from_any(data, detail::read_options(options), detail::sharing::never);
}

// The same with T's dtype. A value_error where `options` name another one.
template <class T>
at::Tensor tensor(py::handle data, const at::TensorOptions& options = {}) {
  constexpr at::ScalarType type = scalar_type_of_v<T>;
  detail::check_gil("tensor");
  detail::request wanted = detail::read_options(options);
  if (wanted.dtype && *wanted.dtype != type) {
    throw py::value_error(c10::str("ndtorch::tensor<T> of dtype ", type,
                                   " was given options of dtype ", *wanted.dtype,
                                   ". Leave the dtype out of one of them."));
  }
  wanted.dtype = type;
  return detail::from_any(data, wanted, detail::sharing::never);
}

// torch.Tensor(data): always a copy, always of the default dtype (float32 unless
// at::set_default_dtype says otherwise), on the CPU. Takes and throws what tensor() does. A number
// is a tensor with that value; PyTorch's legacy constructor reads an int as a size.
inline at::Tensor Tensor(py::handle data) {
  detail::check_gil("Tensor");
  detail::request wanted;
  wanted.dtype = c10::get_default_dtype_as_scalartype();
  wanted.device = at::Device(at::kCPU);
  return detail::from_any(data, wanted, detail::sharing::never);
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
  return detail::from_any(data, detail::read_options(options), detail::sharing::where_possible);
}

}  // namespace ndtorch
