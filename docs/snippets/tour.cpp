// The extension that docs/start.md builds up.
#include <ndtorch/ndtorch.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <optional>

namespace py = pybind11;

namespace {

using ndtorch::ndim;
using ndtorch::tensor_t;

// Reads: an array, list or number of any real dtype will do.
double mean(const tensor_t<const double>& values) { return values.mean().item<double>(); }

// Writes: only an array of floats that may be written, and no copy of it.
void clip(const tensor_t<float>& values, double low, double high) { values.clamp_(low, high); }

// Element by element, without a check at run time.
std::int64_t count_above(const tensor_t<const float, ndim<2>>& image, float limit) {
  const auto pixels = image.view();
  std::int64_t count = 0;
  for (std::int64_t row = 0; row < image.size(0); ++row) {
    for (std::int64_t column = 0; column < image.size(1); ++column) {
      count += pixels[row][column] > limit ? 1 : 0;
    }
  }
  return count;
}

// None, or one weight for each row: #include <pybind11/stl.h>, and py::arg("weights") = py::none().
tensor_t<> weighted(const tensor_t<const float, ndim<2>>& rows,
                    const std::optional<tensor_t<const float, ndim<1>>>& weights) {
  if (!weights) return tensor_t<>(rows.mean(0));
  return tensor_t<>(weights->matmul(rows).div(weights->sum()));
}

// Labels are integers: floats are refused, not cut off.
std::int64_t count_of(const tensor_t<const std::int64_t, ndim<1>>& labels, std::int64_t label) {
  return labels.eq(label).sum().item<std::int64_t>();
}

}  // namespace

PYBIND11_MODULE(tour, module) {
  module.def("mean", &mean, py::arg("values"));
  module.def("clip", &clip, py::arg("values"), py::arg("low"), py::arg("high"));
  module.def("count_above", &count_above, py::arg("image"), py::arg("limit"));
  module.def("weighted", &weighted, py::arg("rows"), py::arg("weights") = py::none());

  module.def("count_of", &count_of, py::arg("labels"), py::arg("label"));

  // LibTorch's errors reach Python as those of Python's torch do.
  ndtorch::translate_errors(module);
  // The last line of the module: calls that fail then say why.
  ndtorch::explain_mismatches(module);
}
