// Objects with Python's buffer protocol: bytes, bytearray, memoryview, array.array, mmap, ctypes arrays.
#pragma once

#include <c10/util/StringUtil.h>
#include <ndtorch/detail/holders/protocol.h>
#include <ndtorch/detail/numpy/array.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Whether a buffer's elements are C's char, as those of a ctypes array of c_char are, and single items of
// bytes to Python. (NumPy's own text of length 1 is `1s`.)
inline bool holds_chars(const Py_buffer& buffer) {
  if (buffer.format == nullptr || buffer.itemsize != 1 || buffer.suboffsets != nullptr)
    return false;
  const std::size_t order = std::strspn(buffer.format, "@=<>!");
  return std::strcmp(buffer.format + order, "c") == 0;
}

// The memory of a buffer as an array, whose own description of it NumPy works out: the format
// string, byte order, strides and whether it may be written. Chars are read as bytes are.
inline py::object buffer_array(py::handle object) {
  const auto memory = py::reinterpret_steal<py::object>(PyMemoryView_FromObject(object.ptr()));
  if (!memory) throw_python_error();
  if (const Py_buffer& buffer = *PyMemoryView_GET_BUFFER(memory.ptr()); holds_chars(buffer)) {
    const auto ndim = static_cast<std::size_t>(buffer.ndim);
    return make_array(buffer.buf, buffer.readonly == 0,
                      {reinterpret_cast<const std::int64_t*>(buffer.shape), ndim},
                      {reinterpret_cast<const std::int64_t*>(buffer.strides), ndim},
                      new_descr(at::kByte), memory);
  }
  try {
    return py::module_::import("numpy").attr("asarray")(memory);
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_ValueError) && !error.matches(PyExc_RuntimeError)) throw;
    throw py::type_error(c10::str("can't convert the buffer of a ", type_name(object),
                                  " of format ", utf8(py::repr(memory.attr("format"))),
                                  " and shape ", utf8(py::repr(memory.attr("shape"))), ". ",
                                  error_text(error)));
  }
}

inline constexpr protocol buffer_protocol = {
    ", a buffer: as_tensor reads it as",
    [](py::handle object) { return PyObject_CheckBuffer(object.ptr()) != 0; },
    &buffer_array,
    /*share=*/nullptr,
    /*look_into=*/nullptr,
    /*may_copy=*/false};

}  // namespace detail
}  // namespace ndtorch
