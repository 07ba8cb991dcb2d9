// LibTorch's errors in functions of your own.
#pragma once

#include <c10/util/Exception.h>
#include <ndtorch/detail/python/errors.h>
#include <ndtorch/detail/torch/errors.h>
#include <pybind11/pybind11.h>

#include <exception>
#include <new>
#include <stdexcept>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Raises an exception of torch's own, which all are RuntimeErrors, where Python has imported torch.
inline void raise_torch_error(const char* name, const char* text) {
  py::object type = py::reinterpret_borrow<py::object>(PyExc_RuntimeError);
  const auto module =
      py::reinterpret_steal<py::object>(PyImport_GetModule(py::str("torch._C").ptr()));
  if (!module) PyErr_Clear();
  if (module) type = py::getattr(module, name, type);
  PyErr_SetString(type.ptr(), text);
}

// Sets the Python error of what a function threw; throws on what isn't LibTorch's.
inline void set_python_error(std::exception_ptr thrown) {
  bool is_libtorchs = false;
  try {
    with_python_errors([&] {
      try {
        std::rethrow_exception(std::move(thrown));
      } catch (const c10::LinAlgError& error) {
        raise_torch_error("_LinAlgError", error.what_without_backtrace());
      } catch (const c10::OutOfMemoryError& error) {
        raise_torch_error("OutOfMemoryError", error.what_without_backtrace());
      } catch (const c10::BufferError& error) {
        PyErr_SetString(PyExc_BufferError, error.what_without_backtrace());
      } catch (const c10::Error&) {
        is_libtorchs = true;
        throw;
      }
    });
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const out_of_memory& error) {
    PyErr_SetString(PyExc_MemoryError, error.what());
  } catch (const std::runtime_error& error) {
    if (!is_libtorchs) throw;
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
}

}  // namespace detail

// From here on LibTorch's errors reach Python out of all functions of this extension module as they do out of
// PyTorch's: with their own type (TORCH_CHECK_VALUE is a ValueError, torch.linalg's errors are
// torch.linalg.LinAlgError where torch is imported), and with their text alone, without C++'s backtrace. Call it
// once, in PYBIND11_MODULE. Needs the GIL. Other exceptions stay what pybind11 makes of them.
inline void translate_errors(const py::module_&) {
  py::register_local_exception_translator([](std::exception_ptr thrown) {
    if (thrown) detail::set_python_error(std::move(thrown));
  });
}

}  // namespace ndtorch
