// Objects with __cuda_array_interface__ (version 3), as CuPy's and Numba's arrays.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/abi.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/describe.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/detail/torch/copy_on_write.h>
#include <ndtorch/detail/torch/device.h>
#include <ndtorch/detail/torch/errors.h>
#include <ndtorch/detail/torch/owner.h>
#include <ndtorch/detail/torch/tensor.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Whether a type's property says that this object has no such attribute, as of memory that is no GPU's.
inline bool denies_attribute(py::handle object, const char* name) {
  const auto found = py::reinterpret_steal<py::object>(PyObject_GetAttrString(object.ptr(), name));
  if (found) return false;
  const bool denied = PyErr_ExceptionMatches(PyExc_AttributeError) != 0;
  clear_error();
  return denied;
}

inline std::vector<std::int64_t> read_ints(py::handle sequence) {
  std::vector<std::int64_t> ints;
  for (const py::handle item : py::tuple(py::reinterpret_borrow<py::object>(sequence))) {
    const long long value = PyLong_AsLongLong(item.ptr());
    if (value == -1 && PyErr_Occurred() != nullptr) throw_python_error();
    ints.push_back(value);
  }
  return ints;
}

// What `__cuda_array_interface__` (version 3) says of memory; the device's index is not among it.
inline strided_view read_cuda_array(const py::dict& interface) {
  const auto refuse = [&](const char* reason) {
    throw py::value_error(c10::str("can't share this __cuda_array_interface__: ", reason, " Got ",
                                   utf8(py::repr(interface)), "."));
  };
  for (const char* key : {"shape", "typestr", "data"}) {
    if (!interface.contains(key)) refuse("it lacks one of shape, typestr and data.");
  }
  if (interface.contains("mask") && !interface["mask"].is_none()) {
    refuse("its mask would be lost. Fill the masked values first.");
  }
  const py::object typestr = interface["typestr"];
  if (!py::isinstance<py::str>(typestr)) refuse("typestr must be a string.");  // None is float64
  array_descr* descr = nullptr;
  if (api().descr_converter(typestr.ptr(), &descr) == 0) {
    throw_python_error();
  }
  const auto dtype = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(descr));
  const dtype_entry* entry = find_dtype(descr);
  if (entry == nullptr) throw_unsupported_dtype(descr, "dtype " + dtype_text(descr));
  if (descr->byteorder == foreign_byte_order) refuse("its byte order is not the native one.");

  strided_view view;
  view.dtype = entry->scalar_type;
  view.device = at::kCUDA;
  const py::tuple data = pair_in(interface["data"]);
  if (data.size() != 2) refuse("data must be (pointer, read-only flag).");
  view.data = PyLong_AsVoidPtr(py::object(data[0]).ptr());
  if (view.data == nullptr && PyErr_Occurred() != nullptr) throw_python_error();
  const int read_only = PyObject_IsTrue(py::object(data[1]).ptr());
  if (read_only < 0) throw_python_error();
  view.writable = read_only == 0;

  const auto shape = read_ints(interface["shape"]);
  if (shape.size() > max_ndim) refuse("it has more than 64 dimensions.");
  view.ndim = shape.size();
  auto count = static_cast<std::uint64_t>(entry->item_size);
  for (std::size_t i = 0; i < view.ndim; ++i) {
    if (shape[i] < 0) refuse("a size is negative.");
    view.size_of[i] = shape[i];
    const auto size = static_cast<std::uint64_t>(shape[i] > 0 ? shape[i] : 1);
    if (__builtin_mul_overflow(count, size, &count) || count > INT64_MAX) {
      refuse("it spans more bytes than there can be.");
    }
  }
  if (interface.contains("strides") && !interface["strides"].is_none()) {
    const auto strides = read_ints(interface["strides"]);
    if (strides.size() != view.ndim) refuse("shape and strides are of different lengths.");
    switch (set_shape(view, shape.data(), strides.data(), 1, entry->item_size)) {
      case refusal::negative_stride:
        refuse("At least one stride is negative, and LibTorch has no such tensors.");
        break;
      case refusal::odd_stride:
        refuse("its strides are no multiple of the item size.");
        break;
      case refusal::too_large:
        refuse("it spans more bytes than there can be.");
        break;
      default:
        break;
    }
  } else {
    set_dense_strides(view, static_cast<std::size_t>(entry->item_size));
  }
  if (view.data == nullptr && view.nbytes > 0) refuse("its data pointer is null.");
  return view;
}

inline at::Tensor share_cuda_array(py::handle object) {
  const py::object described = object.attr("__cuda_array_interface__");
  if (!py::isinstance<py::dict>(described)) {
    throw py::type_error(c10::str("__cuda_array_interface__ of a ", type_name(object),
                                  " must be a dict (got ", type_name(described), ")."));
  }
  const auto interface = py::reinterpret_borrow<py::dict>(described);
  strided_view view = read_cuda_array(interface);
  check_device(device_of(view));
  // A capsule, whose name says whether the memory may be written.
  const auto holder = py::reinterpret_steal<py::object>(PyCapsule_New(
      object.ptr(), view.writable ? writable_capsule : read_only_capsule, [](PyObject* self) {
        Py_DECREF(static_cast<PyObject*>(PyCapsule_GetPointer(self, PyCapsule_GetName(self))));
      }));
  if (!holder) throw_python_error();
  object.inc_ref();  // the capsule's
  return with_python_errors([&] {
    const at::Device device = view.data != nullptr
                                  ? at::detail::getCUDAHooks().getDeviceFromPtr(view.data)
                                  : at::Device(at::kCUDA, 0);
    set_device(view, device);
    const py::object stream = interface.attr("get")("stream");
    if (!stream.is_none()) {
      if (stream.equal(py::int_(1))) {
        wait_for_default_stream(device);
      } else {
        // There is no way to wait for a foreign stream alone without CUDA's own headers.
        // Not with the GIL: the device may be waiting for a callback in Python.
        const gil_release without_gil;
        c10::impl::VirtualGuardImpl(at::kCUDA).synchronizeDevice(device.index());
      }
    }
    at::Tensor tensor = make_tensor(view, hold_object(view.data, holder.ptr(), device));
    if (!view.writable) make_copy_on_write(*tensor.storage().unsafeGetStorageImpl());
    return tensor;
  });
}

inline constexpr protocol cuda_array_protocol = {
    "shares its memory by __cuda_array_interface__",
    [](py::handle object) {
      constexpr const char* name = "__cuda_array_interface__";
      return has_attribute(py::type::handle_of(object), name) && !denies_attribute(object, name);
    },
    /*array_of=*/nullptr,
    &share_cuda_array,
    /*look_into=*/nullptr,
    /*may_copy=*/false};

}  // namespace detail
}  // namespace ndtorch
