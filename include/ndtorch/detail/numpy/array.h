// The NumPy side: an array described as a strided_view, and an array built from one.
#pragma once

#include <ndtorch/detail/memory/strided_view.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/describe.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/dtype.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <array>
#include <cstddef>
#include <string>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

struct array_source {
  const array_object* array;
  const dtype_entry* dtype;  // nullptr: unsupported
  refusal why;
  strided_view view;  // where a view is refused, all but its strides and nbytes still hold

  // Whether a copy of the elements can be had.
  bool can_be_copied() const {
    return why != refusal::unsupported_dtype && why != refusal::masked && why != refusal::too_large;
  }
};

// A single byte has no order, but ml_dtypes' float8 types can be told that they have a foreign one.
inline bool is_foreign_byte_order(const array_source& source) {
  return source.array->descr->byteorder == foreign_byte_order && source.dtype->item_size > 1;
}

inline refusal check_memory(const array_source& source) {
  if (is_foreign_byte_order(source)) return refusal::byte_order;
  if (!is_aligned(source.view.data, source.dtype->item_size) && source.view.nbytes > 0) {
    return refusal::misaligned;
  }
  return refusal::none;
}

// A subclass is its plain array, but a mask says that some of the values are not to be used. An object
// that stands for such an array, as a weakref.proxy does, has its mask too. Throws what Python raises.
inline bool is_masked(py::handle object) {
  const auto name = py::str("numpy.ma");
  const auto ma = py::reinterpret_steal<py::object>(PyImport_GetModule(name.ptr()));
  if (!ma) {
    if (PyErr_Occurred() != nullptr) throw_python_error();
    return false;  // never imported, so there is no masked array
  }
  // A module that is being imported just now may have no such type yet.
  const py::object type = py::getattr(ma, "MaskedArray", py::none());
  return !type.is_none() && py::isinstance(object, type) &&
         ma.attr("is_masked")(object).cast<bool>();
}

// Describes an array; what stands in the way of sharing its memory is in `why`. `object` must be
// an array. Throws only what Python raises.
inline array_source read_array(py::handle object) {
  array_source source;
  source.array = reinterpret_cast<const array_object*>(object.ptr());
  // Asked before anything is read, since a subclass may run Python code then, and change.
  const bool masked = Py_TYPE(object.ptr()) != api().array_type &&
                      find_dtype(source.array->descr) != nullptr && is_masked(object);
  source.dtype = find_dtype(source.array->descr);
  if (source.dtype == nullptr) {
    source.why = refusal::unsupported_dtype;
    return source;
  }

  strided_view& view = source.view;
  view.data = source.array->data;
  view.dtype = source.dtype->scalar_type;
  view.writable = (source.array->flags & array_flag::writeable) != 0;
  view.ndim = static_cast<std::size_t>(source.array->nd);
  if (masked) {
    source.why = refusal::masked;
    return source;
  }
  source.why =
      set_shape(view, source.array->dimensions, source.array->strides, 1, source.dtype->item_size);
  if (source.why == refusal::none) source.why = check_memory(source);
  return source;
}

[[noreturn]] inline void throw_masked(const std::string& what_came) {
  throw py::type_error(
      "can't convert a masked array with masked values, its mask would be lost. Got " + what_came +
      ". Fill it first with array.filled(value), or drop the mask with array.data.");
}

// To whom a remedy is told: who calls ndtorch in C++, or who calls an extension's function in Python.
enum class caller { cpp, python };

// Why a copy of the array is needed, and how to make it. The words are PyTorch 2.13's
// (torch/csrc/utils/tensor_numpy.cpp) where it has any.
inline std::string why_not_shared(const array_source& source, caller who) {
  const char* reason = "";
  const char* copy = "array.copy()";
  switch (source.why) {
    case refusal::negative_stride:
      reason =
          "At least one stride in the given numpy array is negative, and tensors with negative "
          "strides are not currently supported. (You can probably work around this by making a "
          "copy of your array  with array.copy().) ";
      break;
    case refusal::odd_stride:
      reason =
          "given numpy array strides not a multiple of the element byte size. Copy the numpy "
          "array to reallocate the memory.";
      break;
    case refusal::byte_order:
      reason =
          "given numpy array has byte order different from the native byte order. Conversion "
          "between byte orders is currently not supported.";
      copy = "array.astype(array.dtype.newbyteorder('='))";
      break;
    case refusal::misaligned:
      reason = "given numpy array is not aligned for its dtype.";
      break;
    default:
      break;
  }
  const std::string remedy =
      who == caller::cpp
          ? std::string("Copy it with ndtorch::tensor, or with ") + copy + " in Python."
          : std::string("Copy it first, with ") + copy + ".";
  return std::string(reason) + " Got " + describe(source.array) + ". " + remedy;
}

// Throws what is in the way of sharing the array's memory, or of copying it.
[[noreturn]] inline void throw_refused(const array_source& source, caller who = caller::cpp) {
  switch (source.why) {
    case refusal::unsupported_dtype:
      throw_unsupported_dtype(source.array->descr, describe(source.array));
    case refusal::masked:
      throw_masked(describe(source.array));
    case refusal::too_large:
      throw py::value_error("given numpy array spans more bytes than a tensor can address. Got " +
                            describe(source.array) +
                            ". Check the shape and strides that were given to as_strided.");
    default:
      throw py::value_error(why_not_shared(source, who));
  }
}

inline array_source require_array(py::handle object) {
  if (!object || !api().is_array(object)) {
    throw py::type_error("expected np.ndarray (got " +
                         (object ? type_name(object) : "a null handle") +
                         "). Pass an array, or take other data with ndtorch::as_tensor.");
  }
  array_source source = read_array(object);
  if (source.why != refusal::none) throw_refused(source);
  return source;
}

// A new array over memory that `base` keeps alive, of the given dtype (a reference it takes over).
// Strides are in elements. Throws what NumPy raises.
inline py::array make_array(void* data, bool writable, int_list sizes, int_list strides,
                            array_descr* dtype, py::object base) {
  static_assert(sizeof(Py_ssize_t) == sizeof(std::int64_t), "ndtorch needs a 64-bit platform");
  auto owned = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(dtype));
  check_interpreter();
  std::array<Py_ssize_t, max_ndim> byte_strides;
  const auto item = static_cast<std::size_t>(item_size(dtype));
  // Unsigned: the stride of an axis that is never stepped along can be any number.
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    byte_strides[i] = static_cast<Py_ssize_t>(static_cast<std::size_t>(strides[i]) * item);
  }
  // NumPy allocates where the pointer is null, as that of an empty tensor may be.
  alignas(64) static char nothing[64];
  PyObject* const made = api().new_from_descr(
      api().array_type, reinterpret_cast<array_descr*>(owned.release().ptr()),
      static_cast<int>(sizes.size()), reinterpret_cast<const Py_ssize_t*>(sizes.data()),
      byte_strides.data(), data != nullptr ? data : nothing, writable ? array_flag::writeable : 0,
      nullptr);
  if (made == nullptr) throw_python_error();
  // PyArray_SetBaseObject would skip over a base that is itself a view; the original is wanted.
  reinterpret_cast<array_object*>(made)->base = base.release().ptr();
  return py::reinterpret_steal<py::array>(made);
}

}  // namespace detail
}  // namespace ndtorch
