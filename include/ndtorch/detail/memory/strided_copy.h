// Copies of plain memory, and of strided memory of any strides, alignment and byte order: what no
// tensor can describe, and LibTorch's own copy therefore can't read.
#pragma once

#include <ndtorch/detail/memory/bools.h>
#include <ndtorch/detail/memory/huge_page.h>
#include <ndtorch/detail/memory/parallel.h>
#include <ndtorch/detail/memory/short_list.h>
#include <ndtorch/detail/memory/strided_view.h>
#include <torch/headeronly/core/ScalarType.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

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
