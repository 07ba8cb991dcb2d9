// An extension for the workers of a DataLoader: each item is prepared in C++, from a file that all
// workers have in memory once.
#include <ATen/ops/std.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>

namespace py = pybind11;
using ndtorch::ndim;
using ndtorch::tensor_t;

namespace {

// The rows [start, start + length), with each column scaled to mean 0 and deviation 1. Only these rows
// are read, also of a file that is mapped into memory, and only they are copied.
tensor_t<float, ndim<2>> window(const tensor_t<const float, ndim<2>>& signal, std::int64_t start,
                                std::int64_t length) {
  if (start < 0 || length < 1 || start > signal.size(0) - length) {
    throw py::index_error("no rows from " + std::to_string(start) + ", " + std::to_string(length) +
                          " of them, in a signal of " + std::to_string(signal.size(0)));
  }
  const at::Tensor rows = signal.narrow(0, start, length);
  const at::Tensor deviation = at::std(rows, at::IntArrayRef{0}, /*unbiased=*/false);
  return tensor_t<float, ndim<2>>(rows.sub(rows.mean(0)).div_(deviation));
}

std::uintptr_t address(const tensor_t<const float>& array) {
  return reinterpret_cast<std::uintptr_t>(array.const_data_ptr());
}

}  // namespace

PYBIND11_MODULE(windows, module) {
  module.doc() = "Items of a data set, prepared in C++.";
  module.def("window", &window, py::arg("signal").noconvert(), py::arg("start"), py::arg("length"),
             "Some rows, scaled: a new NumPy array.");
  module.def("address", &address, py::arg("signal").noconvert(),
             "Where the first element is that the C++ side sees.");
  ndtorch::translate_errors(module);
  ndtorch::explain_mismatches(module);
}
