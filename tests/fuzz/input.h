// The fuzzer's bytes as numbers. Read from the front, so that a change of one byte changes one thing;
// at the end every number is 0. (Clang's FuzzedDataProvider does the same, but `make test` replays
// the corpus with any compiler.)
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

namespace fuzz {

class input {
 public:
  input(const std::uint8_t* data, std::size_t size) : next_(data), end_(data + size) {}

  template <class T>
  T take() {
    T value{};
    const auto left = static_cast<std::size_t>(end_ - next_);
    const std::size_t count = left < sizeof(T) ? left : sizeof(T);
    if (count > 0) std::memcpy(&value, next_, count);
    next_ += count;
    return value;
  }

  std::uint8_t byte() { return take<std::uint8_t>(); }

  // [0, count), of one byte; where that is not enough, of two.
  std::size_t below(std::size_t count) {
    return count <= 256 ? byte() % count : take<std::uint16_t>() % count;
  }

  // True for one byte in `times`, and not at the end of the input.
  bool one_in(std::size_t times) { return byte() % times == times - 1; }

  // Mostly small, sometimes of any size, sometimes the least or the largest.
  std::int64_t integer() {
    constexpr std::int64_t least = std::numeric_limits<std::int64_t>::min();
    constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
    const std::uint8_t how = byte();
    if (how < 160) return how % 20 - 4;
    if (how < 200) return take<std::int8_t>();
    if (how < 225) return take<std::int16_t>();
    if (how < 235) return take<std::int32_t>();
    if (how < 245) return take<std::int64_t>();
    static constexpr std::array<std::int64_t, 11> extremes = {
        least,    most,     least + 1, most - 1, most / 2,   most / 8,
        most / 4, 1L << 62, 1L << 32,  1L << 31, -(1L << 31)};
    return extremes[how - 245U];
  }

 private:
  const std::uint8_t* next_;
  const std::uint8_t* end_;
};

}  // namespace fuzz
