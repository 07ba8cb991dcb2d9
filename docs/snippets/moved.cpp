// What the pages for those who come from torch/extension.h and from nanobind show, as one module.
#include <ATen/ops/from_blob.h>
#include <ndtorch/ndtorch.h>
#include <ndtorch/tensor_caster.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>

namespace py = pybind11;
using ndtorch::any_contig;
using ndtorch::c_contig;
using ndtorch::ndim;
using ndtorch::shape;
using ndtorch::tensor_t;
using ndtorch::writable;

namespace {

// ---- docs/from_torch_extension.md

// As it was with torch/extension.h: the caller's own memory.
void scale_(at::Tensor x, double by) { x.mul_(by); }

// A function that only reads says so.
at::Tensor scaled(const tensor_t<>& x, double by) { return x.mul(by); }

// ---- docs/from_nanobind.md

// nanobind: nb::ndarray<float, nb::shape<-1, 3>, nb::c_contig, nb::device::cpu>
using points = tensor_t<float, shape<-1, 3>, c_contig, ndtorch::device::cpu>;

void shift_x(const points& cloud, float by) {
  auto p = cloud.view();
  for (std::int64_t i = 0; i < cloud.size(0); ++i) p[i][0] += by;
}

// nanobind: nb::ndarray<>. Any dtype, and memory that may be written.
void clear(const tensor_t<writable>& array) { array.zero_(); }

// nanobind: nb::ndarray<nb::ro>. Any dtype, and read-only memory too.
std::int64_t bytes_of(const tensor_t<>& array) { return static_cast<std::int64_t>(array.nbytes()); }

// nanobind: nb::ndarray<const float, nb::any_contig>. The elements one after the other, in C's order
// or in Fortran's.
float sum_of(const tensor_t<const float, any_contig>& array) {
  const float* const first = array.data_ptr();
  float sum = 0;
  for (std::int64_t i = 0; i < array.numel(); ++i) sum += first[i];
  return sum;
}

// nanobind: if (a.dtype() == nb::dtype<float>() && a.ndim() == 2) { auto v = a.view<float, nb::ndim<2>>(); … }
double corner(const tensor_t<>& array) {
  if (array.scalar_type() == at::kFloat && array.dim() == 2) {
    const tensor_t<const float, ndim<2>> matrix(array);  // checked here
    return matrix.view()[0][0];
  }
  return array.flatten()[0].item<double>();
}

// nanobind: nb::ndarray_check(object)
std::string kind_of(py::handle object) {
#if defined(__cpp_concepts)
  if (py::isinstance<tensor_t<float, ndim<2>>>(object)) return "a float32 matrix";
  if (py::isinstance<tensor_t<>>(object)) return "an array";
#endif
  return "something else";
}

// nanobind: nb::ndarray<nb::numpy, const float>(values, {4}) with nb::rv_policy::reference. The memory has
// no owner, and has to outlive the array: this lives as long as the process. The array is read-only.
tensor_t<const float> table() {
  static const float values[4] = {1, 2, 4, 8};
  return tensor_t<const float>(at::from_blob(const_cast<float*>(values), {4}, at::kFloat));
}

// nanobind: the same of a local variable, whose default policy copies memory without an owner. Here
// nothing is copied that isn't asked for.
tensor_t<float> squares() {
  std::array<float, 4> values = {0, 1, 4, 9};
  return tensor_t<float>(at::from_blob(values.data(), {4}, at::kFloat).clone());
}

// nanobind: nb::ndarray<nb::numpy, float>(data, {n}, owner), where the owner is a capsule that frees.
tensor_t<float> made(std::int64_t count) {
  auto* const data = new float[static_cast<std::size_t>(count)]();
  return tensor_t<float>(at::from_blob(
      data, {count}, [](void* memory) { delete[] static_cast<float*>(memory); }, at::kFloat));
}

// nanobind: array.cast(), and nb::cast(array): a Python object at once.
py::dict summary(const tensor_t<const double>& array) {
  py::dict result;
  result["mean"] = py::cast(tensor_t<>(array.mean(0)));
  result["doubled"] = ndtorch::numpy(array.mul(2));
  return result;
}

// nanobind: a property with nb::rv_policy::reference_internal, on the object's own memory.
class matrix4 {
 public:
  tensor_t<float, shape<4, 4>> view() {
    return tensor_t<float, shape<4, 4>>(at::from_blob(values_.data(), {4, 4}, at::kFloat));
  }

 private:
  std::array<float, 16> values_ = {};
};

}  // namespace

PYBIND11_MODULE(moved, module) {
  module.def("scale_", &scale_, py::arg("x"), py::arg("by"));
  module.def("scaled", &scaled, py::arg("x"), py::arg("by"));

  module.def("shift_x", &shift_x, py::arg("cloud"), py::arg("by"));
  module.def("clear", &clear, py::arg("array"));
  module.def("bytes_of", &bytes_of, py::arg("array"));
  module.def("sum_of", &sum_of, py::arg("array"));
  module.def("corner", &corner, py::arg("array"));
  module.def("kind_of", &kind_of, py::arg("object"));
  module.def("table", &table);
  module.def("squares", &squares);
  module.def("made", &made, py::arg("count"));
  module.def("summary", &summary, py::arg("array"));
  py::class_<matrix4>(module, "Matrix4")
      .def(py::init<>())
      // The default policy of properties: the array keeps the object, since nobody else owns the memory.
      .def_property_readonly("view", &matrix4::view);

  ndtorch::translate_errors(module);
  ndtorch::explain_mismatches(module);
}
