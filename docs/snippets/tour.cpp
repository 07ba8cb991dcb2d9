// The extension that docs/start.md and the pages for those who come from elsewhere build up.
#include <c10/util/Exception.h>
#include <ndtorch/ndtorch.h>
#include <ndtorch/tensor_caster.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <exception>
#include <optional>
#include <utility>

namespace py = pybind11;

namespace {

using ndtorch::c_contig;
using ndtorch::ndim;
using ndtorch::shape;
using ndtorch::tensor_t;

// Reads: any array, list or number will do.
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

// The same functions that torch/extension.h would bind.
at::Tensor scale(const at::Tensor& x, double by) { return x.mul(by); }

py::object scale_for_torch(const at::Tensor& x, double by) { return ndtorch::to_torch(x.mul(by)); }

// nanobind: nb::ndarray<float, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>
using points = tensor_t<float, shape<-1, 3>, c_contig, ndtorch::device::cpu>;

void shift_x(const points& cloud, float by) {
  auto p = cloud.view();
  for (std::int64_t i = 0; i < cloud.size(0); ++i) p[i][0] += by;
}

}  // namespace

PYBIND11_MODULE(tour, module) {
  module.def("mean", &mean, py::arg("values"));
  module.def("clip", &clip, py::arg("values"), py::arg("low"), py::arg("high"));
  module.def("count_above", &count_above, py::arg("image"), py::arg("limit"));
  module.def("weighted", &weighted, py::arg("rows"), py::arg("weights") = py::none());

  // Failing calls then say why.
  for (const char* name : {"mean", "clip", "count_above", "weighted"}) {
    ndtorch::explain_mismatches(module, name);
  }

  // LibTorch's own errors, in this module, without the C++ backtrace.
  py::register_local_exception_translator([](std::exception_ptr thrown) {
    try {
      std::rethrow_exception(std::move(thrown));
    } catch (const c10::Error& error) {
      PyErr_SetString(PyExc_RuntimeError, error.what_without_backtrace());
    }
  });

  module.def("scale", &scale, py::arg("x"), py::arg("by"));
  module.def("scale_for_torch", &scale_for_torch, py::arg("x"), py::arg("by"));
  module.def("shift_x", &shift_x, py::arg("cloud"), py::arg("by"));
}
