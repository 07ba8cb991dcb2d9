// Arrays and their dtypes in an error's words.
#pragma once

#include <ndtorch/detail/numpy/api.h>
#include <ndtorch/detail/python/errors.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <string>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// "float32", ">f8", "[('x', '<f4')]".
inline std::string dtype_text(const array_descr* dtype) {
  return utf8(py::str(py::handle(reinterpret_cast<PyObject*>(const_cast<array_descr*>(dtype)))));
}

inline std::string describe(const array_object* array) {
  const auto ndim = static_cast<std::size_t>(array->nd);
  return "an array of shape " + tuple_text(array->dimensions, ndim) + ", strides " +
         tuple_text(array->strides, ndim) + " bytes, dtype " + dtype_text(array->descr);
}

}  // namespace detail
}  // namespace ndtorch
