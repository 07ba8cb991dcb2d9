// A plain description of strided memory: what each side of a conversion fills in, or builds from.
#pragma once

#include <torch/headeronly/core/DeviceType.h>
#include <torch/headeronly/core/ScalarType.h>
#include <torch/headeronly/util/HeaderOnlyArrayRef.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// NumPy's own limit since 2.0 (NPY_MAXDIMS).
inline constexpr std::size_t max_ndim = 64;

// Somebody else's sizes or strides. int_list is one, too.
using int_list = c10::HeaderOnlyArrayRef<std::int64_t>;

struct strided_view {
  void* data;  // the element at index (0, 0, ...)
  c10::ScalarType dtype;
  c10::DeviceType device = c10::kCPU;
  std::int8_t device_index = -1;  // none, or the current one
  bool writable;
  std::size_t ndim;
  std::size_t nbytes;  // from the first byte of the first element to the last byte of the last one
  // Left uninitialised past ndim: a view is made for every conversion, and zeroing 1 KiB would
  // cost as much as the conversion does.
  std::array<std::int64_t, max_ndim> size_of;
  std::array<std::int64_t, max_ndim> stride_of;  // in elements

  int_list sizes() const { return {size_of.data(), ndim}; }
  int_list strides() const { return {stride_of.data(), ndim}; }
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

// set_shape() for dense memory in C order; false where `strides` say another order, or where a size of
// 0 or an overflow needs a closer look. Most memory passes, at a third of the cost.
template <class Size, class Stride>
[[gnu::always_inline]] inline bool set_dense_shape(strided_view& view, const Size* sizes,
                                                   const Stride* strides, std::int64_t unit,
                                                   std::int64_t item) {
  std::int64_t nbytes = item;
  std::int64_t next = 1;
  for (std::size_t i = view.ndim; i-- > 0;) {
    if (strides[i] != (unit == item ? next : nbytes)) return false;
    view.size_of[i] = sizes[i];
    view.stride_of[i] = next;
    if (__builtin_mul_overflow(nbytes, sizes[i], &nbytes)) return false;
    next *= sizes[i];
  }
  view.nbytes = static_cast<std::size_t>(nbytes);
  return nbytes > 0;
}

// Fills in sizes, strides and nbytes of a view whose other fields are there; no size is negative.
// `strides` are in units of `unit` bytes: 1, or the item size `item`. Strides of an axis that is
// never stepped along play no part; a bad one among them is replaced, since LibTorch takes no
// negative stride on any axis.
template <class Size, class Stride>
refusal set_shape(strided_view& view, const Size* sizes, const Stride* strides, std::int64_t unit,
                  std::int64_t item) {
  if (set_dense_shape(view, sizes, strides, unit, item)) return refusal::none;
  // Item sizes are powers of two: a shift is many times faster than a division.
  const auto shift = unit == item ? 0 : __builtin_ctzll(static_cast<unsigned long long>(item));
  const std::int64_t remainder = unit == item ? 0 : item - 1;
  bool empty = false;
  for (std::size_t i = 0; i < view.ndim; ++i) {
    view.size_of[i] = sizes[i];
    empty |= sizes[i] == 0;
  }

  std::uint64_t extent = 1;  // elements from the first to the last
  bool overflow = false;
  for (std::size_t i = 0; i < view.ndim; ++i) {
    const std::int64_t size = sizes[i];
    const std::int64_t stride = strides[i] >> shift;
    const bool odd = (strides[i] & remainder) != 0;
    if (empty || size == 1) {
      view.stride_of[i] = odd || stride < 0 ? 1 : stride;
      continue;
    }
    if (odd) return refusal::odd_stride;
    if (stride < 0) return refusal::negative_stride;
    view.stride_of[i] = stride;
    std::uint64_t steps = 0;
    overflow |= __builtin_mul_overflow(static_cast<std::uint64_t>(size - 1),
                                       static_cast<std::uint64_t>(stride), &steps);
    overflow |= __builtin_add_overflow(extent, steps, &extent);
  }
  overflow |= __builtin_mul_overflow(extent, static_cast<std::uint64_t>(item), &extent);
  constexpr auto most = static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max());
  if (overflow || extent > most) return refusal::too_large;
  view.nbytes = empty ? 0 : static_cast<std::size_t>(extent);
  return refusal::none;
}

// Fills in strides and nbytes of dense memory in C order, of elements of `item` bytes. The sizes' product
// must be known to fit.
inline void set_dense_strides(strided_view& view, std::size_t item) {
  std::int64_t next = 1;
  std::int64_t count = 1;
  for (std::size_t i = view.ndim; i-- > 0;) {
    view.stride_of[i] = next;
    count *= view.size_of[i];
    next *= view.size_of[i] > 0 ? view.size_of[i] : 1;
  }
  view.nbytes = static_cast<std::size_t>(count) * item;
}

// Whether the data stands where the compiler may assume that elements of this size do. To LibTorch a
// complex number is one element, aligned as a whole: its kernels crash where it is aligned as its two
// parts are, which is enough for NumPy's flag.
inline bool is_aligned(const void* data, std::int64_t item) {
  return (reinterpret_cast<std::uintptr_t>(data) & static_cast<std::uintptr_t>(item - 1)) == 0;
}

}  // namespace detail
}  // namespace ndtorch
