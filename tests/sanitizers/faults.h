// Faults on purpose, as conversions could have them: a sanitizer that reports one of them too few
// is not at work. Each is committed by code that is instrumented as ndtorch's own is.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ndtorch/from_numpy.h>
#include <pybind11/numpy.h>

#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <utility>

namespace faults {

namespace py = pybind11;

// Read where a fault is committed: the compiler can't see through it.
inline volatile double seen = 0;
inline volatile int one = 1;

inline py::array new_array() {
  // Not among the small ones, whose memory NumPy keeps for the next.
  return py::module_::import("numpy").attr("ones")(4096);
}

inline void reads_an_array_after_its_end() {
  const double* data = nullptr;
  {
    const at::Tensor tensor = ndtorch::from_numpy(new_array());
    data = tensor.const_data_ptr<double>();
  }
  seen = data[one];
}

inline void reads_past_a_tensors_end() {
  const at::Tensor tensor = at::arange(64, at::kDouble);
  seen = tensor.const_data_ptr<double>()[63 + one];
}

inline void reads_past_an_arrays_end() {
  const at::Tensor tensor = ndtorch::from_numpy(new_array());
  seen = tensor.const_data_ptr<double>()[4095 + one];
}

inline void overflows_an_integer() {
  const int sum = std::numeric_limits<int>::max() + one;
  seen = sum;
}

inline void reads_at_an_odd_address() {
  const at::Tensor tensor = at::arange(64, at::kByte);
  seen = *reinterpret_cast<const double*>(tensor.const_data_ptr<std::uint8_t>() + one);
}

// ----- leaks, of many each: what lies on the stack may still point to the last

inline constexpr int many = 20;

inline void leaks_memory() {
  for (int i = 0; i < many; ++i) seen = *new double(one);
}

// A reference too many to the array behind a tensor.
inline void leaks_an_array() {
  for (int i = 0; i < many; ++i) {
    const py::array array = new_array();
    const at::Tensor tensor = ndtorch::from_numpy(array);
    array.inc_ref();
  }
}

// Memory and storage of LibTorch's own.
inline void leaks_a_tensor() {
  for (int i = 0; i < many; ++i) at::arange(4, at::kDouble).unsafeReleaseTensorImpl();
}

inline void leaks_a_capsule() {
  for (int i = 0; i < many; ++i) PyCapsule_New(new_array().ptr(), nullptr, nullptr);
}

// What libpython and NumPy allocate where we ask them to.
inline void leaks_a_view() {
  for (int i = 0; i < many; ++i) new_array().attr("__getitem__")(py::ellipsis()).release();
}

inline void races() {
  const at::Tensor tensor = at::arange(4, at::kDouble);
  double* const data = tensor.mutable_data_ptr<double>();
  const py::gil_scoped_release without_gil;
  std::thread other([data] { data[0] += one; });
  data[0] += one;
  other.join();
}

// No fault.
inline void nothing() {
  const at::Tensor tensor = ndtorch::from_numpy(new_array());
  seen = tensor.const_data_ptr<double>()[one];
}

inline const std::pair<const char*, void (*)()> all[] = {
    {"nothing", &nothing},
    {"reads_an_array_after_its_end", &reads_an_array_after_its_end},
    {"reads_past_an_arrays_end", &reads_past_an_arrays_end},
    {"reads_past_a_tensors_end", &reads_past_a_tensors_end},
    {"overflows_an_integer", &overflows_an_integer},
    {"reads_at_an_odd_address", &reads_at_an_odd_address},
    {"leaks_memory", &leaks_memory},
    {"leaks_an_array", &leaks_an_array},
    {"leaks_a_tensor", &leaks_a_tensor},
    {"leaks_a_capsule", &leaks_a_capsule},
    {"leaks_a_view", &leaks_a_view},
    {"races", &races},
};

inline void commit(const std::string& name) {
  for (const auto& [known, fault] : all) {
    if (name == known) return fault();
  }
  throw py::value_error("no such fault: " + name);
}

}  // namespace faults
