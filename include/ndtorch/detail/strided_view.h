// A plain description of strided memory: what each side of a conversion fills in, or builds from.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace ndtorch {
namespace detail __attribute__((visibility("hidden"))) {

// NumPy's own limit since 2.0 (NPY_MAXDIMS).
inline constexpr int max_ndim = 64;

struct strided_view {
  void* data;  // the element at index (0, 0, ...)
  at::ScalarType dtype;
  bool writable;
  int ndim;
  std::size_t nbytes;  // from the first byte of the first element to the last byte of the last one
  // Left uninitialised past ndim: a view is made for every conversion, and zeroing 1 KiB would cost
  // as much as the conversion does.
  std::array<std::int64_t, max_ndim> size_of;
  std::array<std::int64_t, max_ndim> stride_of;  // in elements

  at::IntArrayRef sizes() const { return {size_of.data(), static_cast<std::size_t>(ndim)}; }
  at::IntArrayRef strides() const { return {stride_of.data(), static_cast<std::size_t>(ndim)}; }
};

}  // namespace detail
}  // namespace ndtorch
