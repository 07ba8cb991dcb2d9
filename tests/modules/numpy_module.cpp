// A module that uses NumPy's C API itself, in the way that NumPy's manual says: one symbol of its own
// for the table, which this file fills and the others refer to.
#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL numpy_module_ARRAY_API
#include <numpy/arrayobject.h>
// NumPy's headers come first here, and last in the other files.
#include <ndtorch/ndtorch.h>

#include "tensor_capsule.h"

namespace py = pybind11;

void bind_import(py::module_& module);
void bind_export(py::module_& module);

PYBIND11_MODULE(numpy_module, module) {
  if (_import_array() < 0) throw py::error_already_set();  // what import_array() calls
  bind_import(module);
  bind_export(module);
  // Made by NumPy's API, shared by ndtorch, read by NumPy's API.
  module.def("same_memory", [] {
    npy_intp sizes[] = {2, 3};
    const auto made = py::reinterpret_steal<py::object>(PyArray_ZEROS(2, sizes, NPY_FLOAT32, 0));
    const at::Tensor tensor = ndtorch::from_numpy(made);
    tensor.mutable_data_ptr<float>()[5] = 7;
    auto* const array = reinterpret_cast<PyArrayObject*>(made.ptr());
    return *static_cast<const float*>(PyArray_GETPTR2(array, 1, 2)) == 7;
  });
}
