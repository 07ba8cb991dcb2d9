// PyTorch as the oracle: what its tensors and failures are, in words that both sides have.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <gtest/gtest.h>
#include <pybind11/stl.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "support/support.h"

namespace test {

// What can be asked of a tensor, in the words that both sides have.
struct facts {
  std::string dtype;
  std::vector<std::int64_t> sizes, strides;
  std::string bytes;  // of the elements in C order
  bool requires_grad;

  bool operator==(const facts& other) const {
    return dtype == other.dtype && sizes == other.sizes && strides == other.strides &&
           bytes == other.bytes && requires_grad == other.requires_grad;
  }
};

inline std::ostream& operator<<(std::ostream& stream, const facts& tensor) {
  return stream << tensor.dtype << " " << testing::PrintToString(tensor.sizes) << " strides "
                << testing::PrintToString(tensor.strides) << " requires_grad "
                << tensor.requires_grad << " bytes " << testing::PrintToString(tensor.bytes);
}

inline facts facts_of(const at::Tensor& tensor) {
  const at::Tensor dense = tensor.detach().contiguous();
  return {std::string(c10::getDtypeNames(tensor.scalar_type()).first), tensor.sizes().vec(),
          tensor.strides().vec(),
          std::string(static_cast<const char*>(dense.const_data_ptr()), dense.nbytes()),
          tensor.requires_grad()};
}

inline facts facts_of(py::handle tensor) {
  // str and bytes of the storage: NumPy has no form for some of these dtypes.
  return {py::cast<std::string>(eval("str(t.dtype).removeprefix('torch.')", py::arg("t") = tensor)),
          py::cast<std::vector<std::int64_t>>(tensor.attr("shape")),
          py::cast<std::vector<std::int64_t>>(tensor.attr("stride")()),
          py::cast<std::string>(eval("bytes(t.detach().clone(memory_format=torch.contiguous_format)"
                                     ".untyped_storage().tolist())",
                                     py::arg("t") = tensor)),
          py::cast<bool>(tensor.attr("requires_grad"))};
}

// How a conversion ended: the name of the exception that Python sees, or what the test calls it.
struct outcome {
  std::string answer;
  std::string text;  // the exception's
  std::optional<facts> tensor;
};

// The conversion is called through pybind11, which turns C++ exceptions into those of Python.
inline outcome caught(const std::function<outcome()>& convert) {
  outcome result;
  try {
    call_through_pybind11([&] { result = convert(); });
  } catch (const py::error_already_set& error) {
    result.answer = py::cast<std::string>(error.type().attr("__name__"));
    result.text = py::str(error.value());
  }
  EXPECT_EQ(PyErr_Occurred(), nullptr);
  return result;
}

// Both failed alike: the same exception type, and PyTorch's words come first. (Its full stop after
// the list of dtypes does not: ours goes on.)
inline void expect_same_failure(const outcome& ours, const outcome& theirs) {
  EXPECT_EQ(ours.answer, theirs.answer) << ours.text << "\n" << theirs.text;
  const std::string words = theirs.text.substr(0, theirs.text.find_last_not_of('.') + 1);
  EXPECT_EQ(ours.text.substr(0, words.size()), words);
}

// A Python function. It stays for good: the interpreter ends before static objects do.
inline const py::object& function_in(const char* code, const char* name) {
  return *new py::object(test::exec(code)[name]);
}

// Every NumPy dtype that ndtorch takes.
inline std::vector<py::object> dtypes() {
  return py::cast<std::vector<py::object>>(
      eval("[np.dtype(name) for name in 'bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
           "float16 float32 float64 complex64 complex128 longlong ulonglong'.split()] + "
           "[np.dtype(getattr(ml_dtypes, name)) for name in 'bfloat16 float8_e4m3fn "
           "float8_e4m3fnuz float8_e5m2 float8_e5m2fnuz float8_e8m0fnu complex32'.split()]"));
}

}  // namespace test
