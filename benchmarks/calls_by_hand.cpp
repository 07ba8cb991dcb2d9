// The functions whose calls calls.py times, as they are usually written without ndtorch.
#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/ones.h>
#include <pybind11/numpy.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace py = pybind11;

namespace {

at::Tensor to_tensor(py::array_t<float> array) {
  std::vector<std::int64_t> sizes(array.shape(), array.shape() + array.ndim());
  std::vector<std::int64_t> strides(array.strides(), array.strides() + array.ndim());
  for (auto& stride : strides) stride /= static_cast<std::int64_t>(sizeof(float));
  void* const data = array.mutable_data();
  auto* const owner = new py::array_t<float>(std::move(array));
  return at::from_blob(
      data, sizes, strides,
      [owner](void*) {
        const py::gil_scoped_acquire gil;
        delete owner;
      },
      at::kFloat);
}

py::array_t<float> to_array(const at::Tensor& tensor) {
  const py::capsule owner(new at::Tensor(tensor),
                          [](void* object) { delete static_cast<at::Tensor*>(object); });
  std::vector<py::ssize_t> shape(tensor.sizes().begin(), tensor.sizes().end());
  std::vector<py::ssize_t> strides(tensor.strides().begin(), tensor.strides().end());
  for (auto& stride : strides) stride *= static_cast<py::ssize_t>(sizeof(float));
  return py::array_t<float>(shape, strides, tensor.data_ptr<float>(), owner);
}

}  // namespace

PYBIND11_MODULE(calls_by_hand, module) {
  module.def("empty", [] {});
  module.def("take_array", [](const py::array_t<float>&) {});
  module.def("take", [](py::array_t<float> array) { to_tensor(std::move(array)); });
  module.def("give", [] {
    static const at::Tensor result = at::ones({1000}, at::kFloat);
    return to_array(result);
  });
  module.def("pass",
             [](py::array_t<float> array) { return to_array(to_tensor(std::move(array))); });
}
