// Copies of plain memory, and of strided memory of any strides, alignment and byte order: what no
// tensor can describe, and LibTorch's own copy therefore can't read.
#pragma once

#include <ndtorch/detail/memory/dense.h>
#include <ndtorch/detail/memory/huge_page.h>
#include <ndtorch/detail/memory/parallel.h>
#include <ndtorch/detail/memory/short_list.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <torch/headeronly/core/ScalarType.h>

#if defined(__x86_64__)
#include <tmmintrin.h>
#endif

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace ndtorch {
namespace [[gnu::visibility("hidden")]] detail {

// What one thread copies at a time, in bytes: a whole page, since two threads that meet a new page
// at once both fill it with zeros, and one of them in vain.
inline constexpr std::int64_t piece_of_copy = huge_page;

inline void copy_bytes(void* target, const void* source, std::size_t nbytes, std::int64_t threads) {
  for_pieces(static_cast<std::int64_t>(nbytes), piece_of_copy, threads,
             [&](std::int64_t begin, std::int64_t end) {
               std::memcpy(static_cast<std::byte*>(target) + begin,
                           static_cast<const std::byte*>(source) + begin,
                           static_cast<std::size_t>(end - begin));
             });
}

inline std::uint8_t swap_bytes(std::uint8_t word) { return word; }
inline std::uint16_t swap_bytes(std::uint16_t word) { return __builtin_bswap16(word); }
inline std::uint32_t swap_bytes(std::uint32_t word) { return __builtin_bswap32(word); }
inline std::uint64_t swap_bytes(std::uint64_t word) { return __builtin_bswap64(word); }

#if defined(__x86_64__)

// Reverses the bytes of each word in dense memory, sixteen bytes at a time; returns how many bytes
// it did. The compiler may not do so by itself: x86-64's first processors lacked the instruction.
[[gnu::target("ssse3")]] inline std::int64_t swap_sixteens(std::byte* target,
                                                           const std::byte* source,
                                                           std::int64_t nbytes, std::size_t word) {
  alignas(16) std::array<std::uint8_t, 16> from;
  for (std::size_t i = 0; i < 16; ++i) {
    from[i] = static_cast<std::uint8_t>(i / word * word + (word - 1 - i % word));
  }
  const __m128i order = _mm_load_si128(reinterpret_cast<const __m128i*>(from.data()));
  std::int64_t done = 0;
  for (; done + 16 <= nbytes; done += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(source + done));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(target + done), _mm_shuffle_epi8(bytes, order));
  }
  return done;
}

#endif

// `count` words into dense memory. The source's stride is in bytes.
template <class Word, bool Swap, class Stride>
void copy_words(std::byte* target, const std::byte* source, Stride stride, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    Word word;
    std::memcpy(&word, source + i * stride, sizeof(Word));
    if constexpr (Swap) word = swap_bytes(word);
    std::memcpy(target + i * static_cast<std::int64_t>(sizeof(Word)), &word, sizeof(Word));
  }
}

// The two strides that most memory has are constants of the loop, which the compiler then
// vectorises.
template <class Word, bool Swap>
void copy_row(std::byte* target, const std::byte* source, std::int64_t stride, std::int64_t count) {
  constexpr auto size = static_cast<std::int64_t>(sizeof(Word));
#if defined(__x86_64__)
  if (Swap && stride == size && __builtin_cpu_supports("ssse3")) {
    const std::int64_t done = swap_sixteens(target, source, count * size, sizeof(Word));
    target += done;
    source += done;
    count -= done / size;
  }
#endif
  if (stride == size) {
    copy_words<Word, Swap>(target, source, std::integral_constant<std::int64_t, size>(), count);
  } else if (stride == -size) {
    copy_words<Word, Swap>(target, source, std::integral_constant<std::int64_t, -size>(), count);
  } else {
    copy_words<Word, Swap>(target, source, stride, count);
  }
}

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

// Calls row(first, stride, count) for all rows of bools of these strides, the innermost axis being that
// of the smallest steps, until it says false; says whether it never did.
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

using row_copier = void (*)(std::byte*, const std::byte*, std::int64_t, std::int64_t);

inline row_copier find_row_copier(c10::ScalarType dtype, std::size_t word, bool swap) {
  switch (word) {
    case 1:
      return dtype == c10::ScalarType::Bool ? &copy_bools : &copy_row<std::uint8_t, false>;
    case 2:
      return swap ? &copy_row<std::uint16_t, true> : &copy_row<std::uint16_t, false>;
    case 4:
      return swap ? &copy_row<std::uint32_t, true> : &copy_row<std::uint32_t, false>;
    default:
      return swap ? &copy_row<std::uint64_t, true> : &copy_row<std::uint64_t, false>;
  }
}

// Reads strided memory into dense memory, element by element in the order of the dense one.
class strided_reader {
 public:
  // `strides` are the source's, in bytes; `order` the axes of the dense memory, the innermost
  // first. An element of `dtype` is `words` words of `word` bytes, whose bytes are reversed where
  // `swap` says so; a bool becomes 0 or 1.
  strided_reader(c10::ScalarType dtype, const std::byte* source, int_list sizes, int_list strides,
                 int_list order, std::size_t word, std::int64_t words, bool swap)
      : source_(source),
        word_(word),
        words_per_element_(words),
        copy_(find_row_copier(dtype, word, swap)) {
    if (words > 1) axes_.push_back({words, static_cast<std::int64_t>(word_)});
    for (const std::int64_t i : order) {
      const axis next{sizes[static_cast<std::size_t>(i)], strides[static_cast<std::size_t>(i)]};
      if (next.size == 1) continue;
      if (!axes_.empty() && next.stride == axes_.back().stride * axes_.back().size) {
        axes_.back().size *= next.size;  // one longer axis
      } else {
        axes_.push_back(next);
      }
    }
    if (axes_.empty()) axes_.push_back({1, static_cast<std::int64_t>(word_)});
  }

  // Elements [begin, end), counted in the dense order, to `target`.
  // Doesn't throw, as for_pieces() asks.
  void read(std::byte* target, std::int64_t begin, std::int64_t end) const {
    if (begin == end) return;
    std::int64_t left = (end - begin) * words_per_element_;
    std::int64_t index = begin * words_per_element_;
    short_list<std::int64_t, max_ndim + 1> position;  // one more in a complex number
    const std::byte* source = source_;
    for (const axis& each : axes_) {
      position.push_back(index % each.size);
      index /= each.size;
      source += position.back() * each.stride;
    }
    const axis& inner = axes_.front();
    while (left > 0) {
      const std::int64_t count = std::min(left, inner.size - position[0]);
      copy_(target, source, inner.stride, count);
      target += static_cast<std::size_t>(count) * word_;
      left -= count;
      if (left == 0) return;
      // To the next row: the inner axis is at its end, and each axis carries to the next.
      source -= position[0] * inner.stride;
      position[0] = 0;
      for (std::size_t i = 1; i < axes_.size(); ++i) {
        source += axes_[i].stride;
        if (++position[i] < axes_[i].size) break;
        source -= axes_[i].size * axes_[i].stride;
        position[i] = 0;
      }
    }
  }

 private:
  struct axis {
    std::int64_t size, stride;
  };

  const std::byte* source_;
  short_list<axis, 8> axes_;  // the innermost first
  std::size_t word_;
  std::int64_t words_per_element_;
  row_copier copy_;
};

}  // namespace detail
}  // namespace ndtorch
