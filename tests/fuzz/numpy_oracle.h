// NumPy, through its own C API: the oracle.
#pragma once

#include <ATen/core/Tensor.h>
#include <pybind11/pybind11.h>

#define NPY_NO_DEPRECATED_API NPY_1_7_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL fuzz_numpy_api
#if !defined(FUZZ_IMPORTS_NUMPY)
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "fuzz/harness.h"

namespace fuzz {

// One of NumPy's dtypes, and what it is in LibTorch: Undefined where nothing.
struct dtype {
  PyArray_Descr* descr;
  PyArray_Descr* native;
  at::ScalarType type;
  bool swapped;
  std::string name;
  std::vector<std::uint8_t> values;  // 64 numbers that every wider dtype has too
  std::size_t item_size;
};

// All of them; the 21 that LibTorch has, in native byte order, come first.
const std::vector<dtype>& dtypes();
constexpr std::size_t native_dtypes = 21;

const dtype& dtype_of(at::ScalarType type);

inline PyArrayObject* array_of(const py::handle object) {
  return reinterpret_cast<PyArrayObject*>(object.ptr());
}
inline std::size_t rank(PyArrayObject* array) {
  return static_cast<std::size_t>(PyArray_NDIM(array));
}

// A new dense array in C order, cast as NumPy casts.
py::object cast(py::handle array, PyArray_Descr* to);

// A tensor's elements, read one by one where its strides say, as such an array.
py::object elements_of(const at::Tensor& tensor);

// Whether both dense arrays are of one shape, dtype and content, byte by byte.
bool same_bytes(py::handle a, py::handle b);

// A new array of bools whose bytes are 0 or 1; of another dtype the array itself. And whether they are so.
py::object valid_bools(py::handle native);
bool has_valid_bools(py::handle native);

// The tensor holds the array's elements, cast to the tensor's dtype: what NumPy's cast gives, where
// it has a meaning. `native` is dense and in native byte order. Any byte of a bool but 0 is true.
void expect_cast(const at::Tensor& tensor, py::handle native, const dtype& from);

// The same, but one NaN is as good as another though no cast was made.
void expect_numbers(const at::Tensor& tensor, py::handle native, const dtype& from);

// Calls function(offset) for every index, in C order, the strides being in any unit; stops where it
// returns false. Axes that are never stepped along may have any stride.
template <class Function>
bool for_each_element(std::size_t ndim, const std::int64_t* sizes, const std::int64_t* strides,
                      Function&& function) {
  struct axis {
    std::int64_t size, stride, index;
  };
  std::vector<axis> axes;
  for (std::size_t i = ndim; i-- > 0;) {  // the innermost first
    if (sizes[i] == 0) return true;
    if (sizes[i] > 1) axes.push_back({sizes[i], strides[i], 0});
  }
  std::int64_t offset = 0;
  while (true) {
    if (!function(offset)) return false;
    bool done = true;
    for (axis& each : axes) {
      if (++each.index < each.size) {
        offset += each.stride;
        done = false;
        break;
      }
      offset -= each.stride * (each.size - 1);
      each.index = 0;
    }
    if (done) return true;
  }
}

}  // namespace fuzz
