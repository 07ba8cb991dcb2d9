// Objects that NumPy makes an array of, such as tables of pandas: of their memory or of a copy.
#pragma once

#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/numpy/abi.h>
#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/numpy/describe.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// NumPy asks the object itself, as a proxy may answer for another one. Not a sequence, which can be read
// without it, nor a class, which has what its objects have.
inline bool is_array_like(py::handle object) {
  const py::handle type = py::type::handle_of(object);
  const bool may_be_proxy = PySequence_Check(object.ptr()) == 0 && PyType_Check(object.ptr()) == 0;
  for (const char* name : {"__array_struct__", "__array_interface__", "__array__"}) {
    if (has_attribute(type, name)) return true;
    if (may_be_proxy && has_attribute(object, name)) return true;
  }
  return false;
}

// pandas makes objects of columns of several dtypes, and of numbers that may be missing, also where none
// is.
inline void check_table(py::handle object, py::handle array) {
  if (!api().is_array(array)) return;
  const array_descr* const dtype = reinterpret_cast<const array_object*>(array.ptr())->descr;
  if (dtype->kind != 'O' || !has_attribute(py::type::handle_of(object), "to_numpy")) return;
  throw py::type_error(c10::str(
      "can't convert a ", type_name(object), ", of which np.asarray() makes an array of dtype ",
      dtype_text(dtype), ". The only supported types are: ", supported_dtypes(),
      ". Convert it to one of these first, in pandas with "
      "data.to_numpy(dtype='float32', na_value=np.nan)."));
}

// Whether __array_interface__ has a mask that masks something. NumPy doesn't look at it.
inline bool has_masked_interface(py::handle object) {
  const auto found = py::reinterpret_steal<py::object>(
      PyObject_GetAttrString(object.ptr(), "__array_interface__"));
  if (!found) clear_error();
  if (!found || !py::isinstance<py::dict>(found)) return false;
  const auto interface = py::reinterpret_borrow<py::dict>(found);
  if (!interface.contains("mask") || interface["mask"].is_none()) return false;
  return py::module_::import("numpy").attr("any")(interface["mask"]).cast<bool>();
}

// Where NumPy gives a masked array it stays one, for whoever reads it to refuse.
inline py::object array_of_array_like(py::handle object) {
  if (is_masked(object)) throw_masked("a " + type_name(object));
  if (has_masked_interface(object)) {
    throw py::type_error(c10::str("can't convert the __array_interface__ of a ", type_name(object),
                                  ": its mask would be lost. Fill the masked values first, and "
                                  "leave the mask out."));
  }
  py::object array = py::module_::import("numpy").attr("asanyarray")(object);
  check_table(object, array);
  return array;
}

inline constexpr protocol array_like_protocol = {": as_tensor reads it, with np.asarray(), as",
                                                 &is_array_like,
                                                 &array_of_array_like,
                                                 /*share=*/nullptr,
                                                 /*look_into=*/nullptr,
                                                 /*may_copy=*/true};

}  // namespace detail
}  // namespace ndtorch
