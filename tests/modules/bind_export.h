// The functions of tensor -> array that both modules have, each compiled in a file of its own.
#pragma once

#include <ndtorch/to_numpy.h>

#include <cstdint>

#include "tensor_capsule.h"

namespace test {

inline void bind_both_exports(py::module_& module) {
  module.def("numpy", [](const py::capsule& tensor) { return ndtorch::numpy(unwrap(tensor)); });
  module.def("to_numpy",
             [](const py::capsule& tensor) { return ndtorch::to_numpy(unwrap(tensor)); });
  module.def("add_one", [](const py::capsule& tensor) { unwrap(tensor).add_(1); });
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

}  // namespace test
