// LibTorch -> NumPy.
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/bools.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/expose_tensor.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/detail/torch/transfer.h>
#include <ndtorch/dtype.h>
#include <ndtorch/from_numpy.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

namespace ndtorch {
// torch.Tensor.numpy(): an array on the tensor's memory, of its dtype, shape and strides (bytes
// there, elements here); nothing is copied. Needs the GIL.
// The array keeps the storage alive, whatever becomes of the tensor, and the storage can't be
// resized any more. (Who gives the storage other memory, as share_memory_() does, takes it from the
// array too, in PyTorch as here.) An array that came through from_numpy is the result's base, or the
// array that it was a plain view of. The result is read-only where writing would surprise: a tensor
// that came from a read-only array, and one whose elements overlap (expand). Throws, with PyTorch
// 2.13's words:
//   type_error     an undefined or nested tensor, a sparse or other layout, a device other than the
//                  CPU, a dtype that NumPy lacks (quantized; bfloat16 and others without ml_dtypes)
//   runtime_error  requires_grad (while gradients are enabled), the conj or neg bit, a zero tensor, a
//                  tensor whose storage was freed or made smaller than the tensor, one that torch.vmap
//                  or torch.func made, a subclass with __torch_dispatch__
//   value_error    more than 64 dimensions
//   error_already_set  what NumPy has no array of: more elements than bytes can be counted for
inline py::array numpy(const at::Tensor& tensor) {
  detail::check_gil("numpy");
  return detail::make_numpy(tensor, detail::task::expose);
}

// torch.Tensor.numpy(force=True), or t.detach().cpu().numpy(): as numpy(), but always safe.
// Detaches, copies to the CPU, resolves conj and neg, gives a zero tensor memory: each only where
// needed, so that a plain CPU tensor is shared. Needs the GIL; a copy from a device releases it
// while it runs, waits for that device's current stream, and is complete when the call returns.
// Bools that are copied are 0 or 1. Throws as numpy() for what has no NumPy form on any device and for
// memory that is lost, before anything is copied, and
// detail::not_implemented_error for a meta tensor, which has no data.
inline py::array to_numpy(const at::Tensor& tensor) {
  detail::check_gil("to_numpy");
  return detail::make_to_numpy(tensor, detail::task::expose);
}

// The same, cast to T: shared where the tensor is a plain CPU tensor of that dtype already, else a
// copy of the same order of axes. Casts as Tensor.to(dtype) does, any byte of a bool but 0 being true.
template <class T>
py::array to_numpy(const at::Tensor& tensor) {
  constexpr at::ScalarType type = scalar_type_of_v<T>;
  detail::check_gil("to_numpy");
  detail::check_layout(tensor);
  if (tensor.scalar_type() == type) return to_numpy(tensor);
  if (detail::find_dtype(tensor.scalar_type()) == nullptr) {
    return to_numpy(tensor);  // throws: a cast would change what it says
  }
  detail::check_readable(tensor);
  const at::Tensor cast = detail::with_python_errors([&] {
    const detail::gil_release without_gil;
    const detail::own_work unseen;
    const at::Tensor plain = detail::readable(tensor.detach(), type);
    return tensor.device().is_cpu() ? plain.to(type) : detail::to_cpu(plain, type);
  });
  return to_numpy(cast);
}

}  // namespace ndtorch
