// The column of ndtorch in the front page's table.
#include <ndtorch/ndtorch.h>
#include <pybind11/pybind11.h>

#include <optional>

#include "peers.h"

namespace py = pybind11;
using ndtorch::tensor_t;

namespace {

float total(const tensor_t<const float>& x) { return x.sum().item<float>(); }
void scale(const tensor_t<float>& x) { x.mul_(2); }

std::optional<at::Tensor> kept;
void keep(const tensor_t<>& x) { kept = x; }
bool drops() { return drops_beside_the_gil<py::gil_scoped_release>(kept); }

}  // namespace

PYBIND11_MODULE(peer_ndtorch, module) {
  module.def("total", &total, py::arg("x"));
  module.def("scale", &scale, py::arg("x"));
  module.def("keep", &keep, py::arg("x"));
  module.def("drops", &drops);
  ndtorch::explain_mismatches(module);
}
