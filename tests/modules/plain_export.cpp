#include <ndtorch/to_numpy.h>

#include "tensor_capsule.h"

namespace py = pybind11;

void bind_export(py::module_& module) {
  module.def("numpy",
             [](const py::capsule& tensor) { return ndtorch::numpy(test::unwrap(tensor)); });
  module.def("to_numpy",
             [](const py::capsule& tensor) { return ndtorch::to_numpy(test::unwrap(tensor)); });
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
}
