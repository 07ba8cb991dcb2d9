// The functions of array -> tensor that both modules have, each compiled in a file of its own.
#pragma once

#include <ndtorch/from_numpy.h>

#include <cstdint>

#include "tensor_capsule.h"

namespace test {

inline void bind_both_imports(py::module_& module) {
  module.def("from_numpy", [](py::handle array) { return wrap(ndtorch::from_numpy(array)); });
  module.def("api_in_import",
             [] { return reinterpret_cast<std::uintptr_t>(&ndtorch::detail::api()); });
}

}  // namespace test
