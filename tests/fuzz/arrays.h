// An arbitrary array out of the fuzzer's bytes, on memory whose bounds are known, and what is to be
// expected of it.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "fuzz/harness.h"
#include "fuzz/input.h"
#include "fuzz/numpy_oracle.h"

namespace fuzz {

struct fuzzed_array {
  py::object object;  // what is converted: an array, maybe of a subclass
  py::object native;  // its elements by NumPy: dense, in native byte order; null where too many
  const dtype* type;
  block* memory;
  bool masked;
  bool valid_bools;     // whether its bools, if it has any, are 0 or 1
  std::string history;  // how it was made, for people

  PyArrayObject* array() const { return array_of(object); }
  bool supported() const { return type->type != at::ScalarType::Undefined; }
  bool copyable() const { return supported() && !masked; }
  bool writable() const { return PyArray_ISWRITEABLE(array()) != 0; }
  bool empty() const { return PyArray_SIZE(array()) == 0; }
  std::string describe() const;
};

// nullopt where NumPy itself refuses to make it.
std::optional<fuzzed_array> make_array(input& bytes);

// Why no tensor can be a view of an array, found out anew; empty where one can.
std::vector<const char*> reasons_against_a_view(const fuzzed_array& of);

// Whether __array_finalize__ of the subclass that raises does so.
void arm_subclasses(bool armed);

// Sizes and strides in bytes.
struct layout {
  std::vector<std::int64_t> sizes, strides;

  std::int64_t count() const;  // of elements; saturates
  bool is_small() const;       // few elements, and a size of 0 hides none that can't be multiplied
  std::pair<std::int64_t, std::int64_t> span(std::int64_t item) const;  // of bytes: first and end
};

// Sizes whose product is at most 512, and any strides that stay within 64 KiB.
layout make_layout(input& bytes, std::int64_t item, std::size_t ndim);

// Arbitrary elements of the dtype.
void fill(input& bytes, block& memory, std::uint8_t* first, const layout& shape, const dtype& type);

}  // namespace fuzz
