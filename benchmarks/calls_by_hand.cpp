// The functions whose calls calls.py times, as they are usually written without ndtorch.
#include <ATen/core/Tensor.h>
#include <ATen/ops/ones.h>
#include <pybind11/numpy.h>

#include <utility>

#include "by_hand.h"

namespace py = pybind11;

PYBIND11_MODULE(calls_by_hand, module) {
  module.def("empty", [] {});
  module.def("take_array", [](const py::array_t<float>&) {});
  module.def("take", [](py::array_t<float> array) { by_hand::to_tensor(std::move(array)); });
  module.def("give", [] {
    static const at::Tensor result = at::ones({1000}, at::kFloat);
    return by_hand::to_array(result);
  });
  module.def("pass", [](py::array_t<float> array) {
    return by_hand::to_array(by_hand::to_tensor(std::move(array)));
  });
}
