// The column of torch/extension.h: its caster of at::Tensor, which is in the header here.
#include <ATen/core/Tensor.h>
#include <pybind11/pybind11.h>
#include <torch/csrc/utils/pybind.h>

#include <optional>

#include "peers.h"

namespace {

float total(const at::Tensor& x) { return x.sum().item<float>(); }
void scale(at::Tensor x) { x.mul_(2); }

std::optional<at::Tensor> kept;
void keep(const at::Tensor& x) { kept = x; }
bool drops() { return drops_beside_the_gil<py::gil_scoped_release>(kept); }

}  // namespace

PYBIND11_MODULE(peer_torch, module) {
  module.def("total", &total, py::arg("x"));
  module.def("scale", &scale, py::arg("x"));
  module.def("keep", &keep, py::arg("x"));
  module.def("drops", &drops);
}
