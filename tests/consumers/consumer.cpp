// The extension that each project here builds, and check.py calls.
#include <ATen/ops/mul.h>
#include <ndtorch/ndtorch.h>

#define CONSUMER_TEXT(x) #x
#define CONSUMER_VERSION(major, minor, patch) \
  CONSUMER_TEXT(major) "." CONSUMER_TEXT(minor) "." CONSUMER_TEXT(patch)

namespace py = pybind11;
using ndtorch::tensor_t;

PYBIND11_MODULE(consumer, module) {
  module.def("add_one", [](tensor_t<float> x) { x.add_(1); });
  module.def("twice", [](tensor_t<const float> x) { return tensor_t<float>(x.mul(2)); });
  module.def("squares",
             [](py::handle x) { return ndtorch::to_torch(ndtorch::as_tensor(x).square()); });
  module.attr("ndtorch") =
      CONSUMER_VERSION(NDTORCH_VERSION_MAJOR, NDTORCH_VERSION_MINOR, NDTORCH_VERSION_PATCH);
  module.attr("pybind11") =
      CONSUMER_VERSION(PYBIND11_VERSION_MAJOR, PYBIND11_VERSION_MINOR, PYBIND11_VERSION_MICRO);
  module.attr("standard") = __cplusplus;
}
