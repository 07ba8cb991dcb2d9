// The order of the axes in dense memory.
#pragma once

#include <ndtorch/detail/memory/short_list.h>
#include <ndtorch/detail/memory/strided_view.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// Sizes, strides or axes: those of a tensor of LibTorch's own may be more than NumPy has.
using axis_list = short_list<std::int64_t, 8>;

// The absolute value as an unsigned number. It holds for the lowest number too, which std::abs can't
// negate: an axis of length 1 may have any stride.
inline std::uint64_t magnitude(std::int64_t number) {
  const auto bits = static_cast<std::uint64_t>(number);
  return number < 0 ? 0 - bits : bits;
}

// The order that PyTorch gives the axes of a copy (empty_like with preserve_format), the innermost
// first: that of the source's strides, whatever their unit. An axis of stride 0 has no place of its
// own and stays where it is; of equal strides, the shorter axis is the inner one.
inline axis_list axes_by_stride(int_list sizes, int_list strides) {
  const auto belongs_inside = [&](std::int64_t first, std::int64_t second) -> int {
    const auto a = static_cast<std::size_t>(first), b = static_cast<std::size_t>(second);
    const std::uint64_t step_a = magnitude(strides[a]), step_b = magnitude(strides[b]);
    if (step_a == 0 || step_b == 0) return 0;
    if (step_a != step_b) return step_a < step_b ? 1 : -1;  // the first inside the second: 1
    return sizes[a] < sizes[b] ? 1 : 0;
  };
  axis_list order;
  for (std::size_t i = sizes.size(); i-- > 0;) order.push_back(static_cast<std::int64_t>(i));
  for (std::size_t i = 1; i < order.size(); ++i) {
    std::size_t moving = i;
    for (std::size_t other = i; other-- > 0;) {
      const int inside = belongs_inside(order[moving], order[other]);
      if (inside < 0) break;
      if (inside == 0) continue;
      std::swap(order[moving], order[other]);
      moving = other;
    }
  }
  return order;
}

enum class axis_order { kept, c, f, c_or_f };  // kept: any, and in a copy the source's

// Whether memory is dense, with its axes in this order. Axes of length 1 play no part, and neither do
// any in an empty tensor.
inline bool has_order(int_list sizes, int_list strides, axis_order order) {
  if (order == axis_order::kept) return true;
  if (strides.size() != sizes.size()) return false;  // of another layout, which has none
  if (order == axis_order::c_or_f) {
    return has_order(sizes, strides, axis_order::c) || has_order(sizes, strides, axis_order::f);
  }
  std::uint64_t expected = 1;  // may wrap round for a broadcast array, whose strides are 0
  bool dense = true;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::size_t axis = order == axis_order::f ? i : sizes.size() - 1 - i;
    const std::int64_t size = sizes.data()[axis];
    if (size == 0) return true;
    if (size != 1 && static_cast<std::uint64_t>(strides.data()[axis]) != expected) dense = false;
    expected *= static_cast<std::uint64_t>(size);
  }
  return dense;
}

// The axes of dense memory, the innermost first.
inline axis_list axes_of_dense(int_list strides) {
  axis_list order;
  for (std::size_t i = strides.size(); i-- > 0;) order.push_back(static_cast<std::int64_t>(i));
  std::stable_sort(order.begin(), order.end(), [&](std::int64_t a, std::int64_t b) {
    return strides[static_cast<std::size_t>(a)] < strides[static_cast<std::size_t>(b)];
  });
  return order;
}

// The strides, in elements, of dense memory whose axes are in this order, the innermost first.
inline axis_list dense_strides(int_list sizes, int_list order) {
  axis_list strides(sizes.size());
  std::int64_t next = 1;
  for (const std::int64_t axis : order) {
    strides[static_cast<std::size_t>(axis)] = next;
    next *= std::max<std::int64_t>(sizes[static_cast<std::size_t>(axis)], 1);
  }
  return strides;
}

}  // namespace detail
}  // namespace ndtorch
