#pragma once

#include <pybind11/pybind11.h>

#include <new>

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

}  // namespace detail
}  // namespace ndtorch
