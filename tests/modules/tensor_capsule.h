// A tensor as a Python object that every module can read, each with its own copy of ndtorch's headers.
#pragma once

#include <ATen/core/Tensor.h>
#include <pybind11/pybind11.h>

#include <utility>

namespace test {

namespace py = pybind11;

inline constexpr const char* tensor_capsule_name = "test.tensor";

inline py::capsule wrap(at::Tensor tensor) {
  return {new at::Tensor(std::move(tensor)), tensor_capsule_name,
          [](void* owned) { delete static_cast<at::Tensor*>(owned); }};
}

inline const at::Tensor& unwrap(const py::capsule& capsule) {
  if (PyCapsule_IsValid(capsule.ptr(), tensor_capsule_name) == 0) {
    throw py::type_error("not a tensor's capsule");
  }
  return *capsule.get_pointer<at::Tensor>();
}

}  // namespace test
