// What the tests of exports share: tensors that are more than plain memory, or have lost it, and PyTorch's
// exceptions.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/_nested_tensor_from_tensor_list.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/quantize_per_tensor.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support.h"

namespace test {

inline at::Tensor complex_numbers() {
  return at::complex(at::arange(6, at::kDouble), -at::arange(6, at::kDouble)).reshape({2, 3});
}
inline const std::string py_complex =
    "torch.complex(torch.arange(6.).double(), -torch.arange(6.).double()).reshape(2, 3)";

inline at::Tensor quantized(at::ScalarType type = at::kQInt8) {
  return at::quantize_per_tensor(at::ones(3), 1, 0, type);
}

inline at::Tensor nested() {
  return at::_nested_tensor_from_tensor_list({at::ones({3}), at::ones({2})});
}

inline at::Tensor of_dims(std::size_t count) {
  return at::ones(std::vector<std::int64_t>(count, 1));
}

// As untyped_storage().resize_() of Python.
inline void resize_storage(const at::Tensor& tensor, std::size_t nbytes) {
  at::native::resize_bytes_nocuda(tensor.storage(), c10::SymInt(static_cast<std::int64_t>(nbytes)));
}
inline void free_storage(const at::Tensor& tensor) { resize_storage(tensor, 0); }

// What is raised is what PyTorch raises; its words come first, and more may follow.
inline void expect_as_in_pytorch(const python_error& actual, python_error expected) {
  EXPECT_EQ(actual.type, expected.type) << actual.text;
  expected.text.erase(0, expected.text.find_first_not_of(' '));
  EXPECT_EQ(actual.text.substr(0, expected.text.size()), expected.text);
}

}  // namespace test
