// Functions that take an array from anyone: NumPy, torch, JAX, CuPy, memoryview, array.array.
// None of these is named here, included or imported: tensor_t finds the memory behind each.
#include <ATen/ops/conv1d.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linspace.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

namespace py = pybind11;
using ndtorch::ndim;
using ndtorch::tensor_t;

namespace {

// Only reads, so that read-only memory will do. Float64, ints and lists are converted first.
tensor_t<> moving_average(const tensor_t<const float, ndim<1>>& signal, std::int64_t width) {
  if (width < 1 || width > signal.size(0)) {
    throw py::value_error("width must be from 1 to the signal's length, got " +
                          std::to_string(width));
  }
  const at::Tensor weights = at::full({1, 1, width}, 1.0 / static_cast<double>(width));
  return tensor_t<>(at::conv1d(signal.view({1, 1, -1}), weights).view({-1}));
}

// Writes into the caller's memory. What can't be written, or would have to be converted, is a
// TypeError.
void clip(tensor_t<float> values, double low, double high) { values.clamp_(low, high); }

// A new array for whoever wants it: numpy.from_dlpack(x), torch.from_dlpack(x), and so on.
py::object ramp(std::int64_t count) { return ndtorch::to_dlpack(at::linspace(0, 1, count)); }

std::uintptr_t address(const tensor_t<>& array) {
  return reinterpret_cast<std::uintptr_t>(array.const_data_ptr());
}

}  // namespace

PYBIND11_MODULE(any_array, module) {
  module.doc() = "Functions that take an array from anyone.";

  module.def("moving_average", &moving_average, py::arg("signal"), py::arg("width"),
             "The mean of each `width` neighbours: a new, shorter NumPy array.");
  module.def("clip", &clip, py::arg("values"), py::arg("low"), py::arg("high"),
             "Moves the values into [low, high], in place.");
  module.def("ramp", &ramp, py::arg("count"),
             "Numbers from 0 to 1, for from_dlpack() of any library.");
  module.def("address", &address, py::arg("array").noconvert(),
             "Where the first element is that the C++ side sees; nothing is ever copied for it.");

  ndtorch::translate_errors(module);    // LibTorch's errors, as Python's torch raises them
  ndtorch::explain_mismatches(module);  // the last line: errors begin with what was wrong
}
