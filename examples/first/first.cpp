#include <ATen/ops/cdist.h>
#include <ndtorch/ndtorch.h>

using ndtorch::shape;
using ndtorch::tensor_t;

// Writes into the caller's array.
void normalize(tensor_t<float, shape<-1, 3>> points) { points.div_(points.norm(2, {1}, true)); }

// Reads two arrays where they are, and returns a new one.
tensor_t<> distances(tensor_t<const float, shape<-1, 3>> from,
                     tensor_t<const float, shape<-1, 3>> to) {
  return tensor_t<>(at::cdist(from, to));
}

PYBIND11_MODULE(first, module) {
  module.def("normalize", &normalize);
  module.def("distances", &distances);
}
