#include <ATen/ops/cdist.h>
#include <ndtorch/ndtorch.h>

#include <cstdint>

namespace py = pybind11;
using ndtorch::ndim;
using ndtorch::shape;
using ndtorch::tensor_t;

namespace {

// Writes into the caller's array.
void normalize(tensor_t<float, shape<-1, 3>> points) { points.div_(points.norm(2, {1}, true)); }

// Reads two arrays where they are, and returns a new one. Other threads run meanwhile.
tensor_t<std::int64_t, ndim<1>> nearest(const tensor_t<const float, shape<-1, 3>>& points,
                                        const tensor_t<const float, shape<-1, 3>>& others) {
  const py::gil_scoped_release without_gil;
  return tensor_t<std::int64_t, ndim<1>>(at::cdist(points, others).argmin(1));
}

}  // namespace

PYBIND11_MODULE(_core, module) {
  module.def("normalize", &normalize, py::arg("points"),
             "Scales each point to length 1, in place.");
  module.def("nearest", &nearest, py::arg("points"), py::arg("others"),
             "For each of the points, the index of the nearest of the others.");
  ndtorch::translate_errors(module);
  ndtorch::explain_mismatches(module);
}
