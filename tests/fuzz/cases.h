// The kinds of cases. Each makes its data of the bytes, runs every conversion that takes such data, and
// compares with NumPy.
#pragma once

#include <ATen/core/Tensor.h>
#include <pybind11/pybind11.h>

#include "fuzz/arrays.h"
#include "fuzz/harness.h"
#include "fuzz/input.h"
#include "fuzz/numpy_oracle.h"

namespace fuzz {

void array_case(input& bytes);
void dlpack_case(input& bytes);
void cuda_array_case(input& bytes);
void buffer_case(input& bytes);

// One of the 21 scalar types.
inline at::ScalarType some_scalar_type(input& bytes) {
  return dtypes()[bytes.below(native_dtypes)].type;
}

// A tensor out again, by every way: numpy, to_numpy, to_dlpack, to_torch. Its elements must be those
// that LibTorch itself reads. `bytes` choose what is done to it before: a transpose, a conj bit, ...
void export_case(input& bytes, const at::Tensor& tensor);

}  // namespace fuzz
