#include <ndtorch/from_numpy.h>

#include "tensor_capsule.h"

namespace py = pybind11;

void bind_import(py::module_& module) {
  module.def("from_numpy", [](py::handle array) { return test::wrap(ndtorch::from_numpy(array)); });
  module.def("tensor", [](py::handle data) { return test::wrap(ndtorch::tensor(data)); });
  module.def("api_in_import",
             [] { return reinterpret_cast<std::uintptr_t>(&ndtorch::detail::api()); });
}
