// The array struct is an open one here (no NPY_NO_DEPRECATED_API), as old code has it.
#include <ndtorch/from_numpy.h>
#define PY_ARRAY_UNIQUE_SYMBOL numpy_module_ARRAY_API
#define NO_IMPORT_ARRAY
#include <numpy/arrayobject.h>

#include "tensor_capsule.h"

namespace py = pybind11;

void bind_import(py::module_& module) {
  module.def("from_numpy", [](py::handle array) { return test::wrap(ndtorch::from_numpy(array)); });
  module.def("tensor", [](py::handle data) {
    const auto copy = py::reinterpret_steal<py::object>(
        PyArray_FROM_OF(data.ptr(), NPY_ARRAY_ENSURECOPY | NPY_ARRAY_CARRAY));
    if (!copy) throw py::error_already_set();
    return test::wrap(ndtorch::tensor(copy));
  });
  module.def("api_in_import",
             [] { return reinterpret_cast<std::uintptr_t>(&ndtorch::detail::api()); });
}
