// An extension for workers that share an array: Ray gives each of them the same memory, read-only.
#include <ATen/ops/mean.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/pybind11.h>

#include <cstdint>

namespace py = pybind11;
using ndtorch::ndim;
using ndtorch::tensor_t;

namespace {

// `const`: read-only memory will do, and is neither copied nor written.
std::uintptr_t address(const tensor_t<const float>& array) {
  return reinterpret_cast<std::uintptr_t>(array.const_data_ptr());
}

tensor_t<float, ndim<1>> center(const tensor_t<const float, ndim<2>>& points) {
  return tensor_t<float, ndim<1>>(points.mean(0));
}

// Works in place on a tensor of a read-only array: its first write gives it memory of its own, and all
// that others see stays as it is.
tensor_t<float, ndim<1>> center_after_scaling(const py::array& points, double factor) {
  at::Tensor mine = ndtorch::from_numpy(points);
  mine.mul_(factor);
  return tensor_t<float, ndim<1>>(mine.mean(0));
}

}  // namespace

PYBIND11_MODULE(shared_points, module) {
  module.doc() = "Work on an array that many processes share.";
  module.def("address", &address, py::arg("array").noconvert(),
             "Where the first element is that the C++ side sees.");
  module.def("center", &center, py::arg("points").noconvert(), "The mean of all points.");
  module.def("center_after_scaling", &center_after_scaling, py::arg("points"), py::arg("factor"),
             "The mean after a multiplication in place, which no other process sees.");
  ndtorch::translate_errors(module);
  ndtorch::explain_mismatches(module);
}
