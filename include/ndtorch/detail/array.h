// The NumPy side: an array described as a strided_view, and an array built from one.
#pragma once

#include <c10/util/safe_numerics.h>
#include <ndtorch/detail/error.h>
#include <ndtorch/detail/numpy_api.h>
#include <ndtorch/detail/strided_view.h>
#include <ndtorch/dtype.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

namespace ndtorch {
namespace detail __attribute__((visibility("hidden"))) {

// Why an array's memory can't be a tensor's. All of these can be copied.
enum class refusal { none, odd_stride, negative_stride, byte_order, misaligned, too_large };

struct array_source {
  const array_object* array;
  const dtype_entry* dtype;
  refusal why;
  strided_view view;  // where a view is refused, all but its strides and nbytes still hold
};

// Fills in strides and nbytes. Strides of an axis that is never stepped along play no part; a bad
// one among them is replaced, since LibTorch takes no negative stride on any axis.
inline refusal read_strides(const array_object* array, strided_view& view) {
  const std::int64_t item = item_size(array->descr);
  bool empty = false;
  for (int i = 0; i < view.ndim; ++i) empty |= array->dimensions[i] == 0;

  std::uint64_t extent = 1;  // elements from the first to the last
  bool overflow = false;
  for (int i = 0; i < view.ndim; ++i) {
    const std::int64_t size = array->dimensions[i];
    const std::int64_t bytes = array->strides[i];
    const std::int64_t stride = bytes / item;
    const bool odd = stride * item != bytes;
    if (empty || size == 1) {
      view.stride_of[i] = odd || stride < 0 ? 1 : stride;
      continue;
    }
    if (odd) return refusal::odd_stride;
    if (stride < 0) return refusal::negative_stride;
    view.stride_of[i] = stride;
    std::uint64_t steps = 0;
    overflow |= c10::mul_overflows(static_cast<std::uint64_t>(size - 1),
                                   static_cast<std::uint64_t>(stride), &steps);
    overflow |= c10::add_overflows(extent, steps, &extent);
  }
  overflow |= c10::mul_overflows(extent, static_cast<std::uint64_t>(item), &extent);
  if (overflow || extent > static_cast<std::uint64_t>(INT64_MAX)) return refusal::too_large;
  view.nbytes = empty ? 0 : static_cast<std::size_t>(extent);

  if (array->descr->byteorder == NPY_OPPBYTE) return refusal::byte_order;
  if ((array->flags & NPY_ARRAY_ALIGNED) == 0) return refusal::misaligned;
  return refusal::none;
}

// A subclass is its plain array, but a mask says that some of the values are not to be used.
inline void check_not_masked(py::handle object) {
  if (Py_TYPE(object.ptr()) == api().array_type) return;
  const auto name = py::str("numpy.ma");
  const auto ma = py::reinterpret_steal<py::object>(PyImport_GetModule(name.ptr()));
  if (!ma) {
    PyErr_Clear();
    return;  // never imported, so there is no masked array
  }
  if (!py::isinstance(object, ma.attr("MaskedArray"))) return;
  if (!ma.attr("is_masked")(object).cast<bool>()) return;
  throw py::type_error(
      c10::str("can't convert a masked array with masked values, its mask would be lost. Got ",
               describe(reinterpret_cast<const array_object*>(object.ptr())),
               ". Fill it first with array.filled(value), or drop the mask with array.data."));
}

// Throws type_error for a masked array and for a dtype outside the table; says in `why` whether the
// memory can be shared. `object` must be an array.
inline array_source read_array(py::handle object) {
  check_not_masked(object);
  array_source source;
  source.array = reinterpret_cast<const array_object*>(object.ptr());
  source.dtype = find_dtype(source.array->descr);
  if (source.dtype == nullptr) {
    throw_unsupported_dtype(source.array->descr, describe(source.array));
  }

  strided_view& view = source.view;
  view.data = source.array->data;
  view.dtype = source.dtype->scalar_type;
  view.writable = (source.array->flags & NPY_ARRAY_WRITEABLE) != 0;
  view.ndim = source.array->nd;
  for (int i = 0; i < view.ndim; ++i) view.size_of[i] = source.array->dimensions[i];
  source.why = read_strides(source.array, view);
  return source;
}

inline array_source require_array(py::handle object) {
  if (!object || !api().is_array(object)) {
    throw py::type_error(c10::str("expected np.ndarray (got ",
                                  object ? type_name(object) : "a null handle",
                                  "). Pass an array, or copy other data with ndtorch::tensor."));
  }
  return read_array(object);
}

// The words are PyTorch 2.13's (torch/csrc/utils/tensor_numpy.cpp) where it has any.
[[noreturn]] inline void throw_refused(const array_source& source) {
  const char* reason = "";
  const char* remedy = "";
  switch (source.why) {
    case refusal::none:
      break;
    case refusal::negative_stride:
      reason =
          "At least one stride in the given numpy array is negative, and tensors with negative "
          "strides are not currently supported. (You can probably work around this by making a "
          "copy of your array  with array.copy().) ";
      remedy = "Copy it with ndtorch::tensor, or with array.copy() in Python.";
      break;
    case refusal::odd_stride:
      reason =
          "given numpy array strides not a multiple of the element byte size. Copy the numpy array "
          "to reallocate the memory.";
      remedy = "Copy it with ndtorch::tensor, or with array.copy() in Python.";
      break;
    case refusal::byte_order:
      reason =
          "given numpy array has byte order different from the native byte order. Conversion "
          "between byte orders is currently not supported.";
      remedy =
          "Copy it with ndtorch::tensor, or with array.astype(array.dtype.newbyteorder('=')) in "
          "Python.";
      break;
    case refusal::misaligned:
      reason = "given numpy array is not aligned for its dtype.";
      remedy = "Copy it with ndtorch::tensor, or with array.copy() in Python.";
      break;
    case refusal::too_large:
      reason = "given numpy array spans more bytes than a tensor can address.";
      remedy = "Check the shape and strides that were given to as_strided.";
      break;
  }
  throw py::value_error(c10::str(reason, " Got ", describe(source.array), ". ", remedy));
}

// A new array over the view's memory, of the given dtype (a reference it takes over), kept alive by
// `base`. Throws what NumPy raises.
inline py::array make_array(const strided_view& view, PyArray_Descr* dtype, py::object base) {
  std::array<npy_intp, max_ndim> sizes;
  std::array<npy_intp, max_ndim> strides;
  const npy_intp item = item_size(dtype);
  for (int i = 0; i < view.ndim; ++i) {
    sizes[i] = static_cast<npy_intp>(view.size_of[i]);
    strides[i] = static_cast<npy_intp>(view.stride_of[i]) * item;
  }
  // NumPy allocates where the pointer is null, as that of an empty tensor may be.
  alignas(64) static char nothing[64];
  void* const data = view.data != nullptr ? view.data : nothing;
  PyObject* const made =
      api().new_from_descr(api().array_type, dtype, view.ndim, sizes.data(), strides.data(), data,
                           view.writable ? NPY_ARRAY_WRITEABLE : 0, nullptr);
  if (made == nullptr) throw py::error_already_set();
  // PyArray_SetBaseObject would skip over a base that is itself a view; the original is wanted.
  reinterpret_cast<array_object*>(made)->base = base.release().ptr();
  return py::reinterpret_steal<py::array>(made);
}

}  // namespace detail
}  // namespace ndtorch
