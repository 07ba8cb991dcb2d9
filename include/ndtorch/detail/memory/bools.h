// Bools whose bytes are not 0 or 1: found, and made so.
#pragma once

#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/memory/strided_view.h>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// C++ gives a bool whose byte is not 0 or 1 no meaning, and the compiler builds on that. NumPy has them:
// a mask of 0 and 255 that is viewed as bools, or a black and white picture of PIL's.
inline constexpr std::uint64_t bits_of_eight_bools = 0x0101010101010101;

// Any byte but 0 becomes 1, in eight bytes at once.
inline std::uint64_t eight_bools(std::uint64_t bytes) {
  constexpr std::uint64_t low_bits = 0x7f7f7f7f7f7f7f7f;
  return (((bytes & low_bits) + low_bits) | bytes) >> 7 & bits_of_eight_bools;
}

// Like copy_row(): `count` bools, of which each becomes 0 or 1.
inline void copy_bools(std::byte* target, const std::byte* source, std::int64_t stride,
                       std::int64_t count) {
  std::int64_t i = 0;
  for (; stride == 1 && i + 8 <= count; i += 8) {
    std::uint64_t bytes;
    std::memcpy(&bytes, source + i, sizeof(bytes));
    bytes = eight_bools(bytes);
    std::memcpy(target + i, &bytes, sizeof(bytes));
  }
  for (; i < count; ++i) target[i] = std::byte(source[i * stride] != std::byte(0));
}

// Whether the bytes are all 0 or 1.
inline bool are_bools(const std::byte* bytes, std::int64_t stride, std::int64_t count) {
  std::uint64_t found = 0;
  std::int64_t i = 0;
  for (; stride == 1 && i + 8 <= count; i += 8) {
    std::uint64_t eight;
    std::memcpy(&eight, bytes + i, sizeof(eight));
    found |= eight;
  }
  for (; i < count; ++i) found |= std::to_integer<std::uint64_t>(bytes[i * stride]);
  return (found & ~bits_of_eight_bools) == 0;
}

// Calls row(first, stride, count) for each row of bools in memory with these strides, until row returns
// false. Returns false then, else true. The innermost axis is the one with the smallest stride.
template <class Byte, class Row>
bool for_each_row_of_bools(Byte* data, int_list sizes, int_list strides, const Row& row) {
  const axis_list order = axes_by_stride(sizes, strides);  // the innermost first
  axis_list axes;
  for (const std::int64_t axis : order) {
    const auto i = static_cast<std::size_t>(axis);
    if (sizes[i] == 0) return true;
    if (sizes[i] > 1 && strides[i] != 0) axes.push_back(axis);
  }
  const auto walk = [&](const auto& self, Byte* first, std::size_t depth) -> bool {
    const std::int64_t size = depth > 0 ? sizes[static_cast<std::size_t>(axes[depth - 1])] : 1;
    const std::int64_t stride = depth > 0 ? strides[static_cast<std::size_t>(axes[depth - 1])] : 1;
    if (depth <= 1) return row(first, stride, size);
    for (std::int64_t i = 0; i < size; ++i) {
      if (!self(self, first + i * stride, depth - 1)) return false;
    }
    return true;
  };
  return walk(walk, data, axes.size());
}

// Whether all bools of such memory on the CPU are 0 or 1: what typed access asks before it reads one. That
// takes a fraction of the time in which a function reads them. No stride is negative, and there are
// `nbytes` bytes from the first to the last.
inline bool has_valid_bools(const void* data, std::size_t nbytes, int_list sizes,
                            int_list strides) {
  const auto* const bytes = static_cast<const std::byte*>(data);
  if (nbytes == 0) return true;
  std::uint64_t count = 1;
  bool overflow = false;
  for (const std::int64_t size : sizes) {
    overflow |= __builtin_mul_overflow(count, static_cast<std::uint64_t>(size), &count);
  }
  // All the memory at once, unless there is more of it than elements.
  if ((overflow || count >= nbytes) && are_bools(bytes, 1, static_cast<std::int64_t>(nbytes))) {
    return true;
  }
  return for_each_row_of_bools(bytes, sizes, strides, are_bools);
}

}  // namespace detail
}  // namespace ndtorch
