// The column of from_blob by hand: the third attempt of docs/from_blob.md, as it is posted most.
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "peers.h"

namespace py = pybind11;

namespace {

bool dropped_with_gil = true;

struct deleter {
  void operator()(void*) const { dropped_with_gil = PyGILState_Check() != 0; }
  py::object kept;
};

at::Tensor to_tensor(const py::array_t<float>& array) {
  const std::vector<std::int64_t> sizes(array.shape(), array.shape() + array.ndim());
  void* const data = const_cast<float*>(array.data());
  return at::from_blob(data, sizes, deleter{array}, at::kFloat);
}

float total(const py::array_t<float>& x) { return to_tensor(x).sum().item<float>(); }
void scale(const py::array_t<float>& x) { to_tensor(x).mul_(2); }

std::optional<at::Tensor> kept;
void keep(const py::array_t<float>& x) { kept = to_tensor(x); }
// The array stays alive meanwhile, by the test's own reference: its count is changed without the GIL.
bool drops() { return drops_beside_the_gil<py::gil_scoped_release>(kept); }

}  // namespace

PYBIND11_MODULE(peer_by_hand, module) {
  module.def("total", &total, py::arg("x"));
  module.def("scale", &scale, py::arg("x"));
  module.def("keep", &keep, py::arg("x"));
  module.def("drops", &drops);
  module.def("dropped_with_gil", [] { return dropped_with_gil; });
}
