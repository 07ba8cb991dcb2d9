// Every conversion as a function of Python, for the properties that Hypothesis tests.
#include <ndtorch/ndtorch.h>

#include <cstdint>
#include <string_view>

namespace py = pybind11;
using ndtorch::tensor_t;

namespace {

at::TensorOptions options_of(const py::object& dtype, bool requires_grad) {
  const at::TensorOptions options = at::TensorOptions().requires_grad(requires_grad);
  return dtype.is_none() ? options : options.dtype(ndtorch::scalar_type(dtype));
}

}  // namespace

PYBIND11_MODULE(conversions_module, module) {
  const auto dtype = py::arg("dtype") = py::none();
  const auto requires_grad = py::arg("requires_grad") = false;

  module.def("from_numpy", [](py::handle x) { return ndtorch::to_torch(ndtorch::from_numpy(x)); });
  module.def("Tensor", [](py::handle x) { return ndtorch::to_torch(ndtorch::Tensor(x)); });
  module.def(
      "tensor",
      [](py::handle x, const py::object& type) {
        return ndtorch::to_torch(ndtorch::tensor(x, options_of(type, false)));
      },
      py::arg("x"), dtype);
  module.def(
      "as_tensor",
      [](py::handle x, const py::object& type) {
        return ndtorch::to_torch(ndtorch::as_tensor(x, options_of(type, false)));
      },
      py::arg("x"), dtype);
  module.def(
      "frombuffer",
      [](py::handle x, const py::object& type, std::int64_t count, std::int64_t offset) {
        return ndtorch::to_torch(ndtorch::frombuffer(x, ndtorch::scalar_type(type), count, offset));
      },
      py::arg("x"), py::arg("dtype"), py::arg("count") = -1, py::arg("offset") = 0);

  // There and back. numpy() refuses a tensor that requires grad, to_numpy() detaches it.
  module.def(
      "numpy",
      [](py::handle x, bool grad) {
        return ndtorch::numpy(ndtorch::as_tensor(x, options_of(py::none(), grad)));
      },
      py::arg("x"), requires_grad);
  module.def(
      "to_numpy",
      [](py::handle x, bool grad) {
        return ndtorch::to_numpy(ndtorch::as_tensor(x, options_of(py::none(), grad)));
      },
      py::arg("x"), requires_grad);
  module.def("to_numpy_double",
             [](py::handle x) { return ndtorch::to_numpy<double>(ndtorch::as_tensor(x)); });
  module.def("to_numpy_async",
             [](py::handle x) { return ndtorch::to_numpy_async(ndtorch::as_tensor(x)).wait(); });
  module.def("to_dlpack", [](py::handle x) { return ndtorch::to_dlpack(ndtorch::as_tensor(x)); });

  // Arguments with constraints; what comes is returned as it came.
  module.def("any", [](const tensor_t<>& x) { return x; });
  module.def("floats", [](const tensor_t<const float>& x) { return x; });
  module.def(
      "floats_as_they_are", [](const tensor_t<const float>& x) { return x; },
      py::arg("x").noconvert());
  module.def("c_order", [](const tensor_t<const double, ndtorch::c_contig>& x) { return x; });
  module.def("f_order", [](const tensor_t<ndtorch::f_contig>& x) { return x; });
  module.def("matrix", [](const tensor_t<const double, ndtorch::ndim<2>>& x) { return x; });
  module.def("triples", [](const tensor_t<const double, ndtorch::shape<-1, 3>>& x) { return x; });
  module.def("copied", [](const tensor_t<>& x) { return x; }, py::return_value_policy::copy);
  module.def(
      "which", [](const tensor_t<const float>&) { return "float"; }, py::arg("x").noconvert());
  module.def("which", [](const tensor_t<const double>&) { return "double"; });
  for (const char* const name : {"which_exactly", "which_at_all"}) {
    const py::arg x = py::arg("x").noconvert(std::string_view(name) == "which_exactly");
    module.def(name, [](const tensor_t<const bool>&) { return "bool"; }, x);
    module.def(name, [](const tensor_t<const double>&) { return "double"; }, x);
    module.def(name, [](const tensor_t<const float, ndtorch::ndim<2>>&) { return "matrix"; }, x);
  }
  module.def("zero", [](tensor_t<float> x) { x.zero_(); });
}
