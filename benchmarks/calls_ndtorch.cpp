// The functions whose calls calls.py times, written with ndtorch.
#include <ndtorch/ndtorch.h>

namespace py = pybind11;
using ndtorch::tensor_t;

PYBIND11_MODULE(calls_ndtorch, module) {
  module.def("empty", [] {});
  module.def("take", [](const tensor_t<float>&) {});
  module.def("give", [] {
    static const tensor_t<float> result(
        ndtorch::tensor(py::module_::import("numpy").attr("ones")(1000, "float32")));
    return result;
  });
  module.def("pass", [](tensor_t<float> array) { return array; });

  module.def("from_numpy", [](const py::object& array) { ndtorch::from_numpy(array); });
  module.def("tensor", [](const py::object& data) { ndtorch::tensor(data); });
  module.def("tensor_float", [](const py::object& data) { ndtorch::tensor<float>(data); });
  module.def("Tensor", [](const py::object& data) { ndtorch::Tensor(data); });
  // Keeps the copy, for whoever looks at the memory that it takes.
  module.def("keep", [](const py::object& data) {
    return py::capsule(new at::Tensor(ndtorch::tensor(data)),
                       [](void* tensor) { delete static_cast<at::Tensor*>(tensor); });
  });
  module.def("keep_float", [](const py::object& data) {
    return py::capsule(new at::Tensor(ndtorch::tensor<float>(data)),
                       [](void* tensor) { delete static_cast<at::Tensor*>(tensor); });
  });
}
