// The exceptions that ndtorch throws beside pybind11's own, and the words all messages share.
#pragma once

#include <pybind11/pybind11.h>

#include <cstddef>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

// Here, since all that calls Python includes this header.
#if PY_VERSION_HEX < 0x030A0000
#error "ndtorch needs Python 3.10 or newer"
#endif
#if PYBIND11_VERSION_HEX < 0x020D0000
#error "ndtorch needs pybind11 2.13 or newer"
#endif
// Such a module links, and fails when Python imports it. CMake says where LibTorch is of libc++.
#if defined(_LIBCPP_VERSION) && defined(__linux__) && !defined(__ANDROID__) && \
    !defined(NDTORCH_LIBTORCH_HAS_LIBCXX)
#error \
    "ndtorch: LibTorch is built with libstdc++, and this with libc++. Compile without -stdlib=libc++"
#endif

namespace ndtorch {

namespace py = pybind11;

namespace [[gnu::visibility("hidden")]] detail {

// Throws what Python has raised. Where there is no memory to fetch it, that is thrown, and the error
// does not stay pending.
[[noreturn]] inline void throw_python_error() {
#if PY_VERSION_HEX < 0x030C0000
  // Where there is no memory to make the exception, Python makes a MemoryError of it, which pybind11
  // takes for a mistake when it comes to that: it has to be one before.
  PyObject* type = nullptr;
  PyObject* value = nullptr;
  PyObject* trace = nullptr;
  PyErr_Fetch(&type, &value, &trace);
  PyErr_NormalizeException(&type, &value, &trace);
  PyErr_Restore(type, value, trace);
#endif
  try {
    throw py::error_already_set();
  } catch (const std::bad_alloc&) {
    PyErr_Clear();
    throw;
  }
}

// pybind11 has no C++ type for NotImplementedError, which PyTorch raises for meta tensors.
class not_implemented_error : public py::builtin_exception {
 public:
  using py::builtin_exception::builtin_exception;
  void set_error() const override { PyErr_SetString(PyExc_NotImplementedError, what()); }
};

// Nor for AssertionError, which PyTorch raises for streams that can't be.
class assertion_error : public py::builtin_exception {
 public:
  using py::builtin_exception::builtin_exception;
  void set_error() const override { PyErr_SetString(PyExc_AssertionError, what()); }
};

// The CPU has no more memory: MemoryError in Python, as NumPy raises it.
class out_of_memory : public std::bad_alloc {
 public:
  explicit out_of_memory(std::string text) : text_(std::move(text)) {}
  const char* what() const noexcept override { return text_.c_str(); }

 private:
  std::string text_;
};

// Another device hasn't: RuntimeError, as PyTorch raises it.
class device_out_of_memory : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline std::string type_name(py::handle object) { return Py_TYPE(object.ptr())->tp_name; }

// Whether the pending Python error says nothing of an object: an interrupt, or no memory.
inline bool error_is_of_no_object() {
  return PyErr_ExceptionMatches(PyExc_Exception) == 0 ||
         PyErr_ExceptionMatches(PyExc_MemoryError) != 0;
}

// Clears what an object raised; throws what is of no object.
inline void clear_error() {
  if (PyErr_Occurred() != nullptr && error_is_of_no_object()) throw_python_error();
  PyErr_Clear();
}

// A str in UTF-8, whatever it holds: what UTF-8 has no form for, as in a file's name, is escaped.
inline std::string utf8(const py::object& text) {
  const auto bytes = py::reinterpret_steal<py::object>(
      PyUnicode_AsEncodedString(text.ptr(), "utf-8", "backslashreplace"));
  if (!bytes) throw_python_error();
  return {PyBytes_AS_STRING(bytes.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes.ptr()))};
}

// What an exception says. One whose text raises has its type's name alone.
inline std::string error_text(const py::error_already_set& error) {
  const auto text = py::reinterpret_steal<py::object>(PyObject_Str(error.value().ptr()));
  if (text) return utf8(text);
  clear_error();
  return "a " + type_name(error.value()) + " without a text";
}

// As py::make_tuple and py::dict, which leave a Python error pending where there is no memory.
template <class... Args>
py::object build_value(const char* format, Args... args) {
  auto value = py::reinterpret_steal<py::object>(Py_BuildValue(format, args...));
  if (!value) throw_python_error();
  return value;
}

// Conversions touch Python objects: without the GIL they corrupt the interpreter silently. The
// check costs as much as a small conversion, so only debug builds have it.
inline void check_gil([[maybe_unused]] const char* function) {
#ifndef NDEBUG
  if (PyGILState_Check() == 0) {
    throw std::runtime_error(std::string("ndtorch::") + function +
                             " was called without the GIL: take it first, with "
                             "pybind11::gil_scoped_acquire");
  }
#endif
}

// "(3, 4)", as Python prints a tuple.
template <class Int>
std::string tuple_text(const Int* values, std::size_t count) {
  std::string text = "(";
  for (std::size_t i = 0; i < count; ++i) {
    if (i > 0) text += ", ";
    text += std::to_string(values[i]);
  }
  return text + (count == 1 ? ",)" : ")");
}

}  // namespace detail
}  // namespace ndtorch
