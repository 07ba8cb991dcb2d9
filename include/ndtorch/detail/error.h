// The exceptions that ndtorch throws beside pybind11's own, and the words all messages share.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/interpreter.h>
#include <ndtorch/detail/numpy_api.h>
#include <ndtorch/detail/python_error.h>
#include <pybind11/pybind11.h>

#include <cstddef>
#include <exception>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>

#if defined(NDTORCH_TORCH_PYTHON)  // set by the CMake target ndtorch::torch_python
#include <torch/csrc/Exceptions.h>
#endif

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

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

// What c10's allocators say beside other words.
inline bool is_about_cpu_memory(const std::string& text) {
  return text.find("DefaultCPUAllocator: can't allocate memory") != std::string::npos;
}

// Runs LibTorch code and turns its exceptions into those that the same call raises in Python,
// with their text but without the C++ backtrace (types: torch/csrc/Exceptions.h, PyTorch 2.13).
// Only a CPU that has no memory is no RuntimeError here.
template <class Function>
decltype(auto) with_python_errors(Function&& function) {
  try {
    return std::forward<Function>(function)();
  } catch (const c10::IndexError& error) {
    throw py::index_error(error.what_without_backtrace());
  } catch (const c10::ValueError& error) {
    throw py::value_error(error.what_without_backtrace());
  } catch (const c10::TypeError& error) {
    throw py::type_error(error.what_without_backtrace());
  } catch (const c10::NotImplementedError& error) {
    throw not_implemented_error(error.what_without_backtrace());
  } catch (const c10::OutOfMemoryError& error) {
    throw device_out_of_memory(error.what_without_backtrace());
  } catch (const c10::Error& error) {
    const std::string text = error.what_without_backtrace();
    if (is_about_cpu_memory(text)) throw out_of_memory(text);
    throw std::runtime_error(text);
#if defined(NDTORCH_TORCH_PYTHON)
  } catch (::python_error& error) {  // of a __torch_dispatch__
    error.restore();
    throw_python_error();
#else
  } catch (const std::exception&) {
    // It may be LibTorch's python_error, which only libtorch_python has: what Python raised is pending.
    if (has_gil() && PyErr_Occurred() != nullptr) throw_python_error();
    throw;
#endif
  }
}

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
  return c10::str("a ", type_name(error.value()), " without a text");
}

// What a function returns, or what `refused` makes of the text of its exception. Throws on what isn't
// about the object at hand: an interrupt, or no memory.
template <class Function, class Refused>
auto value_or_refusal(Function&& function, Refused&& refused) {
  try {
    return with_python_errors(std::forward<Function>(function));
  } catch (py::error_already_set& error) {
    if (!error.matches(PyExc_Exception) || error.matches(PyExc_MemoryError)) throw;
    return std::forward<Refused>(refused)(error_text(error));
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const device_out_of_memory&) {
    throw;
  } catch (const std::exception& error) {
    return std::forward<Refused>(refused)(std::string(error.what()));
  }
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
  for (std::size_t i = 0; i < count; ++i) text += c10::str(i > 0 ? ", " : "", values[i]);
  return text + (count == 1 ? ",)" : ")");
}

// "float32", ">f8", "[('x', '<f4')]".
inline std::string dtype_text(const array_descr* dtype) {
  return utf8(py::str(py::handle(reinterpret_cast<PyObject*>(const_cast<array_descr*>(dtype)))));
}

inline std::string describe(const array_object* array) {
  const auto ndim = static_cast<std::size_t>(array->nd);
  return c10::str("an array of shape ", tuple_text(array->dimensions, ndim), ", strides ",
                  tuple_text(array->strides, ndim), " bytes, dtype ", dtype_text(array->descr));
}

inline std::string describe(const at::Tensor& tensor) {
  // Sparse tensors of some kinds throw where they are asked for strides.
  const std::string memory = tensor.layout() == at::kStrided
                                 ? c10::str("strides ", tensor.strides(), " elements")
                                 : c10::str("layout ", tensor.layout());
  return c10::str("a tensor of shape ", tensor.sizes(), ", ", memory, ", dtype ",
                  tensor.scalar_type(), ", device ", tensor.device());
}

}  // namespace detail
}  // namespace ndtorch
