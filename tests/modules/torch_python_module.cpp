// Built with ndtorch::torch_python: torch.Tensor objects come and go as they are, autograd included.
#include <ATen/ops/ones.h>
#include <ndtorch/ndtorch.h>
#include <pybind11/complex.h>
#include <pybind11/stl.h>

#include <complex>
#include <utility>
#include <vector>

namespace py = pybind11;
using ndtorch::tensor_t;

// ---- docs/from_torch_extension.md

py::object scale_with_grad(const ndtorch::tensor_t<>& x, double by) {
  return ndtorch::to_torch(x.mul(by));
}

PYBIND11_MODULE(torch_python_module, module) {
  module.def("scale_with_grad", &scale_with_grad);
  module.def("same", [](py::handle x) { return ndtorch::to_torch(ndtorch::as_tensor(x)); });
  module.def("numpy", [](py::handle x) { return ndtorch::numpy(ndtorch::as_tensor(x)); });
  module.def("dlpack", [](py::handle x) { return ndtorch::to_dlpack(ndtorch::as_tensor(x)); });
  module.def("copied", [](py::handle x) { return ndtorch::to_torch(ndtorch::tensor(x)); });
  module.def("as_double",
             [](py::handle x) { return ndtorch::to_torch(ndtorch::as_tensor(x, at::kDouble)); });
  module.def("with_grad", [](py::handle x) {
    return ndtorch::to_torch(ndtorch::as_tensor(x, at::TensorOptions().requires_grad(true)));
  });
  module.def("sum_of_squares",
             [](py::handle x) { return ndtorch::to_torch(ndtorch::as_tensor(x).square().sum()); });
  module.def("backward", [](py::handle x) {
    const at::Tensor sum = ndtorch::as_tensor(x).square().sum();
    const py::gil_scoped_release without_gil;  // libtorch_python's engine insists
    sum.backward();
  });

  module.def("twice", [](const tensor_t<const float>& x) { return ndtorch::to_torch(x.mul(2)); });
  module.def("twice_as_double",
             [](const tensor_t<const double>& x) { return ndtorch::to_torch(x.mul(2)); });
  module.def("add_one", [](tensor_t<float> x) { x.add_(1); });
  module.def("elements", [](const tensor_t<const float, ndtorch::ndim<1>>& x) {
    return std::vector<float>(x.begin(), x.end());
  });
  module.def("complex_elements",
             [](const tensor_t<const c10::complex<float>, ndtorch::ndim<1>>& x) {
               return std::vector<std::complex<float>>(x.begin(), x.end());
             });
  module.def("fill", [](tensor_t<float, ndtorch::ndim<1>> x) {
    for (float& element : x) element = 7;
  });

  module.def("made", [] {
    const at::Tensor tensor = at::ones({2}).requires_grad_();
    return std::pair(ndtorch::to_torch(tensor), ndtorch::to_torch(tensor));
  });
  module.def("undefined", [] { return ndtorch::to_torch(at::Tensor()); });
}
