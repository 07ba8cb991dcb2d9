// The struct is opaque here: only NumPy's functions read it.
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include "bind_export.h"

#define PY_ARRAY_UNIQUE_SYMBOL numpy_module_ARRAY_API
#define NO_IMPORT_ARRAY
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>

namespace py = pybind11;

void bind_export(py::module_& module) {
  test::bind_both_exports(module);
  module.def("sum", [](const py::capsule& tensor) {
    const py::array array = ndtorch::numpy(test::unwrap(tensor));
    const auto flat = py::reinterpret_steal<py::object>(
        PyArray_Ravel(reinterpret_cast<PyArrayObject*>(array.ptr()), NPY_CORDER));
    return py::reinterpret_steal<py::object>(
        PyArray_Sum(reinterpret_cast<PyArrayObject*>(flat.ptr()), 0, NPY_FLOAT64, nullptr));
  });
  // The exception of another module's function, as C++ code sees it.
  module.def("is_type_error", [](const py::function& function, const py::object& argument) {
    try {
      function(argument);
      return false;
    } catch (const py::error_already_set& error) {
      return error.matches(PyExc_TypeError);
    }
  });
}
