// The column of nanobind, which makes no tensor.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstddef>
#include <optional>

#include "peers.h"

namespace nb = nanobind;

namespace {

using read = nb::ndarray<const float, nb::ndim<1>, nb::device::cpu>;
using written = nb::ndarray<float, nb::ndim<1>, nb::device::cpu>;

float total(const read& x) {
  const auto elements = x.view();
  float sum = 0;
  for (std::size_t i = 0; i < x.shape(0); ++i) sum += elements(i);
  return sum;
}
void scale(const written& x) {
  auto elements = x.view();
  for (std::size_t i = 0; i < x.shape(0); ++i) elements(i) *= 2;
}

std::optional<read> kept;
void keep(const read& x) { kept = x; }
bool drops() { return drops_beside_the_gil<nb::gil_scoped_release>(kept); }

}  // namespace

NB_MODULE(peer_nanobind, module) {
  module.def("total", &total, nb::arg("x"));
  module.def("scale", &scale, nb::arg("x"));
  module.def("keep", &keep, nb::arg("x"));
  module.def("drops", &drops);
}
