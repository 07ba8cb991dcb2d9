// The array struct is an open one here (no NPY_NO_DEPRECATED_API), as old code has it.
#include "bind_import.h"

#define PY_ARRAY_UNIQUE_SYMBOL numpy_module_ARRAY_API
#define NO_IMPORT_ARRAY
#include <numpy/arrayobject.h>

namespace py = pybind11;

void bind_import(py::module_& module) {
  test::bind_both_imports(module);
  module.def("tensor", [](py::handle data) {
    const auto copy = py::reinterpret_steal<py::object>(
        PyArray_FROM_OF(data.ptr(), NPY_ARRAY_ENSURECOPY | NPY_ARRAY_CARRAY));
    if (!copy) throw py::error_already_set();
    return test::wrap(ndtorch::tensor(copy));
  });
}
