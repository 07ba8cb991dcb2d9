// The struct is opaque here: only NumPy's functions read it.
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#include <ndtorch/to_numpy.h>
#define PY_ARRAY_UNIQUE_SYMBOL numpy_module_ARRAY_API
#define NO_IMPORT_ARRAY
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>

#include "tensor_capsule.h"

namespace py = pybind11;

void bind_export(py::module_& module) {
  module.def("numpy",
             [](const py::capsule& tensor) { return ndtorch::numpy(test::unwrap(tensor)); });
  module.def("to_numpy",
             [](const py::capsule& tensor) { return ndtorch::to_numpy(test::unwrap(tensor)); });
  module.def("sum", [](const py::capsule& tensor) {
    const py::array array = ndtorch::numpy(test::unwrap(tensor));
    const auto flat = py::reinterpret_steal<py::object>(
        PyArray_Ravel(reinterpret_cast<PyArrayObject*>(array.ptr()), NPY_CORDER));
    return py::reinterpret_steal<py::object>(
        PyArray_Sum(reinterpret_cast<PyArrayObject*>(flat.ptr()), 0, NPY_FLOAT64, nullptr));
  });
  module.def("add_one", [](const py::capsule& tensor) { test::unwrap(tensor).add_(1); });
  module.def("api_in_export",
             [] { return reinterpret_cast<std::uintptr_t>(&ndtorch::detail::api()); });
  module.def("waiting_references", [] {
    ndtorch::detail::object_deleter();
    return reinterpret_cast<std::uintptr_t>(ndtorch::detail::known_waiting_references().load());
  });
#if __has_include(<c10/core/StorageMaterializer.h>)
  module.def("lock_of_first_writes",
             [] { return reinterpret_cast<std::uintptr_t>(&ndtorch::detail::moving()); });
#endif
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
