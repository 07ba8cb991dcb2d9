// A plain description of strided memory: what each side of a conversion fills in, or builds from.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/ScalarType.h>
#include <c10/util/safe_numerics.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// NumPy's own limit since 2.0 (NPY_MAXDIMS).
inline constexpr std::size_t max_ndim = 64;

struct strided_view {
  void* data;  // the element at index (0, 0, ...)
  at::ScalarType dtype;
  at::Device device = at::Device(at::kCPU);
  bool writable;
  std::size_t ndim;
  std::size_t nbytes;  // from the first byte of the first element to the last byte of the last one
  // Left uninitialised past ndim: a view is made for every conversion, and zeroing 1 KiB would
  // cost as much as the conversion does.
  std::array<std::int64_t, max_ndim> size_of;
  std::array<std::int64_t, max_ndim> stride_of;  // in elements

  at::IntArrayRef sizes() const { return {size_of.data(), ndim}; }
  at::IntArrayRef strides() const { return {stride_of.data(), ndim}; }
};

// Why memory can't be a tensor's as it is. Of the first two, an array has no copy either.
enum class refusal {
  none,
  unsupported_dtype,
  masked,
  odd_stride,
  negative_stride,
  byte_order,
  misaligned,
  too_large
};

// Fills in strides and nbytes of a view whose other fields are there. `strides` are in units of
// `unit` bytes: 1, or the item size. Strides of an axis that is never stepped along play no part;
// a bad one among them is replaced, since LibTorch takes no negative stride on any axis.
template <class Int>
refusal set_strides(strided_view& view, const Int* strides, std::int64_t unit) {
  const auto item = static_cast<std::int64_t>(c10::elementSize(view.dtype));
  bool empty = false;
  for (std::size_t i = 0; i < view.ndim; ++i) empty |= view.size_of[i] == 0;

  std::uint64_t extent = 1;  // elements from the first to the last
  bool overflow = false;
  for (std::size_t i = 0; i < view.ndim; ++i) {
    const std::int64_t size = view.size_of[i];
    std::int64_t stride = strides[i];
    bool odd = false;
    if (unit != item) {
      const std::int64_t bytes = stride;
      stride = bytes / item;
      odd = stride * item != bytes;
    }
    if (empty || size == 1) {
      view.stride_of[i] = odd || stride < 0 ? 1 : stride;
      continue;
    }
    if (odd) return refusal::odd_stride;
    if (stride < 0) return refusal::negative_stride;
    view.stride_of[i] = stride;
    std::uint64_t steps = 0;
    overflow |= c10::mul_overflows(static_cast<std::uint64_t>(size - 1),
                                   static_cast<std::uint64_t>(stride), &steps);
    overflow |= c10::add_overflows(extent, steps, &extent);
  }
  overflow |= c10::mul_overflows(extent, static_cast<std::uint64_t>(item), &extent);
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (overflow || extent > most) return refusal::too_large;
  view.nbytes = empty ? 0 : static_cast<std::size_t>(extent);
  return refusal::none;
}

// Strides and nbytes of dense memory in C order. The sizes' product must be known to fit.
inline void set_dense_strides(strided_view& view) {
  std::int64_t next = 1;
  std::int64_t count = 1;
  for (std::size_t i = view.ndim; i-- > 0;) {
    view.stride_of[i] = next;
    count *= view.size_of[i];
    next *= view.size_of[i] > 0 ? view.size_of[i] : 1;
  }
  view.nbytes = static_cast<std::size_t>(count) * c10::elementSize(view.dtype);
}

// Whether the data stands where the compiler may assume that elements of its dtype do.
inline bool is_aligned(const strided_view& view) {
  const std::size_t parts = c10::isComplexType(view.dtype) ? 2 : 1;
  return reinterpret_cast<std::uintptr_t>(view.data) % (c10::elementSize(view.dtype) / parts) == 0;
}

}  // namespace detail
}  // namespace ndtorch
