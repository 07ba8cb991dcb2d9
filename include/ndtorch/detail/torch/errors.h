// LibTorch's exceptions as Python raises them, and tensors in an error's words.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/Exception.h>
#include <c10/util/StringUtil.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/python/interpreter.h>
#include <ndtorch/dtype.h>
#include <pybind11/pybind11.h>

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
