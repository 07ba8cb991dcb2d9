#include "bind_import.h"

namespace py = pybind11;

void bind_import(py::module_& module) {
  test::bind_both_imports(module);
  module.def("tensor", [](py::handle data) { return test::wrap(ndtorch::tensor(data)); });
}
