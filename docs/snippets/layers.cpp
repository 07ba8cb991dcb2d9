// The classes of docs/classes.md.
#include <ATen/TensorOperators.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <optional>
#include <utility>

namespace py = pybind11;
using ndtorch::ndim;
using ndtorch::shape;
using ndtorch::tensor_t;

namespace {

// A tensor as a member, and one that may be missing.
struct layer {
  tensor_t<float, ndim<2>> weight;
  std::optional<tensor_t<float, ndim<1>>> bias;

  tensor_t<> forward(const tensor_t<const float, ndim<2>>& x) const {
    const at::Tensor y = x.matmul(weight.t());
    return tensor_t<>(bias ? y + *bias : y);
  }
};

// Its own copy of the memory; a tensor's copy constructor shares it.
layer copy_of(const layer& from) {
  layer copy = from;
  copy.weight = tensor_t<float, ndim<2>>(from.weight.clone());
  if (from.bias) copy.bias = tensor_t<float, ndim<1>>(from.bias->clone());
  return copy;
}

// A part of a tensor that the object has.
class counter {
 public:
  explicit counter(std::int64_t size) : counts_(at::zeros({size}, at::kLong)) {}

  tensor_t<std::int64_t> counts() const { return tensor_t<std::int64_t>(counts_); }
  tensor_t<std::int64_t> first_half() const {
    return tensor_t<std::int64_t>(counts_.slice(0, 0, counts_.size(0) / 2));
  }
  // For Python to read: the array is read-only.
  tensor_t<const std::int64_t> frozen() const { return tensor_t<const std::int64_t>(counts_); }
  void count(std::int64_t index) { counts_[index] += 1; }

 private:
  at::Tensor counts_;
};

// Memory that is the object's own: no tensor owns it.
class pose {
 public:
  tensor_t<double, shape<3>> position() {
    return tensor_t<double, shape<3>>(at::from_blob(position_.data(), {3}, at::kDouble));
  }
  void set_position(const tensor_t<const double, shape<3>>& position) {
    this->position().copy_(position);
  }

 private:
  std::array<double, 3> position_ = {};
};

}  // namespace

PYBIND11_MODULE(layers, module) {
  py::class_<layer>(module, "Layer")
      .def(py::init(
               [](tensor_t<float, ndim<2>> weight, std::optional<tensor_t<float, ndim<1>>> bias) {
                 return layer{std::move(weight), std::move(bias)};
               }),
           py::arg("weight"), py::arg("bias") = py::none())
      .def_readwrite("weight", &layer::weight)
      .def_readwrite("bias", &layer::bias)
      .def("__call__", &layer::forward, py::arg("x"))
      .def(py::pickle(
          [](const layer& self) { return std::pair(self.weight, self.bias); },
          [](std::pair<tensor_t<float, ndim<2>>, std::optional<tensor_t<float, ndim<1>>>> state) {
            return layer{std::move(state.first), std::move(state.second)};
          }))
      .def("__copy__", [](const layer& self) { return self; })
      .def(
          "__deepcopy__", [](const layer& self, const py::dict&) { return copy_of(self); },
          py::arg("memo"));

  py::class_<counter>(module, "Counter")
      .def(py::init<std::int64_t>(), py::arg("size"))
      .def("count", &counter::count, py::arg("index"))
      .def_property_readonly("counts", &counter::counts)
      .def_property_readonly("first_half", &counter::first_half)
      .def_property_readonly("frozen", &counter::frozen);

  py::class_<pose>(module, "Pose")
      .def(py::init<>())
      .def_property("position", &pose::position, &pose::set_position);

  ndtorch::translate_errors(module);
  ndtorch::explain_mismatches(module);
}
