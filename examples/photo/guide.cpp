// One small function for each conversion, so that demo.py can show what comes out of it.
#include "guide.h"

#include <ATen/ops/ones.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/numpy.h>

#include <cstdint>

namespace py = pybind11;

namespace {

// A tensor that stays in C++. Python reads and writes its elements without any array in between,
// and so finds out whether a tensor and an array are on the same memory.
struct held {
  at::Tensor tensor;

  at::Tensor element(std::int64_t index) const { return tensor.detach().view(-1).select(0, index); }
};

}  // namespace

void define_guide(py::module_& guide) {
  py::class_<held>(guide, "held", "A tensor that stays in C++.")
      .def_property_readonly(
          "dtype", [](const held& t) { return ndtorch::numpy_dtype(t.tensor.scalar_type()); },
          "The tensor's dtype, in NumPy's terms.")
      .def(
          "read", [](const held& t, std::int64_t index) { return t.element(index).item<double>(); },
          py::arg("index"), "One element, counted in row-major order.")
      .def(
          "write",
          [](const held& t, std::int64_t index, double value) { t.element(index).fill_(value); },
          py::arg("index"), py::arg("value"), "Sets one element, counted in row-major order.");

  // From an array to a tensor.
  guide.def(
      "from_numpy", [](const py::array& a) { return held{ndtorch::from_numpy(a)}; },
      py::arg("array"), "ndtorch::from_numpy(a)");
  guide.def(
      "tensor", [](const py::array& a) { return held{ndtorch::tensor(a)}; }, py::arg("array"),
      "ndtorch::tensor(a)");
  guide.def(
      "tensor_with_dtype", [](const py::array& a) { return held{ndtorch::tensor(a, at::kDouble)}; },
      py::arg("array"), "ndtorch::tensor(a, at::kDouble)");
  guide.def(
      "Tensor", [](const py::array& a) { return held{ndtorch::Tensor(a)}; }, py::arg("array"),
      "ndtorch::Tensor(a)");
  guide.def(
      "later_cast", [](const py::array& a) { return held{ndtorch::from_numpy(a).to(at::kFloat)}; },
      py::arg("array"), "ndtorch::from_numpy(a).to(at::kFloat)");

  // From a tensor to an array.
  guide.def(
      "numpy", [](const held& t) { return ndtorch::numpy(t.tensor); }, py::arg("tensor"),
      "ndtorch::numpy(t)");
  guide.def(
      "detach_numpy", [](const held& t) { return ndtorch::numpy(t.tensor.detach()); },
      py::arg("tensor"), "ndtorch::numpy(t.detach())");
  guide.def(
      "to_numpy", [](const held& t) { return ndtorch::to_numpy(t.tensor); }, py::arg("tensor"),
      "ndtorch::to_numpy(t)");

  // Tensors to start from.
  guide.def("plain", [] { return held{at::ones({4})}; }, "A tensor that exports as it is.");
  guide.def(
      "with_grad", [] { return held{at::ones({4}).requires_grad_()}; },
      "A tensor that requires grad.");
  guide.def(
      "on_meta", [] { return held{at::ones({4}, at::device(at::kMeta))}; },
      "A tensor that is not on the CPU, and needs no GPU to exist.");
}
