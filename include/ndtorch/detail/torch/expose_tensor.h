// A tensor's memory as an array, without a copy, and with one where only that makes plain memory of it.
#pragma once

#include <ATen/core/Tensor.h>
#include <ndtorch/detail/numpy/abi.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/bools.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/own_work.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/detail/torch/storage.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/detail/torch/transfer.h>
#include <ndtorch/dtype.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

inline bool is_whole_view(PyObject* array, PyObject* base) {
  const auto& a = *reinterpret_cast<const array_object*>(array);
  const auto& b = *reinterpret_cast<const array_object*>(base);
  return a.data == b.data && a.nd == b.nd && a.descr->type_num == b.descr->type_num &&
         std::equal(a.dimensions, a.dimensions + a.nd, b.dimensions) &&
         std::equal(a.strides, a.strides + a.nd, b.strides);
}

// What the new array names as its base: the array that the memory came from, if it came from one.
// Each round trip adds a link (array -> tensor -> array): links between plain views are skipped, as
// NumPy skips views of views, or a loop would keep every array it ever made. NumPy doesn't skip where
// the type changes, as from a subclass, whose end may mean something.
inline py::object original_array(PyObject* array) {
  const auto base_of = [](PyObject* object) -> PyObject* {
    const auto* const view = reinterpret_cast<const array_object*>(object);
    // An array that is to be written back to its base has memory of its own.
    if (view->base == nullptr || (view->flags & array_flag::owndata) != 0) return nullptr;
    return api().is_array(view->base) ? view->base : nullptr;
  };
  const auto is_plain = [](PyObject* object) { return Py_TYPE(object) == api().array_type; };
  while (PyObject* const base = base_of(array)) {
    if (!is_plain(array) || !is_plain(base)) break;
    // A view of a part may be the one that came; of the whole it is what a round trip has made.
    if (base_of(base) == nullptr && !is_whole_view(array, base)) break;
    array = base;
  }
  return py::reinterpret_borrow<py::object>(array);
}

// What a conversion is to do: explain() asks for its checks alone, which are the same then.
enum class task { expose, check };

// Throws what expose_tensor() would throw, in the same order: for the dtype, for the memory, and what
// NumPy itself refuses. For the last it makes an array without memory.
[[gnu::noinline]] inline py::array check_expose_tensor(const at::Tensor& tensor) {
  auto dtype = py::reinterpret_steal<py::object>(
      reinterpret_cast<PyObject*>(new_descr(tensor.scalar_type())));
  check_storage(tensor);
  return make_array(nullptr, /*writable=*/false, tensor.sizes(), tensor.strides(),
                    reinterpret_cast<array_descr*>(dtype.release().ptr()), py::none());
}

// Shares `tensor`, which is dense memory on the CPU. `parent` is the object that the tensor is part of,
// if there is one: the array keeps it where nobody else is known to keep the memory. Not always: set as
// a tensor of the same object again, the array would keep that object for ever.
inline py::array expose_tensor(const at::Tensor& tensor, py::handle parent = {}) {
  auto dtype = py::reinterpret_steal<py::object>(
      reinterpret_cast<PyObject*>(new_descr(tensor.scalar_type())));
  const auto [data, holder, writable, dense] = export_memory(tensor);
  // The storage of a read-only object doesn't do as the base: a first write moves it elsewhere.
  py::object base = parent && is_kept_by_nobody(tensor.storage(), holder)
                        ? py::reinterpret_borrow<py::object>(parent)
                    : holder == nullptr      ? hold_storage(home_of(tensor.storage()))
                    : api().is_array(holder) ? original_array(holder)
                                             : py::reinterpret_borrow<py::object>(holder);
  return make_array(data, writable && (dense || !axes_may_overlap(tensor)), tensor.sizes(),
                    tensor.strides(), reinterpret_cast<array_descr*>(dtype.release().ptr()),
                    std::move(base));
}

// Before LibTorch reads a tensor to copy it: that it has something to be read.
inline void check_readable(const at::Tensor& tensor) {
  if (tensor.is_meta()) {
    throw not_implemented_error(
        "Cannot copy out of meta tensor; no data! Make a tensor with data on a real device first, "
        "for example with at::empty_like(tensor, at::kCPU).");
  }
  check_stands_for_itself(tensor);
  check_storage(tensor);
}

// All that has no NumPy form even after a copy, found before the copy is made.
inline void check_convertible(const at::Tensor& tensor) {
  check_layout(tensor);
  numpy_dtype(tensor.scalar_type());
  check_readable(tensor);
}

// A tensor that to_numpy() shares: on the CPU, and without what only a copy resolves.
inline bool is_plain_memory(const at::Tensor& tensor) {
  return tensor.device().is_cpu() && !tensor.is_conj() && !tensor.is_neg() &&
         !tensor._is_zerotensor() && !stands_for_others(tensor);
}

// The tensor as plain memory of the CPU's, copied only where it must be. Call it without the GIL.
inline at::Tensor to_plain(const at::Tensor& tensor) {
  const own_work unseen;
  at::Tensor result = tensor.requires_grad() ? tensor.detach() : tensor;
  if (!result.device().is_cpu()) {
    const at::ScalarType dtype = result.scalar_type();
    result = to_cpu(readable(result, dtype), dtype);
  }
  if (result.is_conj()) result = result.resolve_conj();
  if (result.is_neg()) result = result.resolve_neg();
  if (result._is_zerotensor()) result = result.clone();
  return result;
}

// numpy(), or what it would throw.
inline py::array make_numpy(const at::Tensor& tensor, task what) {
  check_plain(tensor);
  return what == task::check ? check_expose_tensor(tensor) : expose_tensor(tensor);
}

// to_numpy(), or what it would throw; a null handle then, where it would copy.
inline py::array make_to_numpy(const at::Tensor& tensor, task what) {
  if (is_plain(tensor))
    return what == task::check ? check_expose_tensor(tensor) : expose_tensor(tensor);
  check_convertible(tensor);
  if (what == task::check) {
    return is_plain_memory(tensor) ? check_expose_tensor(tensor)
                                   : py::reinterpret_steal<py::array>(nullptr);
  }
  const at::Tensor plain = with_python_errors([&] {
    const gil_release without_gil;
    return to_plain(tensor);
  });
  return expose_tensor(plain);
}

}  // namespace detail
}  // namespace ndtorch
