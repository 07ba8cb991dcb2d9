// A Python extension whose functions say in their C++ types what arrays they take: clouds of points,
// of shape (points, 3).
//
// Nothing here asks for a dtype or a shape: what doesn't fit the types never gets in, and the caller
// is told why.
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace py = pybind11;
using ndtorch::c_contig;
using ndtorch::ndim;
using ndtorch::shape;
using ndtorch::tensor_t;

namespace {

using point = tensor_t<double, shape<3>>;

// Read-only: `const`, so that any array will do, a read-only one too.
template <class T>
tensor_t<T, ndim<1>> lengths(const tensor_t<const T, shape<-1, 3>>& points) {
  tensor_t<T, ndim<1>> result(at::empty({points.size(0)}, points.options()));
  const auto from = points.view();
  auto to = result.begin();
  for (std::int64_t i = 0; i < points.size(0); ++i) {
    *to++ = std::hypot(from[i][0], from[i][1], from[i][2]);
  }
  return result;
}

// In place: not `const`, so the caller's own array is written, or the call is a TypeError.
template <class T>
void shift(const tensor_t<T, shape<-1, 3>>& points, const tensor_t<const double, shape<3>>& by) {
  auto elements = points.view();
  const auto step = by.view();
  for (std::int64_t i = 0; i < points.size(0); ++i) {
    for (std::int64_t axis = 0; axis < 3; ++axis) {
      elements[i][axis] += static_cast<T>(step[axis]);
    }
  }
}

// Optional: None, or an array.
point center(const tensor_t<const double, shape<-1, 3>>& points,
             const std::optional<tensor_t<const double, ndim<1>>>& weights) {
  if (!weights) return point(points.mean(0));
  if (weights->size(0) != points.size(0)) {
    throw py::value_error("expected a weight for each point");
  }
  // A tensor_t is an at::Tensor: all of LibTorch's functions take it.
  return point(weights->matmul(points).div(weights->sum()));
}

// A batch: any sequence of arrays, each of which is checked.
std::pair<point, point> bounds(const std::vector<tensor_t<const double, shape<-1, 3>>>& clouds) {
  if (clouds.empty()) throw py::value_error("expected at least one cloud");
  const at::Tensor all = at::cat(std::vector<at::Tensor>(clouds.begin(), clouds.end()));
  return {point(all.amin(0)), point(all.amax(0))};
}

// An array that the object keeps: Python sees its memory, and the object lives as long as the array.
class grid {
 public:
  explicit grid(std::int64_t size) : counts_(at::zeros({size, size, size}, at::kLong)) {}

  // How many points are in each cell of the unit cube.
  void add(const tensor_t<const double, shape<-1, 3>>& points) {
    auto counts = counts_.view();
    const auto size = static_cast<double>(counts_.size(0));
    const auto cell = [&](double x) {
      return static_cast<std::int64_t>(std::clamp(x * size, 0.0, size - 1));
    };
    const auto elements = points.view();
    for (std::int64_t i = 0; i < points.size(0); ++i) {
      ++counts[cell(elements[i][0])][cell(elements[i][1])][cell(elements[i][2])];
    }
  }

  const tensor_t<std::int64_t, ndim<3>, c_contig>& counts() const { return counts_; }

 private:
  tensor_t<std::int64_t, ndim<3>, c_contig> counts_;
};

}  // namespace

PYBIND11_MODULE(points, module) {
  module.doc() = "Works on clouds of points: arrays of shape (points, 3).";

  // Overloads by dtype: float32 as it is, and all else as float64. Without noconvert() the first one
  // would be asked to convert, too, and so take integers.
  module.def("lengths", &lengths<float>, py::arg("points").noconvert(),
             "Each point's distance from the origin.");
  module.def("lengths", &lengths<double>, py::arg("points"));
  module.def("shift", &shift<float>, py::arg("points"), py::arg("by"),
             "Moves the points, in place.");
  module.def("shift", &shift<double>, py::arg("points"), py::arg("by"));
  module.def("center", &center, py::arg("points"), py::arg("weights") = py::none(),
             "The points' mean, weighted or not.");
  module.def("bounds", &bounds, py::arg("clouds"),
             "The lowest and the highest corner of the box around all clouds.");

  py::class_<grid>(module, "Grid", "Counts points in the cells of the unit cube.")
      .def(py::init<std::int64_t>(), py::arg("size"))
      .def("add", &grid::add, py::arg("points"), "Counts these points too.")
      .def_property_readonly("counts", &grid::counts, "How many points are in each cell.");

  // LibTorch's errors reach Python as those of Python's torch do.
  ndtorch::translate_errors(module);
  // The last line: a call that fails says why, for each overload, and for Grid's methods too.
  ndtorch::explain_mismatches(module);
}
