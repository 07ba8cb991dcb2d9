// What the tests of exports share: tensors made here and in Python, and PyTorch's exceptions.
#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/complex.h>

#include <string>

#include "support.h"

namespace test {

inline at::Tensor complex_numbers() {
  return at::complex(at::arange(6, at::kDouble), -at::arange(6, at::kDouble)).reshape({2, 3});
}
inline const std::string py_complex =
    "torch.complex(torch.arange(6.).double(), -torch.arange(6.).double()).reshape(2, 3)";

// What is raised is what PyTorch raises; its words come first, and more may follow.
inline void expect_as_in_pytorch(const python_error& actual, python_error expected) {
  EXPECT_EQ(actual.type, expected.type) << actual.text;
  expected.text.erase(0, expected.text.find_first_not_of(' '));
  EXPECT_EQ(actual.text.substr(0, expected.text.size()), expected.text);
}

}  // namespace test
