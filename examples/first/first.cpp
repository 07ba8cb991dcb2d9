#include <ATen/ops/cdist.h>
#include <ndtorch/ndtorch.h>

namespace py = pybind11;
using ndtorch::shape;
using ndtorch::tensor_t;

// Writes into the caller's array.
void normalize(tensor_t<float, shape<-1, 3>> points) { points.div_(points.norm(2, {1}, true)); }

// Reads two arrays where they are, and returns a new one.
tensor_t<> distances(tensor_t<const float, shape<-1, 3>> points,
                     tensor_t<const float, shape<-1, 3>> others) {
  return tensor_t<>(at::cdist(points, others));
}

PYBIND11_MODULE(first, module) {
  module.def("normalize", &normalize, py::arg("points"));
  module.def("distances", &distances, py::arg("points"), py::arg("others"));
  ndtorch::translate_errors(module);    // LibTorch's errors, as Python's torch raises them
  ndtorch::explain_mismatches(module);  // the last line: a TypeError then begins with its reason
}
