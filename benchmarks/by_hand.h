// The conversions as they are usually written without ndtorch: a typed array, from_blob, and deleters
// that take the GIL where they need it.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/from_blob.h>
#include <pybind11/numpy.h>

#include <cstdint>
#include <utility>
#include <vector>

namespace by_hand {

inline at::Tensor to_tensor(pybind11::array_t<float> array) {
  std::vector<std::int64_t> sizes(array.shape(), array.shape() + array.ndim());
  std::vector<std::int64_t> strides(array.strides(), array.strides() + array.ndim());
  for (auto& stride : strides) stride /= static_cast<std::int64_t>(sizeof(float));
  void* const data = array.mutable_data();
  auto* const owner = new pybind11::array_t<float>(std::move(array));
  return at::from_blob(
      data, sizes, strides,
      [owner](void*) {
        const pybind11::gil_scoped_acquire gil;
        delete owner;
      },
      at::kFloat);
}

inline pybind11::array_t<float> to_array(const at::Tensor& tensor) {
  const pybind11::capsule owner(new at::Tensor(tensor),
                                [](void* object) { delete static_cast<at::Tensor*>(object); });
  std::vector<pybind11::ssize_t> shape(tensor.sizes().begin(), tensor.sizes().end());
  std::vector<pybind11::ssize_t> strides(tensor.strides().begin(), tensor.strides().end());
  for (auto& stride : strides) stride *= static_cast<pybind11::ssize_t>(sizeof(float));
  return pybind11::array_t<float>(shape, strides, tensor.data_ptr<float>(), owner);
}

}  // namespace by_hand
